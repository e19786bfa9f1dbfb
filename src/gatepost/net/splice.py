"""Two connections made one: octets go both ways as they come, whatever they are.

Theory
------
* Each end has one owner, the splice, and nothing is parsed. An ``End`` is a connection in the clear or inside TLS.
* What is held of either way is what its reader has not taken: at most ``_HIGH`` octets when another piece is read, and
  that piece. Then the writer is not read until the reader has taken nearly all; TCP does the rest.
* An end that says that it is done (FIN, ``close_notify``) is told to the other, which may go on talking. An end that
  broke off breaks the other off, with a reset and without a ``close_notify``: nobody takes a part for the whole.
* After an upgrade that goes through (``pass_on``), ``PassReady`` judges what comes first: see ``wire.upgrade``.
* There is one task a splice, and it sleeps: the callbacks of the two transports do the work.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.transport import Receiver, Transport
from gatepost.wire.upgrade import PassReady, PlaintextAfterUpgrade

Ending: TypeAlias = Literal["", "closed", "broken", "idle"]

_HIGH: Final = 1 << 16  # octets that a reader has not taken: with a piece of transport.BULK_SIZE, under 256 KiB
_LOW: Final = 1 << 14  # from here on the writer is read again
_LOOK_SECONDS: Final = 5.0  # between two looks at the clock, and for ends that are gone and nobody said so


@final
@dataclass(slots=True)
class Counts:
    """What went through, also while it does.

    :param from_near: octets that the near end sent and that were passed on, or wait for the far end to take them.
    :param from_far: the same the other way.
    :param ending: how it ended: both ends were done, one broke off, or nothing moved for too long.
    """

    from_near: int = 0
    from_far: int = 0
    ending: Ending = ""


class End(Protocol):
    """One of the two connections."""

    @property
    def transport(self) -> Transport:
        """Its socket, for the pace."""

    def start(self, receiver: Receiver) -> None:
        """Give ``receiver`` everything that comes from now on. Reading begins with ``transport.resume``."""

    def send(self, data: bytes) -> None:
        """Say it."""

    def finish(self) -> None:
        """Say that nothing more comes, and read on."""

    def close(self) -> None:
        """Both ways are done."""


@final
class PlainEnd:
    """A connection as its octets are: in the clear, or with somebody else's TLS on it.

    :param transport: of a channel that was spent (``PlainChannel.surrender``).
    """

    __slots__ = ("transport",)

    def __init__(self, transport: Transport) -> None:
        self.transport: Final = transport

    def start(self, receiver: Receiver) -> None:
        self.transport.receive_with(receiver)

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def finish(self) -> None:
        self.transport.finish()

    def close(self) -> None:
        self.transport.close()


def end_of(channel: PlainChannel | SecureChannel) -> End:
    """A channel as an end. One in the clear is spent by it."""
    return channel if isinstance(channel, SecureChannel) else PlainEnd(channel.surrender())


async def splice(
    near: End,
    far: End,
    *,
    idle_seconds: float,
    counts: Counts | None = None,
    waiting: bytes = b"",
    ended: bool = False,
) -> Counts:
    """Pass everything on, both ways, until both ends are done.

    For connections on which nothing was said in the clear: from their first octet, or inside TLS that ends here. After
    an upgrade that goes through, ``pass_on`` is the way.

    :param idle_seconds: how long nothing may move.
    :param counts: where to count, for who wants to know on the way.
    :param waiting: what was read from the far end and nobody asked for (``Wire.surrender``): it goes first.
    :param ended: whether the far end had said that it is done.
    :return: the counts; no error is raised for what the ends do. Cancelled, it breaks both off.
    """
    return await _Splice(near, far, idle_seconds, counts or Counts(), None).run(waiting, ended=ended)


async def pass_on(
    ready: PassReady,
    near: Transport,
    far: Transport,
    *,
    idle_seconds: float,
    counts: Counts | None = None,
) -> Counts:
    """Pass a client's TLS on to the server behind, from its hello on.

    :param ready: both plaintext engines were spent. The beginning of the client's hello, if it was eager, goes first.
    :param near: the client's socket; the go-ahead was said.
    :param far: the server's socket.
    :raises PlaintextAfterUpgrade: when what comes first is not the client's hello, before any of it was passed on. Both
        connections are broken off.
    """
    if not isinstance(ready, PassReady):
        raise LocalProtocolError("TLS goes through when both plaintext engines were spent for it")
    return await _Splice(PlainEnd(near), PlainEnd(far), idle_seconds, counts or Counts(), ready).run()


@final
class _Way:
    """From one end to the other."""

    __slots__ = ("_counts", "_near", "_splice", "ended", "held", "source", "target")

    def __init__(self, whole: _Splice, source: End, target: End, *, near: bool) -> None:
        self._splice = whole
        self._counts = whole.counts
        self._near = near
        self.source = source
        self.target = target
        self.ended = False  # the source is done
        self.held = False  # it is not read, for the target takes too little

    def taken(self) -> None:
        """The target took some of what was unsent."""
        whole = self._splice
        whole.moved = whole.time()
        unsent = self.target.transport.unsent
        if self.held and unsent <= _LOW:
            self.held = False
            self.source.transport.resume()
        if not unsent:
            whole.settle()

    def eof_received(self) -> None:
        self.ended = True
        self.held = False
        self.target.finish()
        self._splice.settle()

    def data_received(self, data: bytes) -> None:
        whole = self._splice
        if whole.ready is None or whole.admits(data, near=self._near):
            self.forward(data)

    def forward(self, data: bytes) -> None:
        """Count and say it; where it is not taken, read no more."""
        whole, counts = self._splice, self._counts
        if self._near:
            counts.from_near += len(data)
        else:
            counts.from_far += len(data)
        whole.moved = whole.time()
        transport = self.target.transport
        self.target.send(data)
        if transport.unsent > _HIGH:
            self.held = True
            self.source.transport.pause()

    def connection_lost(self, error: OSError | None) -> None:
        self._splice.lost(self)


@final
class _Splice:
    """Both ways, their clock and their end."""

    __slots__ = ("_done", "_idle", "_loop", "_timer", "_ways", "counts", "moved", "ready", "time")

    def __init__(self, near: End, far: End, idle: float, counts: Counts, ready: PassReady | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._idle = idle
        self._timer: asyncio.TimerHandle | None = None
        self.counts: Final = counts
        self.ready = ready  # until the client's hello was seen
        self.time: Final = self._loop.time
        self.moved = self.time()
        self._ways: Final = (_Way(self, near, far, near=True), _Way(self, far, near, near=False))

    async def run(self, waiting: bytes = b"", *, ended: bool = False) -> Counts:
        try:
            self._begin(waiting, ended=ended)
            await self._done
        except BaseException:
            self._break_off("broken")
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
        return self.counts

    def _begin(self, waiting: bytes, *, ended: bool) -> None:
        self._timer = self._loop.call_later(min(self._idle, _LOOK_SECONDS), self._look)
        for way in self._ways:
            way.source.start(way)
            way.target.transport.taken = way.taken
        if self.ready is not None and (hello := self.ready.begin()):  # it is judged
            self._ways[0].forward(hello)
        if waiting:
            self._ways[1].forward(waiting)
        if ended:
            self._ways[1].eof_received()
        for way in self._ways:
            if way.source.transport.closed:
                self.lost(way)
            elif not way.held and not way.ended:
                way.source.transport.resume()

    def admits(self, data: bytes, *, near: bool) -> bool:
        """Whether these octets may be passed on, as ``PassReady`` judges; where they may not, all is over."""
        ready = self.ready
        if ready is None:
            return True
        try:
            if near:
                ready.judge_client(data)
            else:
                ready.judge_server(data)
        except PlaintextAfterUpgrade as finding:
            if not self._done.done():
                self._done.set_exception(finding)
            self._break_off("broken")
            return False
        if ready.passed:
            self.ready = None
        return True

    def settle(self) -> None:
        """Close, when both ends are done and have taken everything."""
        if all(way.ended and not way.target.transport.unsent for way in self._ways):
            self._end("closed")
            for way in self._ways:
                way.source.close()

    def lost(self, way: _Way) -> None:
        """The source of a way is gone. What it said to its end is delivered; what it did not finish is broken off."""
        if self._done.done():
            return
        if not way.ended:
            # A client that closes and leaves the server's last word unread sends a reset in place of a FIN. A reset is
            # what the server gets as well; but it was done, and nothing of the conversation is missing.
            near, far = self._ways
            self._break_off("closed" if way is near and far.ended else "broken")
            return
        other = way.target.transport  # it is not answered any more
        self._end("closed")
        other.pause()
        other.close()

    def _look(self) -> None:
        now = self.time()
        if now - self.moved >= self._idle:
            self._break_off("idle")
            return
        for way in self._ways:
            way.source.transport.probe()
        if not self._done.done():
            left = self._idle - (now - self.moved)
            self._timer = self._loop.call_later(min(max(left, 0.0), _LOOK_SECONDS), self._look)

    def _break_off(self, ending: Ending) -> None:
        self._end(ending)
        for way in self._ways:
            way.source.transport.reset()

    def _end(self, ending: Ending) -> None:
        self.counts.ending = self.counts.ending or ending
        for way in self._ways:
            way.target.transport.taken = None
        if not self._done.done():
            self._done.set_result(None)
