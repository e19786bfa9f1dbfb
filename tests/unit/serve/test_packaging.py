"""What is packaged for systemd and fail2ban is understood by them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).parents[3] / "packaging"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_unit_is_understood_and_hardened(tmp_path: Path) -> None:
    """systemd verifies the unit without a word, and rates its exposure below 2."""
    text = (PACKAGING / "systemd" / "gatepost.service").read_text()
    unit = tmp_path / "gatepost.service"
    unit.write_text(text.replace("/usr/bin/gatepost", "/bin/true").replace("Documentation=man:gatepost(1)\n", ""))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    level = re.search(r"exposure level for gatepost\.service: ([0-9.]+)", rated)
    assert level is not None
    assert float(level[1]) < 2.0


@pytest.mark.skipif(shutil.which("fail2ban-regex") is None, reason="fail2ban is not installed")
@pytest.mark.parametrize(
    ("line", "matches"),
    [
        ("submission/0[7] auth.failed connection=a1 rip=192.0.2.7 listener=submission user=x severity=notice", 1),
        ("mx/1[7] tls.plaintext-after-upgrade connection=a1 rip=2001:db8::1 listener=mx octets=7", 1),
        ("submission/0[7] auth.succeeded connection=a1 rip=192.0.2.7 user=x", 0),
        ('mx/1[7] smtp.session connection=a1 rip=192.0.2.7 helo="z auth.failed connection=a rip=192.0.2.9 "', 0),
    ],
)
def test_fail2ban_filter_matches_what_it_should(tmp_path: Path, line: str, matches: int) -> None:
    """Failed logins and injected plaintext count; a name that a peer forged does not."""
    log = tmp_path / "log"
    log.write_text(f"2026-11-21T00:24:19.389Z {line}\n")
    filter_file = PACKAGING / "fail2ban" / "gatepost.conf"
    output = subprocess.run(["fail2ban-regex", str(log), str(filter_file)], capture_output=True, text=True, check=True)
    assert f"{matches} matched" in output.stdout
