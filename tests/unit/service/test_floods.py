"""A client that sends a thousand commands at once is served, and so are the others on its loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, Final, cast

import pytest

from gatepost.net.channel import PlainChannel
from gatepost.net.served import COMMANDS_A_TURN
from gatepost.net.transport import Transport
from gatepost.service.pop3.connection import POP3Connection
from gatepost.service.pop3.session import Session
from gatepost.smtp.conversation import Conversation, PlainConversation
from gatepost.testing.handshakes import SERVER_ORIGIN
from gatepost.wire.pop3.profile import ServerProfile as POP3Profile
from gatepost.wire.pop3.server import PlainServer as POP3Server
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.server import PlainServer

PATIENCE: Final = 60.0
COMMANDS: Final = 10 * COMMANDS_A_TURN
# What is sent again and again, how the replies begin, in order, and what is said last at a drain. NOOP and CAPA are
# answered by the engine, VRFY is an event.
FLOODS: Final = {
    "smtp": (b"NOOP\r\nVRFY x\r\n", (b"250 ", b"252 "), b"421 "),
    "pop3": (b"CAPA\r\nCAPA\r\n", (b"+OK ", b"+OK "), b"-ERR"),
}
both = pytest.mark.parametrize("kind", FLOODS)


class Line:
    """A connection without clocks."""

    command_seconds = data_seconds = login_seconds = PATIENCE
    upgradable = False

    def __init__(self) -> None:
        self.outcome = ""
        self.port = self

    def wait(self, seconds: float, phase: str) -> None: ...

    def ended(self) -> None: ...

    def plaintext_found(self, residue: bytes) -> None: ...

    def upgrade(self, *_: Any) -> None: ...


class Client:
    """One end of a pair of sockets, whose other end is served."""

    def __init__(self, kind: str) -> None:
        self.sock, far = socket.socketpair()
        self.sock.setblocking(False)
        self.transport = Transport(asyncio.get_running_loop(), far)
        self.session = _session(kind, PlainChannel(self.transport, SERVER_ORIGIN))
        self.session.greet()
        self.sock.recv(1024)
        self.commands, self.replies, self.last = FLOODS[kind]
        self.heard: list[bytes] = []
        self.over = False

    def flood(self) -> None:
        """Send all commands at once."""
        self.sock.sendall(self.commands * (COMMANDS // 2))

    def look(self) -> int:
        """Take the replies that are there; their number."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return 0
        self.over = not data
        begins = (*self.replies, self.last)
        new = [line[:4] for line in data.splitlines() if line[:4] in begins]
        self.heard += new
        return len(new)

    async def until(self, promise: Callable[[], bool]) -> list[int]:
        """Look at every turn of the loop until something is true; how many replies came at each."""
        turns = []
        async with asyncio.timeout(PATIENCE):
            while not promise():
                await asyncio.sleep(0)
                turns.append(self.look())
        return turns

    def close(self) -> None:
        self.transport.abort()
        self.sock.close()


def _session(kind: str, channel: PlainChannel) -> Conversation | Session:
    made: Conversation | Session
    if kind == "smtp":
        engine = PlainServer(SERVER_ORIGIN, ServerProfile(hostname="mx.example.test"))
        made = PlainConversation(Line(), channel, engine)
    else:
        maildrop = POP3Server(SERVER_ORIGIN, POP3Profile(hostname="mx.example.test"))
        made = Session(cast(POP3Connection, Line()), channel, maildrop)
    channel.start(made)
    return made


def play(scene: Callable[..., Coroutine[Any, Any, None]], *kinds: str) -> None:
    """Run a scene with clients of these kinds."""

    async def main() -> None:
        with ExitStack() as stack:
            clients = [Client(kind) for kind in kinds]
            for client in clients:
                stack.callback(client.close)
            await scene(*clients)

    asyncio.run(main())


@both
def test_a_flood_is_answered_in_order_and_no_turn_has_more_than_its_share(kind: str) -> None:
    """However many commands came in one read, a bounded number of them holds up the loop."""

    async def scene(client: Client) -> None:
        client.flood()
        turns = await client.until(lambda: len(client.heard) == COMMANDS)
        assert max(turns) == COMMANDS_A_TURN
        assert client.heard == list(client.replies) * (COMMANDS // 2)

    play(scene, kind)


@both
def test_others_are_answered_while_a_flood_is(kind: str) -> None:
    """Who asks one thing does not wait for the thousand of another."""

    async def scene(first: Client, second: Client) -> None:
        first.flood()
        second.sock.sendall(second.commands)
        await second.until(lambda: len(second.heard) == 2)
        first.look()
        assert 0 < len(first.heard) < COMMANDS
        await first.until(lambda: len(first.heard) == COMMANDS)

    play(scene, kind, kind)


@both
def test_a_flood_before_the_end_of_the_stream_is_answered_to_its_last_command(kind: str) -> None:
    """That the client says nothing more does not cut its commands off."""

    async def scene(client: Client) -> None:
        client.flood()
        client.sock.shutdown(socket.SHUT_WR)
        await client.until(lambda: client.over)
        assert len(client.heard) == COMMANDS

    play(scene, kind)


@both
def test_an_end_of_the_stream_between_two_turns_cuts_no_command_off(kind: str) -> None:
    """Inside TLS the alert that closes comes in one read with the commands before it."""

    async def scene(client: Client) -> None:
        client.session.data_received(client.commands * (COMMANDS // 2))
        client.session.eof_received()
        await client.until(lambda: client.over)
        assert len(client.heard) == COMMANDS

    play(scene, kind)


@both
def test_a_drain_does_not_wait_for_a_flood(kind: str) -> None:
    """Between two turns nothing is under way: the last words come, and the commands behind them are not answered."""

    async def scene(client: Client) -> None:
        client.flood()
        await client.until(lambda: len(client.heard) > 0)
        client.session.drain()
        await client.until(lambda: client.over)
        assert len(client.heard) < COMMANDS
        assert client.heard[-1] == client.last

    play(scene, kind)
