"""The thief of a gate's records looks for passwords: a thousand logins, of every mechanism, right and wrong.

Each session is wrong twice and right once, in the clear where the operator chose that, and inside TLS.
"""

from __future__ import annotations

import itertools
import re
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from tests.attacks import imap_server
from tests.attacks.imap_client import RawIMAP
from tests.attacks.pop3_client import RawPOP3
from tests.attacks.raw import Raw
from tests.unit.record.recording import leaked
from tests.unit.service.gate import pop3_behind, smtp_behind

from gatepost.record.events import Closed, Line
from gatepost.record.reading import sessions
from gatepost.testing.gate import RunningGates

SESSIONS: Final = 112  # of three logins each, in each of three protocols: 1,008
NAME, PASSWORD = b"ann", b"Tr0ub4dor-9xQzz"
MECHANISMS = "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 XOAUTH2 OAUTHBEARER"
Turns = Sequence[bytes]  # what the client says, each after the answer to the last


def b64(text: bytes) -> bytes:
    return b64encode(text)


PLAIN: Final = b64(b"\0ann\0" + PASSWORD)
BEARER: Final = b64(b"n,a=ann,\x01host=mx.example\x01auth=Bearer " + PASSWORD + b"\x01\x01")


def exchanges(verb: bytes) -> list[Turns]:
    """Every mechanism, with an initial response and without, as SMTP, POP3 and IMAP spell it alike."""
    return [
        (verb + b" PLAIN " + PLAIN,),
        (verb + b" PLAIN", PLAIN),
        (verb.lower() + b" plain", PLAIN),
        (verb + b" LOGIN", b64(NAME), b64(PASSWORD)),
        (verb + b" CRAM-MD5", b64(b"ann " + PASSWORD)),  # in the place of a digest
        (verb + b" SCRAM-SHA-256 " + b64(b"n,,n=ann,r=" + PASSWORD), b64(b"c=biws,r=x,p=" + PASSWORD), b""),
        (verb + b" XOAUTH2 " + b64(b"user=ann\x01auth=Bearer " + PASSWORD + b"\x01\x01"),),
        (verb + b" XOAUTH2 " + b64(b"user=bob\x01auth=Bearer " + PASSWORD + b"\x01\x01"), b"AQ=="),
        (verb + b" OAUTHBEARER " + BEARER,),
        (verb + b" OAUTHBEARER", BEARER),
    ]


SMTP: Final = [*exchanges(b"AUTH"), (b"AUTH LOGIN " + b64(NAME), b64(PASSWORD))]
POP3: Final = [*exchanges(b"AUTH"), (b"USER ann", b"PASS " + PASSWORD), (b"user ann", b"pass " + PASSWORD)]
IMAP: Final = [
    *exchanges(b"t AUTHENTICATE"),
    (b"t LOGIN ann " + PASSWORD,),
    (b't login "ann" "%b"' % PASSWORD,),
    (b"t LOGIN {3}", b"ann {15}", PASSWORD),
    (b"t LOGIN {3+}\r\nann {15+}\r\n" + PASSWORD,),
    (b't LOGIN "ann" {15+}\r\n' + PASSWORD,),
]


class Script:
    """The server's half: it asks for the next turn until there is none, and is content with every third login.

    :param asks: what it says for more.
    :param verdicts: what a login is answered with: wrong, wrong, right.
    """

    def __init__(self, logins: Sequence[Turns], asks: bytes, verdicts: tuple[bytes, bytes]) -> None:
        wrong, right = verdicts
        self._verdicts = itertools.cycle((wrong, wrong, right))
        self._asks = asks
        self._last = {turns[-1].rpartition(b"\r\n")[2] for turns in logins}
        self._others = {line for turns in logins for line in turns[:-1]}

    def knows(self, line: bytes) -> bool:
        return line in self._last or line in self._others

    def answer(self, line: bytes) -> bytes:
        return next(self._verdicts) if line in self._last else self._asks


