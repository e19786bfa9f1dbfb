"""Replaying to servers that answer otherwise: nothing is sent that the record does not have an answer for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
from tests.unit.record.conversation import Conversation, starttls_session

from gatepost.cli.record_player import Login, Played, Player, Stopped
from gatepost.record.reading import Session
from gatepost.record.script import script
from gatepost.wire.sasl.secret import Secret


class Server:
    """A connection to a server that answers from a list, whatever it is told."""

    def __init__(self, answers: Iterable[bytes]) -> None:
        self.waiting = b"".join(answers)
        self.heard = b""

    async def send(self, data: bytes) -> None:
        self.heard += data

    async def readline(self, limit: int) -> bytes:
        line, end, self.waiting = self.waiting.partition(b"\n")
        return line + end

    async def read(self, limit: int) -> bytes:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken


def play(session: Session, server: Server, **given: Any) -> tuple[list[Played], str]:
    """Play all that can be played; what was done, and why it stopped."""
    options = {"login": None, "secretive": False, "exact": False, **given}
    player = Player(cast(Any, server), script(session), **options)
    done: list[Played] = []

    async def run() -> str:
        try:
            async for played in player.play():
                done.append(played)
        except Stopped as stop:
            return stop.message
        return ""

    return done, asyncio.run(run())


def asked(*lines: tuple[bytes, bytes]) -> Conversation:
    """A session of commands and answers."""
    talk = Conversation()
    talk.server(b"220 hi")
    for line, answer in lines:
        talk.client(line)
        talk.server(answer)
    return talk


def test_refused_starttls_ends_it() -> None:
    """Nothing that was private in the record is said in the clear."""
    server = Server([b"220 hi\r\n", b"250 mx\r\n", b"454 not now\r\n"])
    _, stopped = play(starttls_session(), server)
    assert "refuses to begin TLS" in stopped
    assert server.heard == b"EHLO client.example.net\r\nSTARTTLS\r\n"


def test_content_that_is_not_in_the_record_is_not_made_up() -> None:
    """A server that takes a message which the old one refused gets nothing of it."""
    server = Server([b"220 hi\r\n", b"354 go\r\n"])
    _, stopped = play(asked((b"DATA", b"503 no"), (b"QUIT", b"221 bye")).close(), server)
    assert "nothing was sent" in stopped and server.heard == b"DATA\r\n"


def test_content_that_is_not_wanted_is_not_sent() -> None:
    """Behind a refused DATA its lines would be commands."""
    talk = asked((b"DATA", b"354 go"))
    talk.data("client", 30, content=b"MAIL FROM:<a@b.test>\r\n12345678")
    talk.server(b"250 ok")
    server = Server([b"220 hi\r\n", b"503 no\r\n"])
    done, _ = play(talk.close(), server)
    assert server.heard == b"DATA\r\n" and done[-1].verdict == "left out"


def test_recorded_content_is_sent_with_its_dots_doubled() -> None:
    """What was kept whole is sent as it was, and ends where it ended."""
    talk = asked((b"DATA", b"354 go"))
    talk.data("client", 14, content=b"a\r\n.\r\nQUIT\r\n.b")
    talk.server(b"250 ok")
    server = Server([b"220 hi\r\n", b"354 go\r\n", b"250 ok\r\n"])
    done, stopped = play(talk.close(), server)
    assert server.heard == b"DATA\r\na\r\n..\r\nQUIT\r\n..b\r\n.\r\n"
    assert stopped == "" and done[-1].verdict == "same" and done[-1].note == ""


@pytest.mark.parametrize("goodbye", [b"", b"421 4.3.2 bye\r\n"])
def test_server_that_leaves_ends_it(goodbye: bytes) -> None:
    """It closes, or says goodbye where it did not before."""
    _, stopped = play(asked((b"NOOP", b"250 ok"), (b"NOOP", b"250 ok")).close(), Server([b"220 hi\r\n", goodbye]))
    assert "closed the connection" in stopped or "says goodbye" in stopped


def test_login_is_not_said_in_the_clear_to_others() -> None:
    """A password goes over the network inside TLS, or not at all."""
    talk = Conversation()
    talk.server(b"220 hi")
    talk.client(b"AUTH PLAIN ***", masked=True)
    talk.server(b"235 in")
    login = Login("alice", Secret(b"wonderland"))
    server = Server([b"220 hi\r\n", b"235 in\r\n"])
    private: Any = Server([b"220 hi\r\n", b"235 in\r\n"])
    done, _ = play(talk.close(), server, login=login, secretive=True)
    assert server.heard == b"" and "not private" in done[-1].note
    done, _ = play(talk.session, private, login=login)
    assert private.heard == b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n" and done[-1].verdict == "same"


def test_answer_without_an_end_ends() -> None:
    """A literal of two gigabytes is not waited for."""
    talk = Conversation(protocol="imap")
    talk.server(b"* OK hi")
    talk.client(b"a FETCH 1 BODY[]")
    talk.server(b"a OK done")
    _, stopped = play(talk.close(), Server([b"* OK hi\r\n", b"* 1 FETCH (BODY[] {2147483648}\r\n"]))
    assert "too long" in stopped
