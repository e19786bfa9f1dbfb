"""Where executable memory is forbidden (``MemoryDenyWriteExecute`` of systemd), what needs it is refused at start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_UNSUPPORTED = 77
_PROGRAM = f"""
import ctypes, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: Linux 6.3
    sys.exit({_UNSUPPORTED})
from gatepost.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        ('[[inbound]]\nclient_certificate = "ask"', "inbound[0] ("),
        (f'[[relay]]\ncertificate_fingerprint = "{"ab" * 32}"', "relay[0] ("),
        ('[tls]\nclient_certificate = "ask"', "clients cannot be asked for certificates"),
    ],
)
def test_server_that_asks_for_certificates_does_not_start(tmp_path: Path, rules: str, rule: str) -> None:
    """With the reason and the rule, before anything listens."""
    file = tmp_path / "gatepost.toml"
    file.write_text(f'hostname = "mx.host.test"\ndata = "{tmp_path / "data"}"\n{rules}\n')
    command = [sys.executable, "-c", _PROGRAM, "--config", str(file), "serve"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode == _UNSUPPORTED:
        pytest.skip("this kernel cannot forbid executable memory")
    assert done.returncode == 78, done.stderr
    assert rule in done.stderr
    assert "memory may not be writable and executable at once" in done.stderr
    assert "serves" not in done.stdout
