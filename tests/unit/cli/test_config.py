"""``gatepost config``."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.cli.conftest import Gatepost

from gatepost.testing.ca import TestAuthority


def test_check_lists_every_problem_with_78(gatepost: Gatepost, tmp_path: Path) -> None:
    """Each problem is a line of its own on standard error."""
    (tmp_path / "gatepost.toml").write_text('hostnam = "x"\nworkers = -1\n')
    done = gatepost("config", "check")
    assert done.code == 78
    assert done.err.splitlines() == [
        "gatepost: gatepost.toml:1: hostnam: unknown key; did you mean hostname?",
        "gatepost: gatepost.toml:2: workers: must be at least 0",
    ]
    listed = gatepost("config", "check", "--json")
    assert listed.code == 78
    assert listed.json["ok"] is False and len(listed.json["problems"]) == 2


def test_check_says_when_there_is_nothing_to_say(gatepost: Gatepost) -> None:
    """A good file is named; with -q there is no output."""
    assert gatepost("config", "check").out == "gatepost.toml: no problems\n"
    assert gatepost("-q", "config", "check").out == ""


def test_check_needs_no_certificate_port_or_directory(gatepost: Gatepost, tmp_path: Path) -> None:
    """Without --full only the text is judged: it may be checked on another machine."""
    (tmp_path / "gatepost.toml").write_text('data = "/nonexistent/x"\n[tls]\ncertificate = "none.pem"\n')
    assert gatepost("config", "check").code == 0


def test_check_finds_a_client_certificate_without_its_key(gatepost: Gatepost, tmp_path: Path) -> None:
    """Of one that is there; one that is not may be on the machine that it is for."""
    pem = TestAuthority("an authority").issue("c.example")
    (tmp_path / "gatepost.toml").write_text(
        '[[outbound]]\nto = "a.example"\nlevel = "encrypt"\nclient_certificate = "c.pem"\n'
    )
    assert gatepost("config", "check").code == 0
    pem.write(tmp_path / "c.pem")
    assert gatepost("config", "check").code == 0
    (tmp_path / "c.pem").write_bytes(pem.certificate.public_bytes(Encoding.PEM))
    done = gatepost("config", "check")
    assert done.code == 78
    (line,) = done.err.splitlines()
    assert line == (
        f"gatepost: gatepost.toml:1: outbound[0].client_certificate: {tmp_path}/c.pem holds no private key: "
        "put the key into the same file"
    )


def test_full_check_looks_at_what_is_named(gatepost: Gatepost, tmp_path: Path) -> None:
    """A missing certificate, a taken port, an open password file, a data directory that is a file."""
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "secret").chmod(0o644)
    (tmp_path / "file").write_text("")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "gatepost.toml").write_text(
            f'data = "file"\n[tls]\ncertificate = "none.pem"\n[delivery]\nsmarthost = "h:25"\nsmarthost_user = "u"\n'
            f'smarthost_password_file = "secret"\nca_file = "none"\n'
            f'[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "127.0.0.1:{taken.getsockname()[1]}"\n'
        )
        done = gatepost("config", "check", "--full")
    assert done.code == 78
    for words in ("none.pem", "in use", "chmod 600", "not a directory", "delivery.ca_file"):
        assert words in done.err
    assert len(done.err.splitlines()) == 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may listen anywhere")
def test_full_check_explains_low_ports(gatepost: Gatepost, tmp_path: Path) -> None:
    """What would keep an ordinary user from listening is said with what to do about it."""
    (tmp_path / "gatepost.toml").write_text('[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "127.0.0.1:25"\n')
    assert "CAP_NET_BIND_SERVICE" in gatepost("config", "check", "--full").err


def test_show_prints_what_is_in_effect_or_only_the_changes(gatepost: Gatepost, data: Path) -> None:
    """All of it, the defaults alone, or what differs from them."""
    assert 'hostname = "mx.test"' in gatepost("config", "show").out
    assert "mx.test" not in gatepost("config", "show", "--defaults").out
    assert gatepost("config", "show", "--changed", "--json").json == {
        "hostname": "mx.test", "domains": ["x.test"], "data": str(data),
    }  # fmt: skip


def test_check_finds_loops_of_aliases_with_their_line(gatepost: Gatepost, tmp_path: Path) -> None:
    """The server would refuse to start with them, so the check without --full knows them too, and tells them once."""
    (tmp_path / "gatepost.toml").write_text('domains = ["x.test"]\n[aliases]\na = "b"\nb = "a"\n')
    done = gatepost("config", "check")
    assert done.code == 78 and "loop" in done.err and "gatepost.toml:2" in done.err
    assert gatepost("config", "check", "--full").err.count("alias a: a loop") == 1
