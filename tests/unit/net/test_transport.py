"""One socket, one owner: what a transport reads, writes and gives up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.listen import Acceptor, BindError, bind, bind_local, peer_uid, show
from gatepost.net.transport import READ_SIZE, WRITE_LIMIT, Transport
from gatepost.wire.upgrade import Origin

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "mx", 0.0, "c1")


class Ear:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self.lost: list[OSError | None] = []
        self.event = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.event.set()

    def eof_received(self) -> None:
        self.ended = True
        self.event.set()

    def connection_lost(self, error: OSError | None) -> None:
        self.lost.append(error)
        self.event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await self.event.wait()
                self.event.clear()


Body = Callable[[Transport, socket.socket, Ear], Awaitable[None]]


def with_transport(body: Body) -> None:
    """Run a test with a transport, the peer's socket, and a receiver."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.settimeout(10)
        with theirs:
            transport, ear = Transport(asyncio.get_running_loop(), ours), Ear()
            transport.receive_with(ear)
            await body(transport, theirs, ear)
            transport.abort()
            assert transport.closed
            assert len(ear.lost) == 1

    asyncio.run(main())


def test_transport_reads_for_one_receiver() -> None:
    """What is read goes to the receiver of the moment, and nothing is kept between two of them."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        transport.resume()
        peer.sendall(b"one")
        await ear.until(lambda: ear.data == b"one")
        other = Ear()
        transport.receive_with(other)
        peer.sendall(b"two")
        await other.until(lambda: other.data == b"two")
        assert ear.data == b"one"
        transport.receive_with(ear)

    with_transport(body)


def test_transport_leaves_octets_in_the_kernel_while_paused() -> None:
    """Nothing reads ahead: while it is paused, a transport takes nothing off the socket."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        transport.resume()
        transport.pause()
        peer.sendall(b"waiting")
        for _ in range(5):
            await asyncio.sleep(0)
        assert ear.data == b""
        transport.resume()
        await ear.until(lambda: ear.data == b"waiting")

    with_transport(body)


def test_transport_sends_all_of_a_long_write() -> None:
    """What the kernel does not take at once follows, in order."""
    content = bytes(range(256)) * 3000

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        transport.write(content)
        assert transport.unsent
        transport.write(b"end")
        reading = asyncio.get_running_loop().run_in_executor(None, read_exactly, peer, len(content) + 3)
        async with asyncio.timeout(10):
            await transport.drain(0)
            assert await reading == content + b"end"

    with_transport(body)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(65536)
    return data


def test_transport_hangs_up_on_a_peer_that_never_reads() -> None:
    """What a peer leaves unread is bounded."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        for _ in range(100):
            transport.write(b"x" * (WRITE_LIMIT // 20))
        assert transport.closed

    with_transport(body)


def test_transport_tells_the_end_and_the_loss_once() -> None:
    """The end of what the peer sends, and the loss of the connection, are two things."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        transport.resume()
        peer.shutdown(socket.SHUT_WR)
        await ear.until(lambda: ear.ended)
        assert ear.lost == []
        transport.write(b"still here")
        assert peer.recv(100) == b"still here"
        transport.close()
        transport.close()
        transport.abort()

    with_transport(body)


def test_transport_lingers_so_that_the_last_reply_arrives() -> None:
    """Octets that still come in do not reset the connection before the last reply was read."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        peer.sendall(b"unread" * 100)
        transport.write(b"421 bye\r\n")
        transport.close(linger=True)
        peer.sendall(b"more")
        assert peer.recv(100) == b"421 bye\r\n"
        assert peer.recv(100) == b""
        peer.close()
        await ear.until(lambda: bool(ear.lost))

    with_transport(body)


def test_transport_bounds_what_it_drops_while_lingering() -> None:
    """A peer that goes on sending for ever is cut off."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        transport.close(linger=True)
        loop = asyncio.get_running_loop()
        sending = loop.run_in_executor(None, send_for_ever, peer)
        await ear.until(lambda: bool(ear.lost))
        assert isinstance(await sending, OSError)

    with_transport(body)


def send_for_ever(sock: socket.socket) -> OSError | None:
    try:
        for _ in range(1000):
            sock.sendall(b"x" * 65536)
    except OSError as error:
        return error
    return None


