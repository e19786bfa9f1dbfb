"""``gatepost.pop3.Client`` and ``BlockingClient``: the same promises, against a mailbox of three messages."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.connecting.peers import SECONDS, Awaited, Server, Talker

import gatepost
from gatepost.errors import LocalProtocolError, RemoteProtocolError, VerificationError
from gatepost.pop3 import AuthenticationRefused, BlockingClient, Client, Refused, StartTLSRefused

Make = Callable[..., Any]
MAIL = {1: b"Subject: one\r\n\r\n.dot\r\n", 2: b"Subject: two\r\n\r\ntext\r\n", 3: b"x" * 70 + b"\r\n" * 9000}


@pytest.fixture(params=["asyncio", "blocking"])
def make(request: pytest.FixtureRequest) -> Make:
    """``Client``, or ``BlockingClient`` made awaitable."""
    if request.param == "asyncio":
        return lambda *given, **how: Client(*given, **{"timeout": SECONDS, **how})
    return lambda *given, **how: Awaited(lambda: BlockingClient(*given, **{"timeout": SECONDS, **how}))


class Mailbox:
    """A POP3 server of one mailbox.

    :param sasl: what it lists inside TLS.
    :param stls: whether it lists STLS.
    """

    def __init__(self, sasl: str = "", *, stls: bool = True, implicit: bool = False) -> None:
        self.sasl = sasl
        self.stls = stls
        self.implicit = implicit
        self.heard: list[bytes] = []
        self.marked: set[int] = set()
        self.deleted: set[int] = set()

    def __call__(self, talker: Talker) -> None:
        if self.implicit:
            talker.upgrade()
        talker.say(b"+OK hello\r\n")
        while line := talker.line():
            self.heard.append(line)
            verb, *words = line.decode().split()
            answer = getattr(self, f"on_{verb.lower()}")(talker, *words)
            if answer is not None:
                talker.say(answer)
            if verb == "QUIT":
                return

    def on_capa(self, talker: Talker) -> bytes:
        private = talker.sock is not talker.plain
        listed = ("TOP", "UIDL", *(["USER", self.sasl] if private else ["STLS"] if self.stls else []))
        return b"+OK\r\n" + "".join(f"{each}\r\n" for each in listed if each).encode() + b".\r\n"

    def on_stls(self, talker: Talker) -> None:
        talker.say(b"+OK go\r\n")
        talker.upgrade()

    def on_user(self, talker: Talker, name: str) -> bytes:
        return b"+OK\r\n"

    def on_pass(self, talker: Talker, word: str) -> bytes:
        return b"+OK\r\n" if word == "wonderland" else b"-ERR [AUTH] no\r\n"

    def on_auth(self, talker: Talker, name: str, initial: str) -> bytes:
        known = base64.b64decode(initial) == b"\0alice\0wonderland"
        return b"+OK\r\n" if name == "PLAIN" and known else b"-ERR [AUTH] no\r\n"

    def on_stat(self, talker: Talker) -> bytes:
        return b"+OK %d %d\r\n" % (len(MAIL), sum(map(len, MAIL.values())))

    def on_list(self, talker: Talker) -> bytes:
        return b"+OK\r\n" + b"".join(b"%d %d\r\n" % (n, len(text)) for n, text in MAIL.items()) + b".\r\n"

    def on_uidl(self, talker: Talker) -> bytes:
        return b"+OK\r\n" + b"".join(b"%d id-%d\r\n" % (n, n) for n in MAIL) + b".\r\n"

    def on_retr(self, talker: Talker, number: str) -> bytes:
        text = MAIL.get(int(number))
        return b"-ERR no such message\r\n" if text is None else b"+OK\r\n" + text.replace(b"\n.", b"\n..") + b".\r\n"

    def on_top(self, talker: Talker, number: str, lines: str) -> bytes:
        return b"+OK\r\n" + MAIL[int(number)].partition(b"\r\n\r\n")[0] + b"\r\n\r\n.\r\n"

    def on_dele(self, talker: Talker, number: str) -> bytes:
        self.marked.add(int(number))
        return b"+OK\r\n"

    def on_rset(self, talker: Talker) -> bytes:
        self.marked.clear()
        return b"+OK\r\n"

    def on_noop(self, talker: Talker) -> bytes:
        return b"+OK\r\n"

    def on_quit(self, talker: Talker) -> bytes:
        self.deleted = set(self.marked)
        return b"+OK bye\r\n"


@pytest.mark.parametrize("implicit", [False, True], ids=["stls", "implicit"])
def test_mailbox_is_read_in_private(make: Make, tmp_path: Path, implicit: bool) -> None:
    """The whole of it: login, listings, messages in one piece and in several, marks, and the QUIT that deletes."""
    mailbox = Mailbox(implicit=implicit)

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file, implicit=implicit) as client:
            assert client.evidence.verification.status == "verified"
            assert client.capabilities.uidl and not client.capabilities.stls
            assert await client.login("alice", "wonderland") == "USER"
            drop = await client.stat()
            assert (drop.messages, drop.octets) == (3, sum(map(len, MAIL.values())))
            assert await client.list() == {number: len(text) for number, text in MAIL.items()}
            assert await client.uidl() == {1: "id-1", 2: "id-2", 3: "id-3"}
            assert await client.retrieve(1) == MAIL[1]
            assert await client.top(2) == b"Subject: two\r\n\r\n"
            pieces: list[bytes] = []
            assert await client.retrieve_into(3, pieces.append) == len(MAIL[3])
            assert b"".join(pieces) == MAIL[3]
            with pytest.raises(Refused, match="no such message"):
                await client.retrieve(4)
            await client.delete(3)
            await client.reset()
            await client.delete(1)
            await client.noop()

    with Server(mailbox, tmp_path) as server:
        asyncio.run(talk())
    assert mailbox.deleted == {1}


def test_exception_deletes_nothing(make: Make, tmp_path: Path) -> None:
    """Where the block is left by an exception, no QUIT is said."""
    mailbox = Mailbox()

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file) as client:
            await client.login("alice", "wonderland")
            await client.delete(1)
            raise KeyError

    with Server(mailbox, tmp_path) as server:
        with pytest.raises(KeyError):
            asyncio.run(talk())
    assert mailbox.marked == {1} and not mailbox.deleted


def test_best_mechanism_is_used(make: Make, tmp_path: Path) -> None:
    """SASL where it is listed; a refusal leaves the connection good."""
    mailbox = Mailbox("SASL PLAIN")

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file) as client:
            with pytest.raises(AuthenticationRefused):
                await client.login("alice", "looking-glass")
            assert await client.login("alice", "wonderland") == "PLAIN"

    with Server(mailbox, tmp_path) as server:
        asyncio.run(talk())


def test_nobody_logs_in_in_the_clear(make: Make, tmp_path: Path) -> None:
    """Not offered: required ends it, "may" goes on without any login, and the password is never sent."""
    mailbox = Mailbox(stls=False)

    async def talk(**how: Any) -> None:
        async with make("localhost", server.port, ca_file=server.ca_file, **how) as client:
            assert client.evidence is None
            for use in (lambda: client.login("alice", "wonderland"), client.stat, lambda: client.retrieve(1)):
                with pytest.raises(LocalProtocolError, match="in the clear"):
                    await use()

    with Server(mailbox, tmp_path) as server:
        asyncio.run(talk(starttls="may"))
        asyncio.run(talk(starttls="never"))
        with pytest.raises(StartTLSRefused):
            asyncio.run(talk())
    assert b"wonderland" not in b"".join(mailbox.heard)


def test_stranger_gets_no_password(make: Make, tmp_path: Path) -> None:
    """Another name in the certificate ends it."""
    mailbox = Mailbox()

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file, server_name="x.test") as client:
            await client.login("alice", "wonderland")

    with Server(mailbox, tmp_path) as server:
        with pytest.raises(VerificationError):
            asyncio.run(talk())
    assert b"wonderland" not in b"".join(mailbox.heard)


def test_injected_answer_is_refused(make: Make, tmp_path: Path) -> None:
    """Bytes behind the go-ahead end it before the handshake."""

    class Injecting(Mailbox):
        def on_stls(self, talker: Talker) -> None:
            talker.say(b"+OK go\r\n+OK injected\r\n")

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file):
            raise AssertionError("connected")

    with Server(Injecting(), tmp_path) as server:
        with pytest.raises(gatepost.PlaintextAfterUpgrade):
            asyncio.run(talk())


def test_message_beyond_the_limit_ends_the_connection(make: Make, tmp_path: Path) -> None:
    """A peer does not decide how much we hold."""

    async def talk() -> None:
        async with make("localhost", server.port, ca_file=server.ca_file) as client:
            await client.login("alice", "wonderland")
            with pytest.raises(RemoteProtocolError):
                await client.retrieve(3, limit=100)
            with pytest.raises((LocalProtocolError, OSError)):
                await client.stat()

    with Server(Mailbox(), tmp_path) as server:
        asyncio.run(talk())
