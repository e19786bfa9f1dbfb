"""``gatepost connect`` and ``gatepost cert show`` against real servers: each protocol verified, and talked to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.interop.daemons import HOST, Daemon, Ports, dovecot, inn, inspircd, mariadb, postgres, prosody, slapd, vsftpd
from tests.interop.postfix import HOSTNAME, Postfix
from tests.interop.programs import Done, run

from gatepost.testing.ca import TestAuthority

pytestmark = pytest.mark.interop

Start = Callable[[TestAuthority], tuple[Daemon, Ports]]


def gatepost(*arguments: str | Path, given: bytes = b"") -> Done:
    return run([sys.executable, "-m", "gatepost", *arguments], given=given)


@pytest.fixture(scope="module")
def ca_file(authority: TestAuthority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_bytes(authority.pem)
    return path


def connect(port: int, protocol: str, ca_file: Path, *more: str, name: str = HOST, given: bytes = b"") -> Done:
    target = ["connect", f"127.0.0.1:{port}", "--starttls", protocol, "--server-name", name, "--ca-file", str(ca_file)]
    return gatepost(*target, "--timeout", "60", *more, given=given)


def test_postfix_is_verified_and_talked_to(postfix: Postfix, ca_file: Path) -> None:
    """A script of SMTP, line by line; the server's words, and nothing of ours, on standard output."""
    done = connect(postfix.port, "smtp", ca_file, name=HOSTNAME, given=b"EHLO me.test\nNOOP\nQUIT\n")
    assert done.code == 0, done.said
    words = done.out.decode().splitlines()
    assert words[0] == f"250-{HOSTNAME}" and words[-1].startswith("221 ")
    assert b"verified:" in done.err


def test_postfix_that_is_not_verified_hears_nothing(postfix: Postfix, wrong_ca: Path) -> None:
    """Another authority: 69, and what to do."""
    done = connect(postfix.port, "smtp", wrong_ca, name=HOSTNAME, given=b"EHLO me.test\n")
    assert done.code == 69 and done.out == b"", done.said
    assert b"NOT VERIFIED" in done.err and b"--ca-file" in done.err


@pytest.fixture(scope="module")
def mail(authority: TestAuthority) -> Iterator[Ports]:
    daemon, ports = dovecot(authority)
    yield ports
    daemon.close()


@pytest.mark.parametrize(
    ("protocol", "script", "goodbye"),
    [
        ("pop3", b"CAPA\nQUIT\n", b"+OK Logging out"),
        ("imap", b"a CAPABILITY\nb LOGOUT\n", b"b OK "),
        ("managesieve", b"CAPABILITY\nLOGOUT\n", b"OK "),
        ("lmtp", b"LHLO me.test\nQUIT\n", b"221 "),
        ("submission", b"EHLO me.test\nQUIT\n", b"221 "),
    ],
)
def test_dovecot_is_talked_to_in_each_of_its_protocols(
    mail: Ports, ca_file: Path, protocol: str, script: bytes, goodbye: bytes
) -> None:
    """The same command, another recipe."""
    port = mail["sieve" if protocol == "managesieve" else protocol]
    done = connect(port, protocol, ca_file, "--trace", "session", given=script)
    assert done.code == 0, done.said
    assert goodbye in done.out and b"** TLS begins" in done.err


@pytest.mark.parametrize("start", [inn, vsftpd, slapd, prosody, postgres, mariadb, inspircd])
def test_evidence_of_every_other_protocol_is_shown(authority: TestAuthority, ca_file: Path, start: Start) -> None:
    """As JSON, verified, by ``connect`` and by ``cert show``."""
    daemon, ports = start(authority)
    try:
        for protocol, port in ports.items():
            done = connect(port, protocol, ca_file, "--json")
            assert done.code == 0, done.said
            assert json.loads(done.out)["tls"]["verification"]["status"] == "verified"
            target = ["cert", "show", f"127.0.0.1:{port}", "--starttls", protocol, "--server-name", HOST]
            shown = gatepost(*target, "--ca-file", ca_file)
            assert shown.code == 0 and b"verified: chain and name are good" in shown.out, shown.said
    finally:
        daemon.close()
