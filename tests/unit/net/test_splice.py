"""Two connections made one: every octet, both ways, at the slower one's pace, to the end of each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.errors import LocalProtocolError
from gatepost.net.channel import PlainChannel
from gatepost.net.drive import Wire
from gatepost.net.splice import Counts, PlainEnd, pass_on, splice
from gatepost.net.transport import BULK_SIZE, Transport
from gatepost.wire.upgrade import (
    Origin,
    PassReady,
    PlaintextAfterUpgrade,
    Role,
    hand_over_client,
    hand_over_server,
    pass_upgrade,
)

try:
    import uvloop
except ImportError:  # pragma: no cover
    LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
else:
    LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "front", 0.0, "c1")
BEHIND = Origin(("192.0.2.9", 25), ("192.0.2.2", 2), "backend:mail", 0.0, "c2")
HELLO = b"\x16\x03\x01\x00\xf8\x01" + bytes(20)
EVERY = bytes(range(256))
PATIENCE = 60.0


class Ends(NamedTuple):
    """What a test holds: the two peers' sockets, and the two transports between them."""

    client: socket.socket
    server: socket.socket
    near: Transport
    far: Transport


Body = Callable[[Ends], Awaitable[None]]


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Runs a test between two socket pairs, on each loop."""
    return lambda body: run_on(LOOPS[request.param], body)


def run_on(factory: Callable[[], asyncio.AbstractEventLoop], body: Body) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            (client, near), (server, far) = stack.enter_context(pair()), stack.enter_context(pair())
            ends = Ends(client, server, Transport(loop, near), Transport(loop, far))
            async with asyncio.timeout(PATIENCE):
                await body(ends)
            assert ends.near.closed
            assert ends.far.closed

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection, the first one with its own timeout: a socket pair knows no reset."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    theirs.settimeout(PATIENCE)
    with theirs, ours:
        yield theirs, ours


def joined(ends: Ends, counts: Counts | None = None, idle: float = PATIENCE) -> asyncio.Task[Counts]:
    return asyncio.ensure_future(
        splice(PlainEnd(ends.near), PlainEnd(ends.far), idle_seconds=idle, counts=counts or Counts())
    )


async def off(call: Callable[..., bytes | None], *args: object) -> bytes | None:
    """A blocking call of a peer, beside the loop."""
    return await asyncio.to_thread(call, *args)


def read_all(sock: socket.socket) -> bytes:
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, "the end came early"
        data += piece
    return data


def test_splice_passes_every_octet_both_ways(run: Callable[[Body], None]) -> None:
    """Each octet value arrives as it was sent, and both directions are counted."""

    async def body(ends: Ends) -> None:
        task = joined(ends)
        ends.client.sendall(EVERY)
        ends.server.sendall(EVERY[::-1] * 2)
        assert await off(read_exactly, ends.server, 256) == EVERY
        assert await off(read_exactly, ends.client, 512) == EVERY[::-1] * 2
        ends.client.close()
        ends.server.close()
        counts = await task
        assert (counts.from_near, counts.from_far) == (256, 512)

    run(body)


def test_splice_passes_a_half_close_on(run: Callable[[Body], None]) -> None:
    """An end that is done may still listen: the other answers, and only then is it over."""

    async def body(ends: Ends) -> None:
        task = joined(ends)
        ends.client.sendall(b"question")
        ends.client.shutdown(socket.SHUT_WR)
        assert await off(read_all, ends.server) == b"question"
        assert not task.done()
        await off(ends.server.sendall, EVERY * 4096)
        ends.server.shutdown(socket.SHUT_WR)
        assert await off(read_all, ends.client) == EVERY * 4096
        counts = await task
        assert counts == Counts(8, 256 * 4096, "closed")

    run(body)


def test_splice_holds_no_more_than_it_may(run: Callable[[Body], None]) -> None:
    """A reader that takes nothing stops the writer; never more than 256 KiB wait in between, and nothing is lost."""
    size = 32 << 20

    async def body(ends: Ends) -> None:
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        task = joined(ends)
        sender = threading.Thread(target=ends.server.sendall, args=(EVERY * (size // 256),), daemon=True)
        sender.start()
        most = 0
        while ends.near.unsent <= 1 << 16:  # until the reader's end is full
            await asyncio.sleep(0)
        got = bytearray()
        while len(got) < size:
            most = max(most, ends.near.unsent)
            piece = await off(ends.client.recv, 65536)
            assert piece
            got += piece
        assert most <= 1 << 18
        assert bytes(got) == EVERY * (size // 256)
        await off(lambda: sender.join(PATIENCE))
        ends.server.close()
        ends.client.close()
        assert (await task).from_far == size

    run(body)


@pytest.mark.parametrize("who", ["client", "server"])
def test_splice_passes_a_break_on_as_a_break(run: Callable[[Body], None], who: str) -> None:
    """An end that is reset resets the other: nobody takes what came so far for the whole."""

    async def body(ends: Ends) -> None:
        task = joined(ends)
        broken, other = (ends.client, ends.server) if who == "client" else (ends.server, ends.client)
        broken.sendall(b"some")
        assert await off(read_exactly, other, 4) == b"some"
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        broken.close()
        with pytest.raises(ConnectionResetError):
            await off(other.recv, 1)
        assert (await task).ending == "broken"

    run(body)


def test_splice_of_a_client_that_leaves_the_last_word_unread_is_closed(run: Callable[[Body], None]) -> None:
    """Its system sends a reset in place of a FIN then; the server had said that it is done, so nothing is missing."""

    async def body(ends: Ends) -> None:
        task = joined(ends)
        ends.client.sendall(b"QUIT")
        assert await off(read_exactly, ends.server, 4) == b"QUIT"
        ends.server.sendall(b"bye")
        ends.server.close()
        assert await off(read_exactly, ends.client, 3) == b"bye"
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        assert await off(ends.client.recv, 1, socket.MSG_PEEK) == b""
        ends.client.close()
        assert (await task).ending == "closed"

    run(body)


def test_splice_delivers_what_an_end_finished_before_it_went(run: Callable[[Body], None]) -> None:
    """An end that said all it had and is gone loses nothing of it, though the other reads slowly."""
    size = 4 << 20

    async def body(ends: Ends) -> None:
        ends.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        task = joined(ends)

        def send() -> None:
            ends.client.sendall(EVERY * (size // 256))
            ends.client.close()

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        got = await off(read_exactly, ends.server, size)
        assert got == EVERY * (size // 256)
        assert await off(ends.server.recv, 1) == b""
        await off(lambda: sender.join(PATIENCE))
        ends.server.close()
        assert (await task).from_near == size

    run(body)


def test_splice_ends_when_nothing_moves(run: Callable[[Body], None]) -> None:
    """Silence is borne for so long."""

    async def body(ends: Ends) -> None:
        counts = await joined(ends, idle=0.05)
        assert counts.ending == "idle"

    run(body)


def test_splice_ends_when_a_reader_takes_nothing(run: Callable[[Body], None]) -> None:
    """A reader that stalls is silence too, whatever waits for it."""

    async def body(ends: Ends) -> None:
        ends.server.settimeout(None)
        task = joined(ends, idle=0.3)
        ends.server.setblocking(False)
        with contextlib.suppress(OSError):
            while not task.done():
                with contextlib.suppress(BlockingIOError):
                    ends.server.send(bytes(65536))
                await asyncio.sleep(0.001)
        assert (await task).ending in {"idle", "broken"}

    run(body)


def test_splice_that_is_cancelled_breaks_both_off(run: Callable[[Body], None]) -> None:
    """Whoever ends it from outside leaves no half of it."""

    async def body(ends: Ends) -> None:
        counts = Counts()
        task = joined(ends, counts)
        ends.client.sendall(b"abc")
        assert await off(read_exactly, ends.server, 3) == b"abc"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert counts == Counts(3, 0, "broken")

    run(body)


def test_splice_of_an_end_that_is_gone_is_over(run: Callable[[Body], None]) -> None:
    """A server that went before anything was passed on takes the client with it."""

    async def body(ends: Ends) -> None:
        ends.far.abort()
        assert (await joined(ends)).ending == "broken"

    run(body)


def test_wire_gives_away_what_nobody_asked_for(run: Callable[[Body], None]) -> None:
    """What a server said first, and that it is done, go into the splice."""

    async def body(ends: Ends) -> None:
        wire = Wire(asyncio.get_running_loop(), ends.far, BEHIND)
        ends.server.sendall(b"greeting")
        ends.server.shutdown(socket.SHUT_WR)
        assert await wire.ready(PATIENCE)
        given = wire.surrender()
        assert given.waiting == b"greeting"
        assert isinstance(given.channel, PlainChannel)
        assert wire.closed
        with pytest.raises(LocalProtocolError):
            PlainChannel(given.channel.surrender(), BEHIND)
            given.channel.send(b"more")
        task = asyncio.ensure_future(
            splice(
                PlainEnd(ends.near), PlainEnd(ends.far), idle_seconds=PATIENCE,
                waiting=given.waiting, ended=given.ended,
            )
        )  # fmt: skip
        assert await off(read_exactly, ends.client, 8) == b"greeting"
        ends.client.shutdown(socket.SHUT_WR)
        assert await off(read_all, ends.server) == b""
        assert (await task).from_far == 8

    run(body)


# TLS that is not ours


def token(early: bytes = b"") -> PassReady:
    ready, hello = hand_over_server(ORIGIN, early)
    return pass_upgrade(ready, hello, hand_over_client(BEHIND, b""), b"")


@pytest.mark.parametrize("early", [b"", HELLO[:3], HELLO])
def test_pass_on_passes_the_hello_and_all_that_follows(run: Callable[[Body], None], early: bytes) -> None:
    """The server gets the client's hello from its first octet, and then every octet goes both ways."""

    async def body(ends: Ends) -> None:
        task = asyncio.ensure_future(pass_on(token(early), ends.near, ends.far, idle_seconds=PATIENCE))
        if rest := HELLO[len(early) :]:
            ends.client.sendall(rest)
        assert await off(read_exactly, ends.server, len(HELLO)) == HELLO
        ends.server.sendall(EVERY)
        assert await off(read_exactly, ends.client, 256) == EVERY
        ends.client.sendall(EVERY)
        assert await off(read_exactly, ends.server, 256) == EVERY
        ends.client.close()
        ends.server.close()
        assert (await task).from_near == len(HELLO) + 256

    run(body)


