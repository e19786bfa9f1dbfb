"""``gatepost import``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

DMAIL = "host_domain example.org\nshow_tls 127.0.0.*\nmystery 1\n"


@pytest.fixture(autouse=True)
def _old(tmp_path: Path) -> None:
    (tmp_path / "dmail.conf").write_text(DMAIL)
    (tmp_path / "main.cf").write_text("myhostname = mx.example.org\nmynetworks = 127.0.0.0/8\n")
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "me").write_text("mx.example.org\n")


@pytest.mark.parametrize("old", [("dmail", "dmail.conf"), ("qmail", "control"), ("postfix", "main.cf")])
def test_document_goes_to_the_screen_and_notices_beside_it(gatepost: Gatepost, old: tuple[str, str]) -> None:
    """What is printed is a configuration; what needs an eye is on standard error, and in it."""
    done = gatepost("import", *old)
    assert done.code == 0 and tomllib.loads(done.out)["listener"][0]["name"] == "mx"
    for line in done.err.splitlines():
        assert line.startswith("gatepost: ") and line.split()[1] in done.out


def test_output_is_written_and_never_over_a_file(gatepost: Gatepost, tmp_path: Path) -> None:
    """The second time it is there already, and stays as it is; so is a link that leads nowhere."""
    done = gatepost("import", "dmail", "dmail.conf", "--output", "new.toml")
    assert done.code == 0 and tomllib.loads((tmp_path / "new.toml").read_text())["domains"] == ["example.org"]
    assert "mystery" in done.err and "config check --full" in done.out + done.err
    (tmp_path / "new.toml").write_text("mine")
    (tmp_path / "link.toml").symlink_to(tmp_path / "elsewhere.toml")
    for name in ("new.toml", "link.toml"):
        refused = gatepost("import", "dmail", "dmail.conf", "--output", name)
        assert refused.code == 73 and "is there already" in refused.err
    assert (tmp_path / "new.toml").read_text() == "mine" and not (tmp_path / "elsewhere.toml").exists()
    assert gatepost("import", "dmail", "dmail.conf", "--output", "no/such/folder.toml").code == 73


@pytest.mark.parametrize("old", [("dmail", "none.conf"), ("qmail", "none"), ("postfix", "none.cf")])
def test_missing_file_is_a_configuration_error(gatepost: Gatepost, old: tuple[str, str]) -> None:
    """78, and nothing is printed."""
    done = gatepost("import", *old)
    assert done.code == 78 and "cannot be read" in done.err and not done.out


def test_json_has_document_and_notices(gatepost: Gatepost) -> None:
    """For programs."""
    found = gatepost("import", "dmail", "dmail.conf", "--json").json
    assert "mystery is not known" in " ".join(found["notices"]) and found["problems"] == []
    assert tomllib.loads(found["toml"])["domains"] == ["example.org"]


def test_rules_of_tcpserver_are_read_beside_the_control_directory(gatepost: Gatepost, tmp_path: Path) -> None:
    """--tcprules."""
    (tmp_path / "tcp.smtp").write_text('10.:allow,RELAYCLIENT=""\n')
    done = gatepost("import", "qmail", "control", "--tcprules", "tcp.smtp")
    assert tomllib.loads(done.out)["relay"] == [{"from": ["10.*"]}]
