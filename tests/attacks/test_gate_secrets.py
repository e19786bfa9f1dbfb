"""The attacker reads the log and the records of a gate: he wants the password of a client that mistyped, or erred.

What a client says in the wrong place, before TLS, cut into pieces or misspelt may be a password all the same.
"""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.imap_client import RawIMAP
from tests.attacks.imap_server import ScriptedIMAP
from tests.attacks.pop3_client import RawPOP3
from tests.attacks.raw import Raw
from tests.unit.record.recording import leaked
from tests.unit.service.gate import pop3_behind
from tests.unit.service.gate.smtp_behind import LISTED, Answer, Behind

from gatepost.testing.gate import RunningGates

PASSWORD = b"Tr0ub4dor-9xQzz"
NAME = b"ann@near.example"
PLAIN = b64encode(b"\0" + NAME + b"\0" + PASSWORD)
CODED = b64encode(PASSWORD)
Lines = Sequence[bytes]

# What no protocol takes for a login, and what may be one: for SMTP and POP3 alike.
MISTYPED: tuple[Lines, ...] = (
    (b"AUHT PLAIN " + PLAIN,),
    (b"AUTHPLAIN " + PLAIN,),
    (b"AUTH\tPLAIN\t" + PLAIN,),
    (b"\xff\xfeAUTH PLAIN " + PLAIN,),
    (PASSWORD,),
    (CODED,),
    (PLAIN,),
    (b" PASS " + PASSWORD,),
    (b"PASS " + PASSWORD,),
    (b"PSAS " + PASSWORD,),
    (b"a1 LOGIN ann " + PASSWORD,),
    (b"XOAUTH " + PASSWORD,),
    (b"AUTH " + PASSWORD,),
    (b"AUTH " + PLAIN,),
    (b"AUTH  PLAIN  " + PLAIN,),
    (b"AUTH PLAIN " + PLAIN + b"!",),
    (b"AUTH PLAIN " + PLAIN + b"\0",),
    (b"AUTH PLAIN " + PLAIN * 400,),
    (b"AUTH CRAM-MD5 " + CODED,),
    (b"AUTH PLAIN " + CODED,),
    (b"NOOP", b"AUHT PLAIN " + PLAIN, CODED),
    (b"AUTH PLAIN " + PLAIN, PASSWORD),
)
# A name that is none puts the password where the name would be read.
TWO_STEPS: tuple[Lines, ...] = tuple(
    (b"AUTH LOGIN", b64encode(name), CODED) for name in (NAME, b"", b"x" * 300, "n\u00a0m".encode(), b"n\xffm\r\nx")
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def gates(folder: Path, protocol: str, server: str) -> RunningGates:
    tables: list[dict[str, Any]] = [
        {"name": "front", "protocol": protocol, "backend": "mail"},
        {"name": "clear", "protocol": protocol, "backend": "mail", "mode": "refuse"},
    ]
    backends = [{"name": "mail", "servers": [server], "health_every": "1h"}]
    rules = [{"content": "full"}]
    return RunningGates(folder, tables, backends, record_rule=rules, limits={"errors": 100})


def tell(client: Raw, lines: Lines, *, pieces: bool) -> None:
    """Say some lines, each after the answer to the last, and hear the end."""
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for line in lines:
        octets = line + b"\r\n"
        middle = len(octets) // 2 if pieces else len(octets)
        client.send(octets[:middle])
        if pieces:
            client.send(octets[middle:])
        if not client.reply():
            return
    client.send(b"QUIT\r\n")
    client.rest()


def nothing_leaked(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither what was logged nor what was recorded holds a part of the password."""
    logged = "".join(capfd.readouterr()).encode()
    recorded = b"".join(path.read_bytes() for path in sorted((folder / "records").iterdir()))
    assert b"gate.session" in logged
    assert b'"e":"line"' in recorded
    for line in (logged + recorded).split(b"\n"):
        assert not leaked(line, PASSWORD), line


@pytest.mark.parametrize(("port", "tls"), [("front", True), ("front", False), ("clear", False)])
def test_no_password_of_a_mail_client_is_written_down(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str], port: str, tls: bool
) -> None:
    """Not of one that mistyped its command, gave an odd name, or spoke too early."""
    answers: dict[str, Answer] = {"AUTH": _asks, CODED.decode().upper(): b"235 2.7.0 welcome\r\n"}
    names = {lines[1].decode().upper(): b"334 UGFzc3dvcmQ6\r\n" for lines in TWO_STEPS}
    behind = stack.enter_context(Behind((*LISTED, "AUTH PLAIN LOGIN CRAM-MD5"), {**names, **answers}))
    with gates(tmp_path, "smtp", behind.name) as front:
        for number, lines in enumerate((*MISTYPED, *TWO_STEPS)):
            with Raw(front.port(port)) as client:
                if tls:
                    client.upgrade(front.ca_file)
                else:
                    client.say(b"EHLO a.example")
                tell(client, lines, pieces=number % 2 == 1)
    nothing_leaked(tmp_path, capfd)


def _asks(line: bytes) -> bytes:
    return b"334 VXNlcm5hbWU6\r\n" if line == b"AUTH LOGIN" else b"235 2.7.0 welcome\r\n"


@pytest.mark.parametrize(("port", "tls"), [("front", True), ("front", False), ("clear", False)])
def test_no_password_of_a_reader_is_written_down(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str], port: str, tls: bool
) -> None:
    """POP3 has USER and PASS besides."""
    answers: dict[str, pop3_behind.Answer] = {"AUTH": _challenges, CODED.decode().upper(): b"+OK in\r\n"}
    names = {lines[1].decode().upper(): b"+ UGFzc3dvcmQ6\r\n" for lines in TWO_STEPS}
    behind = stack.enter_context(pop3_behind.Behind({**names, **answers}))
    others: tuple[Lines, ...] = (
        (b"USER ann", b"PASS " + PASSWORD),
        (b"USER ann", b"PSAS " + PASSWORD),
        (b"USER ann", PASSWORD),
        (b"APOP ann " + PASSWORD,),
        (b"USER ann", b"PASS " + PASSWORD + b"\0"),
        (b"USER ann", b"pass\t" + PASSWORD),
    )
    with gates(tmp_path, "pop3", behind.name) as front:
        for number, lines in enumerate((*MISTYPED, *TWO_STEPS, *others)):
            with RawPOP3(front.port(port)) as client:
                if tls:
                    client.upgrade(front.ca_file)
                tell(client, lines, pieces=number % 2 == 1)
    nothing_leaked(tmp_path, capfd)


def _challenges(line: bytes) -> bytes:
    return b"+ VXNlcm5hbWU6\r\n" if line == b"AUTH LOGIN" else b"+OK in\r\n"


LOGINS: tuple[Lines, ...] = (
    (b"a LOGNI ann " + PASSWORD,),
    (b"a LOGIN ann " + PASSWORD,),
    (b'a LOGIN "ann" "' + PASSWORD + b'"',),
    (b"a LOGNI ann " + PASSWORD + b"\0",),
    (PASSWORD,),
    (PASSWORD + b" x",),
    (b"LOGIN ann " + PASSWORD,),
    (b"a " + PASSWORD,),
    (b"a LOGIN ann x{15}" + PASSWORD,),
    (b"PASS " + PASSWORD,),
    (b"a LOGIN {3+}\r\nann {15+}\r\n" + PASSWORD,),
    (b"a LOGIN {0+}\r\n {15+}\r\n" + PASSWORD,),
    (b"AUTH PLAIN " + PLAIN,),
    (b"a AUHTENTICATE PLAIN " + PLAIN,),
    (b"a AUTHENTICATE PLAIN " + PLAIN,),
    (b"a AUTHENTICATE " + PASSWORD,),
    (b"a AUTHENTICATE PLAIN " + CODED,),
    (b'a LOGIN ann "' + PASSWORD,),
    (b"a LOGIN ann " + PASSWORD + b"\r",),
    (b"a  LOGIN ann " + PASSWORD,),
    (b"a LOGIN\tann\t" + PASSWORD,),
    (b"* LOGIN ann " + PASSWORD,),
    (b"a x{1}{2}" + PASSWORD,),
)


@pytest.mark.parametrize("verdict", [b"%TAG OK in\r\n", b"%TAG NO wrong\r\n"])
@pytest.mark.parametrize(("port", "tls"), [("front", True), ("front", False), ("clear", False)])
def test_no_password_of_an_imap_client_is_written_down(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str], verdict: bytes, port: str, tls: bool
) -> None:
    """Quoted, in literals, in SASL, misspelt, or in place of a command."""
    server = stack.enter_context(ScriptedIMAP({b"LOGIN": verdict, b"AUTHENTICATE": verdict}))
    with gates(tmp_path, "imap", f"127.0.0.1:{server.port}") as front:
        for number, lines in enumerate(LOGINS):
            with RawIMAP(front.port(port)) as client:
                if tls:
                    client.upgrade(front.ca_file)
                client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                octets = b"".join(line + b"\r\n" for line in lines)
                middle = len(octets) // 2 if number % 2 else len(octets)
                client.send(octets[:middle])
                client.send(octets[middle:] + b"zz LOGOUT\r\n")
                client.sock.shutdown(socket.SHUT_WR)
                client.rest()
    nothing_leaked(tmp_path, capfd)


@pytest.mark.parametrize("protocol", ["smtp", "pop3", "imap"])
def test_login_in_front_of_a_handshake_is_not_written_down(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str], protocol: str
) -> None:
    """A client that logs in behind STARTTLS, before there is TLS, is told of; its password is not."""
    ask = {"smtp": b"STARTTLS", "pop3": b"STLS", "imap": b"a STARTTLS"}[protocol]
    log_in = {
        "smtp": b"EHLO a\r\nAUTH PLAIN " + PLAIN, "pop3": b"USER ann\r\nPASS " + PASSWORD,
        "imap": b"b LOGIN ann " + PASSWORD,
    }[protocol]  # fmt: skip
    with _any_behind(stack, tmp_path, protocol) as front:
        with Raw(front.port("front"), greeted=False) as client:
            if protocol == "smtp":
                client.send(b"EHLO a.example\r\n")
            client.send(ask + b"\r\n" + log_in + b"\r\n")
            client.rest()
    logged = "".join(capfd.readouterr()).encode()
    assert b"tls.plaintext-after-upgrade" in logged
    assert not leaked(logged, PASSWORD)


def _any_behind(stack: ExitStack, folder: Path, protocol: str) -> RunningGates:
    if protocol == "imap":
        return gates(folder, protocol, f"127.0.0.1:{stack.enter_context(ScriptedIMAP()).port}")
    if protocol == "pop3":
        return gates(folder, protocol, stack.enter_context(pop3_behind.Behind()).name)
    return gates(folder, protocol, stack.enter_context(Behind()).name)
