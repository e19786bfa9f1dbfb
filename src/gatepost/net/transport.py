"""One socket, one owner of its read side.

A ``Transport`` reads when its loop says so and hands what it read to exactly one receiver. Nothing else reads the
socket, nothing reads ahead, and nothing is kept between two calls: a change of receiver (the upgrade) cannot leave
bytes behind. It is driven by ``loop.add_reader`` because ``asyncio`` streams and ``loop.start_tls`` carry plaintext
across the upgrade.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from gatepost.net.tap import Tap

READ_SIZE: Final = 16384  # octets of a usual read: a command, or a record
BULK_SIZE: Final = 1 << 17  # of a read while content streams in
WRITE_LIMIT: Final = 1 << 20  # octets that a peer may leave unread before we hang up
_LINGER_SECONDS: Final = 2.0
_FLUSH_SECONDS: Final = 30.0  # in which a peer takes our last words, or does not get them
_LINGER_OCTETS: Final = 1 << 18
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, no seconds


class Receiver(Protocol):
    """Who is told what a transport read."""

    def data_received(self, data: bytes) -> None:
        """Octets arrived."""

    def eof_received(self) -> None:
        """The peer will send nothing more."""

    def connection_lost(self, error: OSError | None) -> None:
        """The connection is gone; nothing can be written any more."""


class Transport:
    """A connected, non-blocking socket on an event loop.

    :param loop: the running loop (asyncio's or uvloop's).
    :param sock: a connected stream socket; the transport owns it from here on. An accepted one has TCP_NODELAY from its
        listening socket (``net.listen.bind``), one that was dialled from ``net.dial``.
    """

    __slots__ = (
        "_closing", "_drained", "_ending", "_fd", "_finishing", "_lingers", "_loop", "_out", "_reading", "_receiver",
        "_size", "_sock", "closed", "taken", "tap",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._receiver: Receiver | None = None
        self._out = b""
        self._size = READ_SIZE
        self._reading = False
        self._closing = False
        self._finishing = False
        self._lingers = False
        self._ending: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self.closed = False
        self.taken: Callable[[], None] | None = None  # told when the peer took some of what was unsent
        self.tap: Tap | None = None  # only on a connection that is traced

    def receive_with(self, receiver: Receiver) -> None:
        """Make ``receiver`` the owner of everything that is read from now on."""
        self._receiver = receiver if self.tap is None else self.tap.watch(receiver)

    def resume(self) -> None:
        """Read when there is something to read."""
        if not self._reading and not self.closed and not self._closing:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def pause(self) -> None:
        """Stop reading: the peer's bytes wait in the kernel, and TCP slows it down."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def probe(self) -> None:
        """Look whether the peer is gone, or something waits, though nobody said so.

        libuv stops watching a socket for good when an error is reported together with data (``uv__poll_io``), so under
        uvloop a reset right behind the last octets is never told. Whoever waits long for a peer probes now and then;
        a probe that finds octets goes on, turn by turn, to what stands behind all of them.
        """
        if not self._reading:
            return
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        self._readable()
        self.soon(self.probe)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call at the loop's next turn, when the other connections had theirs."""
        self._loop.call_soon(callback)

    @property
    def unsent(self) -> int:
        """Octets that the peer has not taken yet."""
        return len(self._out)

    def write(self, data: bytes) -> None:
        """Send now what the kernel takes, the rest as it can. A peer that reads nothing is hung up on."""
        if self.closed or not data:
            return
        if self.tap is not None:
            self.tap.sent(data)
        if self._out:
            self._out += data
            if len(self._out) > WRITE_LIMIT:
                self.abort()
            return
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._lost(error)
            return
        if sent < len(data):
            if len(data) - sent > WRITE_LIMIT:
                self.abort()
                return
            self._out = data[sent:]
            self._loop.add_writer(self._fd, self._writable)

    async def drain(self, below: int = 65536) -> None:
        """Wait until at most ``below`` octets are unsent, or the connection is lost."""
        while len(self._out) > below and not self.closed:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)  # who is cancelled here takes nothing from the others

    def close(self, *, linger: bool = False) -> None:
        """Close once everything is sent, or after half a minute in which the peer did not take it.

        :param linger: read and drop what the peer is still sending, for at most two seconds, so that a reset does not
            destroy the last reply on its way (RFC 1122 §4.2.2.13).
        """
        if self.closed or self._closing:
            return
        self._closing = True
        self.pause()
        self._lingers = linger
        if linger or self._out:
            self._ending = self._loop.call_later(_LINGER_SECONDS if linger else _FLUSH_SECONDS, self.abort)
        if not self._out:
            self._finish()

    def abort(self) -> None:
        """Close now; unsent octets are dropped."""
        self._lost(None)

    def reset(self) -> None:
        """Close now, so that the peer sees a connection that broke, not one that ended: what it has is not all."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._lost(None)

    def finish(self) -> None:
        """Say that nothing more comes, once everything is sent; what the peer still sends is read as before."""
        if not self._finishing and not self.closed and not self._closing:
            self._finishing = True
            if not self._out:
                self._shut()

    def _shut(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._lost(error)

    def _finish(self) -> None:
        if not self._lingers:
            self._lost(None)
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._lost(None)
            return
        self._receiver = _Discard(self, self._receiver)
        self._reading = True
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(self._size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        if len(data) == self._size:
            self._size = BULK_SIZE
        elif len(data) < READ_SIZE:
            self._size = READ_SIZE
        receiver = self._receiver
        if receiver is None:
            return
        if data:
            receiver.data_received(data)
        else:
            self.pause()
            receiver.eof_received()

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._out)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        self._out = self._out[sent:]
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        if not self._out:
            self._loop.remove_writer(self._fd)
            if self._closing:
                self._finish()
            elif self._finishing:
                self._shut()
        if self.taken is not None:
            self.taken()

    def _lost(self, error: OSError | None) -> None:
        if self.closed:
            return
        self.closed = True
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)
        if self._out:
            self._loop.remove_writer(self._fd)
            self._out = b""
        if self._ending is not None:
            self._ending.cancel()
        self._sock.close()
        self.taken = None
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)


class _Discard:
    """Takes what a peer still sends after our last word, up to a bound, in place of the receiver it had."""

    __slots__ = ("_left", "_receiver", "_transport")

    def __init__(self, transport: Transport, receiver: Receiver | None) -> None:
        self._transport = transport
        self._receiver = receiver
        self._left = _LINGER_OCTETS

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()

    def eof_received(self) -> None:
        self._transport.abort()

    def connection_lost(self, error: OSError | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)