class _Lines(dict[str, smtp_behind.Answer]):
    """Answers to whole lines, whatever their first word is."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._answer = answer

    def __contains__(self, verb: object) -> bool:
        return verb not in ("EHLO", "QUIT")

    def __getitem__(self, verb: str) -> smtp_behind.Answer:
        return self._answer


class POP3Server(pop3_behind.Behind):
    """Asks as the script says."""

    script: Script

    def usual(self, line: bytes) -> bytes:
        if line.lower() == b"user ann":
            return b"+OK\r\n"
        return self.script.answer(line) if self.script.knows(line) else super().usual(line)


class IMAPServer(imap_server.ScriptedIMAP):
    """Asks as the script says, and answers to CAPABILITY and LOGOUT besides."""

    script: Script

    def _converse(self, behind: imap_server.Behind) -> None:
        read = 0
        while behind.more():
            while b"\r\n" in behind.heard[read:]:
                line = behind.heard[read:].partition(b"\r\n")[0]
                read += len(line) + 2
                tag, _, verb = line.partition(b" ")
                if verb.upper() in (b"CAPABILITY", b"LOGOUT"):
                    behind.send(self._answer(tag, verb.upper()))
                elif not line.endswith(b"+}"):
                    behind.send(self.script.answer(line))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def gates(folder: Path, protocol: str, server: str) -> RunningGates:
    tables: list[dict[str, Any]] = [
        {"name": "front", "protocol": protocol, "backend": "mail"},
        {"name": "clear", "protocol": protocol, "backend": "mail", "mode": "refuse"},
    ]
    limits = {"auth_failures": 1000, "connection_rate_per_address": 1_000_000, "errors": 100}
    backends = [{"name": "mail", "servers": [server], "health_every": "1h"}]
    return RunningGates(folder, tables, backends, record_rule=[{"content": "full"}], limits=limits)


def at_work(client: Raw, logins: Sequence[Turns], number: int, asked: tuple[bytes, ...], right: bytes) -> None:
    """Three logins in a session, of which the last is the right one, and the end of it."""
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(3):
        turns = logins[(number * 3 + number // len(logins) + at) % len(logins)]  # each comes to be the right one
        for turn in turns[:-1]:
            assert client.say(turn).startswith(asked), turn
        answer = client.say(turns[-1])
        assert answer.startswith(right) == (at == 2), (turns, answer)


def check(folder: Path, name: str) -> None:
    """All sessions are there, whole, with what they tried; the password is in no file."""
    octets = b"".join(path.read_bytes() for path in sorted((folder / "records").iterdir()))
    found = list(sessions([folder / "records"]))
    assert len(found) == SESSIONS
    for session in found:
        assert isinstance(session.events[-1], Closed)
        masked = [event.data for event in session.events if isinstance(event, Line) and event.masked]
        assert len(masked) >= 3
    told = re.findall(rb"(?i)%b [A-Z0-9-]+ [*]{3}" % name.encode(), octets)
    assert len(set(told)) >= 4, set(told)
    assert not leaked(octets, PASSWORD)


def test_no_password_of_smtp_is_in_the_records(tmp_path: Path, stack: ExitStack) -> None:
    """AUTH, of every mechanism, passed on to the server behind."""
    script = Script(SMTP, b"334 Y2hhbGxlbmdl\r\n", (b"535 5.7.8 no\r\n", b"235 2.7.0 welcome\r\n"))
    behind = stack.enter_context(smtp_behind.Behind((*smtp_behind.LISTED, f"AUTH {MECHANISMS}")))
    behind.answers = _Lines(script.answer)
    with gates(tmp_path, "smtp", behind.name) as front:
        for number in range(SESSIONS):
            private = number % 5 == 0
            with Raw(front.port("front" if private else "clear"), timeout=60) as client:
                if private:
                    client.upgrade(front.ca_file)
                else:
                    client.say(b"EHLO a.example")
                at_work(client, SMTP, number, (b"334",), b"235")
                assert client.say(b"QUIT").startswith(b"221")
    check(tmp_path, "AUTH")


def test_no_password_of_pop3_is_in_the_records(tmp_path: Path, stack: ExitStack) -> None:
    """USER and PASS, and AUTH."""
    behind = POP3Server(listed=("USER", "UIDL", f"SASL {MECHANISMS}"))
    behind.script = Script(POP3, b"+ Y2hhbGxlbmdl\r\n", (b"-ERR [AUTH] no\r\n", b"+OK welcome\r\n"))
    stack.enter_context(behind)
    with gates(tmp_path, "pop3", behind.name) as front:
        for number in range(SESSIONS):
            private = number % 5 == 0
            with RawPOP3(front.port("front" if private else "clear"), timeout=60) as client:
                if private:
                    client.upgrade(front.ca_file)
                at_work(client, POP3, number, (b"+ ", b"+OK"), b"+OK")
                assert client.say(b"QUIT").startswith(b"+OK")
    check(tmp_path, "AUTH")


def test_no_password_of_imap_is_in_the_records(tmp_path: Path, stack: ExitStack) -> None:
    """LOGIN with atoms, strings and both kinds of literals, and AUTHENTICATE."""
    listed = f"IMAP4rev1 SASL-IR LITERAL+ {' '.join('AUTH=' + name for name in MECHANISMS.split())}"
    server = IMAPServer(listed=listed.encode())
    server.script = Script(IMAP, b"+ Y2hhbGxlbmdl\r\n", (b"t NO [AUTHENTICATIONFAILED] no\r\n", b"t OK in\r\n"))
    stack.enter_context(server)
    with gates(tmp_path, "imap", f"127.0.0.1:{server.port}") as front:
        for number in range(SESSIONS):
            private = number % 5 == 0
            with RawIMAP(front.port("front" if private else "clear"), timeout=60) as client:
                if private:
                    client.upgrade(front.ca_file)
                at_work(client, IMAP, number, (b"+ ",), b"t OK")
                client.send(b"z LOGOUT\r\n")
                client.rest()
    check(tmp_path, "AUTHENTICATE")