def test_plain_channel_says_nothing_after_it_was_spent() -> None:
    """After the upgrade began there is no way to write in the clear."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        channel = PlainChannel(transport, ORIGIN)
        channel.start(ear)
        channel.send(b"220 ready\r\n")
        channel._spent = True
        with pytest.raises(LocalProtocolError):
            channel.send(b"250 too late\r\n")
        channel.close(b"250 too late\r\n")
        assert peer.recv(100) == b"220 ready\r\n"
        assert peer.recv(100) == b""

    with_transport(body)


def test_secure_channel_is_made_by_a_handshake_alone() -> None:
    """There is no secure channel over a transport and a promise."""

    async def body(transport: Transport, peer: socket.socket, ear: Ear) -> None:
        with pytest.raises(LocalProtocolError):
            SecureChannel(transport, object())  # type: ignore[arg-type]  # what mypy rejects, the run refuses too

    with_transport(body)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with bind(("127.0.0.1", 0)) as sock:
        yield sock


def test_bind_says_what_to_do_when_an_address_is_taken(listening: socket.socket) -> None:
    """The message names the address, the hint how to find who has it."""
    port = listening.getsockname()[1]
    with pytest.raises(BindError, match=f"127.0.0.1:{port}: Address already in use") as caught:
        bind(("127.0.0.1", port))
    assert f"sport = :{port}" in caught.value.hint
    with pytest.raises(BindError) as caught:
        bind(("192.0.2.1", 0))
    assert caught.value.hint == "this machine does not have that address"


def test_addresses_are_shown_as_people_write_them() -> None:
    """IPv6 addresses stand in brackets."""
    assert show(("::1", 25)) == "[::1]:25"
    assert show(("192.0.2.1", 25)) == "192.0.2.1:25"


def test_a_probe_goes_on_to_what_stands_behind_the_octets_it_finds() -> None:
    """Where nobody tells of anything any more, one look is enough, however much is to be read before the end."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        descriptor = near.fileno()
        transport, ear = Transport(loop, near), Ear()
        transport.receive_with(ear)
        transport.resume()
        loop.remove_reader(descriptor)  # as libuv does when an error is reported together with data
        with far:
            far.sendall(b"x" * 5 * READ_SIZE)
        transport.probe()
        async with asyncio.timeout(60):
            while not ear.ended:
                await ear.event.wait()
                ear.event.clear()
        assert len(ear.data) == 5 * READ_SIZE
        transport.abort()

    asyncio.run(main())


def test_acceptor_accepts_until_it_is_stopped(listening: socket.socket) -> None:
    """Stopping leaves the socket open for the other processes that share it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        accepted: list[socket.socket] = []
        came = asyncio.Event()

        def take(sock: socket.socket, peer: object) -> None:
            accepted.append(sock)
            came.set()

        acceptor = Acceptor(loop, listening, take)
        with socket.create_connection(listening.getsockname()):
            async with asyncio.timeout(10):
                await came.wait()
        acceptor.stop()
        acceptor.stop()
        with socket.create_connection(listening.getsockname()):
            for _ in range(5):
                await asyncio.sleep(0)
        assert len(accepted) == 1
        accepted[0].close()

    asyncio.run(main())


def test_local_socket_tells_who_connects(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The kernel says which user is at the other end; a stale socket is replaced."""
    import os

    path = tmp_path_factory.mktemp("run") / "local.sock"
    bind_local(path).close()
    with bind_local(path) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.setblocking(True)
        client.connect(str(path))
        sock, _ = listening.accept()
        with sock:
            assert peer_uid(sock) == os.getuid()
    path.unlink()
    path.write_text("a file, not a socket")
    with pytest.raises(BindError):
        bind_local(path)


def test_acceptor_tells_of_descriptors_that_have_run_out_and_not_each_time(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One word a minute, not one for each of the five attempts a second; who waited is accepted when there is room."""
    attempts = iter([OSError(errno.EMFILE, os.strerror(errno.EMFILE)) for _ in range(3)])
    accept = socket.socket.accept

    def full(sock: socket.socket) -> tuple[socket.socket, Any]:
        for error in attempts:
            raise error
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", full)

    async def main() -> None:
        accepted: asyncio.Queue[socket.socket] = asyncio.Queue()
        told: list[int | None] = []
        acceptor = Acceptor(
            asyncio.get_running_loop(),
            listening,
            lambda sock, peer: accepted.put_nowait(sock),
            lambda error: told.append(error.errno),
        )
        with socket.create_connection(listening.getsockname()):
            async with asyncio.timeout(60):
                (await accepted.get()).close()
        assert (next(attempts, None), told) == (None, [errno.EMFILE])
        acceptor.stop()

    asyncio.run(main())