@pytest.mark.parametrize("early", [b"", HELLO[:3]])
def test_pass_on_refuses_plaintext_of_the_client(run: Callable[[Body], None], early: bytes) -> None:
    """What is no hello is not passed on, and both ends are broken off."""

    async def body(ends: Ends) -> None:
        task = asyncio.ensure_future(pass_on(token(early), ends.near, ends.far, idle_seconds=PATIENCE))
        ends.client.sendall(b"NOOP\r\n")
        with pytest.raises(PlaintextAfterUpgrade) as caught:
            await task
        assert caught.value.residue == b"NOOP\r\n"
        got = b""
        with contextlib.suppress(ConnectionResetError):
            got = await off(read_all, ends.server) or b""
        assert early.startswith(got)

    run(body)


def test_pass_on_refuses_a_server_that_speaks_first(run: Callable[[Body], None]) -> None:
    """Words between the go-ahead and the client's hello are an injection, in whichever segment they come."""

    async def body(ends: Ends) -> None:
        task = asyncio.ensure_future(pass_on(token(), ends.near, ends.far, idle_seconds=PATIENCE))
        ends.server.sendall(b"250-injected\r\n")
        with pytest.raises(PlaintextAfterUpgrade) as caught:
            await task
        assert caught.value.role is Role.CLIENT
        got = b""
        with contextlib.suppress(ConnectionResetError):
            got = await off(read_all, ends.client) or b""
        assert got == b""

    run(body)


