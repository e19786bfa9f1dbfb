"""The attacker talks to a server that records: he wants a false entry, a terminal, or a password that is in it."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from tests.attacks.pop3_client import RawPOP3
from tests.attacks.raw import Raw
from tests.unit.record.recording import leaked

import gatepost.pop3
import gatepost.smtp
from gatepost.record.events import Closed, Data, Decision, Line, Upgraded
from gatepost.record.reading import Session, sessions
from gatepost.testing.server import MailServer

PASSWORD = "Tr0ub4dor+=9xQ"
R = TypeVar("R", bound=Raw)
ALICE = "alice@example.test"
ROUNDS = 50  # of twenty logins each


class Recording(MailServer):
    """A server that records everything that it may."""

    def __init__(self, data: Path, **settings: object) -> None:
        rules = [{"content": "full"}]
        limits = {"errors": 100}
        super().__init__(data, {ALICE: PASSWORD}, **{"record_rule": rules, "limits": limits, **settings})
        self.records = data / "records"

    def sessions(self) -> list[Session]:
        """What is in the files; the server has ended."""
        return list(sessions([self.records]))

    def octets(self) -> bytes:
        """All files, as they are."""
        return b"".join(path.read_bytes() for path in sorted(self.records.iterdir()))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Recording]:
    yield Recording(tmp_path)


def private(server: MailServer) -> Raw:
    """A client inside TLS."""
    client = at_once(Raw(server.port("submission")))
    client.say(b"EHLO attacker.example")
    client.upgrade(server.ca_file)
    client.say(b"EHLO attacker.example")
    return client


def reading(server: MailServer) -> RawPOP3:
    """A client of POP3 inside TLS."""
    client = at_once(RawPOP3(server.port("pop3")))
    client.upgrade(server.ca_file)
    return client


def at_once(client: R) -> R:
    """A client whose small writes do not wait for each other."""
    client.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def data_of(session: Session) -> list[Data]:
    return [event for event in session.events if isinstance(event, Data)]


def test_attacker_forges_an_entry_by_what_he_sends(server: Recording) -> None:
    """NUL, CR, LF, quotes and whole events in commands and content stay inside the one event that they came in."""
    forged = b'x"}\n{"e":"close","s":"forged","n":1,"t":1,"outcome":"quit","seconds":1}\n\0\r'
    with server:
        client = Raw(server.port("mx"))
        client.say(b"EHLO " + forged)
        client.close()
        client = Raw(server.port("mx"))
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@attacker.example>")
        client.say(b"RCPT TO:<alice@example.test>")
        client.say(b"DATA")
        subject = forged.replace(b"\n", b"\x0b").replace(b"\r", b"\x0c").replace(b"\0", b"")
        content = b"Subject: " + subject + b"\r\n\r\n..dot\r\n\xff\r\n"
        client.send(content + b".\r\n")
        assert client.reply().startswith(b"250")
        client.say(b"QUIT")
        client.close()
    found = server.sessions()
    assert len(found) == 2
    assert "forged" not in {session.id for session in found}
    (data,) = data_of(found[1])
    stored = content.replace(b"\r\n..dot", b"\r\n.dot")
    assert data.content == stored
    assert (data.octets, data.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert {type(session.events[-1]) for session in found} == {Closed}


def test_attacker_speaks_to_the_terminal_of_whoever_reads(server: Recording) -> None:
    """No control character and no octet beyond ASCII is in a file, whatever was said."""
    nasty = bytes(octet for octet in range(256) if octet not in (10, 13))
    with server:
        client = Raw(server.port("mx"))
        client.say(b"EHLO \x1b]0;title\x07\xc2\x9b31m")
        client.say(b"HELP " + nasty)
        client.say("NOOP \u202e\u2066".encode())
        client.say(b"QUIT")
        client.close()
    assert all(octet == 10 or 32 <= octet < 127 for octet in server.octets())
    (session,) = server.sessions()
    said = [event.data for event in session.events if isinstance(event, Line) and event.speaker == "client"]
    assert "NOOP \u202e\u2066".encode() in said


def test_thief_of_records_looks_for_passwords(server: Recording) -> None:
    """A thousand logins by every mechanism, over SMTP and POP3, right and wrong: no part of the password is there."""
    name = ALICE.encode()
    plain = base64.b64encode(b"\0" + name + b"\0" + PASSWORD.encode())
    words = PASSWORD.encode()
    logins = 0
    with server:
        for number in range(ROUNDS):
            with private(server) as client:
                wrong = base64.b64encode(b"\0" + name + b"\0wrong" + words)
                assert client.say(b"AUTH PLAIN " + (wrong if number == 0 else plain))[:1] in (b"2", b"5")
                client.say(b"auth login")
                client.say(base64.b64encode(name))
                client.say(base64.b64encode(words))
            with private(server) as client:
                client.say(b"AUTH LOGIN")
                client.say(base64.b64encode(name))
                assert client.say(base64.b64encode(words)).startswith(b"235")
                client.say(words)
                client.say(b"PASS " + words)
            with reading(server) as reader:
                reader.log_in(name, words)
                reader.say(words)
                reader.say(b"QUIT")
            with reading(server) as reader:
                reader.say(b"AUTH PLAIN " + plain)
                reader.say(b"QUIT")
            for _ in range(8):
                with gatepost.smtp.BlockingClient(
                    "127.0.0.1", server.port("submission"), ca_file=server.ca_file, server_name="localhost"
                ) as sender:
                    sender.login(ALICE, PASSWORD)
            for _ in range(8):
                with gatepost.pop3.BlockingClient(
                    "127.0.0.1", server.port("pop3"), ca_file=server.ca_file, server_name="localhost"
                ) as drop:
                    drop.login(ALICE, PASSWORD)
            logins += 20
    assert logins == 1000
    found = server.sessions()
    assert len(found) == 1000
    assert not leaked(server.octets(), words)
    decided = [
        event for session in found for event in session.events if isinstance(event, Decision) and event.what == "login"
    ]
    assert {event.rule for event in decided if event.verdict == "accept"} >= {"PLAIN", "LOGIN", "USER"}
    assert any(event.rule.startswith("SCRAM-SHA-256") for event in decided)
    assert sum(event.verdict == "accept" for event in decided) >= 900


def test_what_is_said_before_and_inside_tls_is_told_apart(server: Recording) -> None:
    """The record shows the upgrade with its evidence, and every event behind it as private."""
    with server:
        with private(server) as client:
            client.say(b"NOOP")
            client.say(b"QUIT")
    (session,) = server.sessions()
    (at,) = [number for number, event in enumerate(session.events) if isinstance(event, Upgraded)]
    assert {event.private for event in session.events[: at + 1]} == {False}
    assert {event.private for event in session.events[at + 1 :]} == {True}


def test_attacker_hides_commands_behind_starttls(server: Recording) -> None:
    """Plaintext behind STARTTLS is told of by its size; what it said, which may be a password, is not."""
    with server:
        client = Raw(server.port("submission"))
        client.say(b"EHLO attacker.example")
        client.send(b"STARTTLS\r\nAUTH PLAIN " + base64.b64encode(PASSWORD.encode()) + b"\r\n")
        assert client.reply().startswith(b"554")
        client.close()
    (session,) = server.sessions()
    assert any(isinstance(event, Decision) and event.what == "upgrade" for event in session.events)
    assert not leaked(server.octets(), PASSWORD.encode())


def test_directory_that_is_none_stops_no_mail(tmp_path: Path) -> None:
    """Where a file stands in the place of the directory nothing is recorded, and mail is taken."""
    (tmp_path / "records").write_bytes(b"")
    serves(Recording(tmp_path))


def serves(server: MailServer) -> None:
    """A message is taken."""
    with server:
        client = Raw(server.port("mx"))
        for line in (b"EHLO a.example", b"MAIL FROM:<a@a.example>", b"RCPT TO:<alice@example.test>"):
            assert client.say(line).startswith(b"250")
        client.say(b"DATA")
        assert client.say(b"x\r\n.").startswith(b"250")
        client.close()
        assert len(server.messages()) == 1