def test_pass_on_asks_for_the_token(run: Callable[[Body], None]) -> None:
    """Without it nothing goes through."""

    async def body(ends: Ends) -> None:
        with pytest.raises(LocalProtocolError):
            await pass_on(None, ends.near, ends.far, idle_seconds=1.0)  # type: ignore[arg-type]
        ends.near.abort()
        ends.far.abort()

    run(body)


@settings(max_examples=25, deadline=None)
@given(
    up=st.lists(st.binary(min_size=1, max_size=3 * BULK_SIZE), max_size=6),
    down=st.lists(st.binary(min_size=1, max_size=3 * BULK_SIZE), max_size=6),
)
def test_splice_is_the_identity(up: list[bytes], down: list[bytes]) -> None:
    """Whatever is sent arrives as it was, however it was cut, on both ways at once."""

    async def body(ends: Ends) -> None:
        task = joined(ends)

        def talk(sock: socket.socket, pieces: list[bytes]) -> bytes:
            def send() -> None:
                for piece in pieces:
                    sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            got = read_all(sock)
            sender.join(PATIENCE)
            return got

        at_client, at_server = await asyncio.gather(off(talk, ends.client, up), off(talk, ends.server, down))
        assert at_server == b"".join(up)
        assert at_client == b"".join(down)
        assert await task == Counts(len(b"".join(up)), len(b"".join(down)), "closed")

    run_on(LOOPS["asyncio"], body)
