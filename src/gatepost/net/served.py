"""One accepted connection, whatever is spoken over it: its socket, its clocks, its switch to TLS and its end.

The connection outlives its conversations: the plaintext one ends at the upgrade, and a private one is made from the
secure channel, that is from origin and evidence. What a connection keeps across the two is for logs; no conversation
reads it.

A deadline is a number that one ``Sweeper`` compares. It never runs inside a handshake: when it is over, so is the
connection.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Final, Protocol

from gatepost.errors import HandshakeError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.transport import Receiver, Transport
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.upgrade import EarlyHello, Origin, UpgradeReady

SWEEP_SECONDS: Final = 0.25  # how often deadlines are looked at
PROBE_EVERY: Final = 20  # sweeps between two looks for peers that are gone
COMMANDS_A_TURN: Final = 100  # of one client, however many it sent at once: then the other clients have their turn


class ServedSession(Protocol):
    """What a connection asks of its session."""

    @property
    def alive(self) -> bool:
        """Whether there is anybody to answer."""

    def drain(self) -> None:
        """End: at once when nothing is under way, else after what is."""

    def expire(self) -> None:
        """Say that the peer took too long, and close."""


class ServedConnection(ABC):
    """One client, from its first octet to its last.

    :param transport: its socket.
    :param origin: where it came from.
    :param time: the loop's clock, in seconds.
    :param handshake_seconds: what the peer has for its handshake.
    """

    __slots__ = (
        "_over", "_phase", "_time", "deadline", "handshake_seconds", "last_call", "origin", "outcome",
        "session", "transport",
    )  # fmt: skip

    def __init__(
        self, transport: Transport, origin: Origin, time: Callable[[], float], handshake_seconds: float
    ) -> None:
        self.transport: Final = transport
        self.origin: Final = origin
        self.session: ServedSession | None = None
        self.handshake_seconds: Final = handshake_seconds
        self.deadline = 0.0
        self.last_call = float("inf")
        self.outcome = ""
        """How it ended, in stable words for logs; empty while it has not."""
        self._time = time
        self._phase = "command"
        self._over = False

    # Clocks

    def wait(self, seconds: float, phase: str) -> None:
        """The peer has this long to get on."""
        self._phase = phase
        deadline, last = self._time() + seconds, self.last_call
        self.deadline = deadline if deadline < last else last

    def hold(self) -> None:
        """Nothing is expected of the peer now: we are working."""
        self.deadline = float("inf")

    def expire(self) -> None:
        """The deadline has passed."""
        self.outcome = f"timeout ({self._phase})"
        self._timed_out(self._phase)
        if self.session is None or not self.session.alive:
            self.transport.abort()  # in the handshake no text may be said; after our last words nothing more
            return
        self.session.expire()

    def drain(self) -> None:
        """Finish: at once when nothing is under way, else after the message that is."""
        if self.session is not None:
            self.session.drain()

    # The switch to TLS

    def upgrade(self, channel: PlainChannel, ready: UpgradeReady, early: EarlyHello | None, go_ahead: bytes) -> None:
        """The plaintext conversation is spent: run the handshake."""
        self.session = None
        self.wait(self.handshake_seconds, "handshake")
        channel.upgrade(self._handshake(ready, early), self, go_ahead)

    @abstractmethod
    def secured(self, channel: SecureChannel) -> Receiver:
        """The handshake completed: make the private conversation (``net.channel.TLSListener``)."""

    def upgrade_failed(self, error: Exception) -> None:
        """The handshake failed: nothing more may be said (``net.channel.TLSListener``)."""
        plaintext = isinstance(error, HandshakeError) and error.plaintext
        if not self.outcome:
            self.outcome = "plaintext after the upgrade" if plaintext else "handshake failed"
        self._handshake_failed(error, plaintext=plaintext)
        if self.transport.closed:
            self.ended()
        else:
            self.transport.receive_with(Gone(self))  # it lingers, and counts until it is gone

    # The end

    def turn_away(self, reason: str, last: bytes = b"") -> None:
        """Close before any conversation.

        :param reason: for the log.
        :param last: what is said before.
        """
        self.outcome = reason
        self.transport.receive_with(Gone(self))
        self.transport.write(last)
        self.transport.close(linger=True)

    def ended(self) -> None:
        """The connection is gone."""
        if not self._over:
            self._over = True
            self.session = None
            self._closed()

    # What a server knows

    @abstractmethod
    def _handshake(self, ready: UpgradeReady, early: EarlyHello | None) -> ServerHandshake:
        """The TLS engine, made from the token of the spent conversation."""

    @abstractmethod
    def plaintext_found(self, residue: bytes) -> None:
        """Octets stood behind STARTTLS. They were refused; here they are told of."""

    @abstractmethod
    def _handshake_failed(self, error: Exception, *, plaintext: bool) -> None:
        """Tell of a handshake that failed."""

    @abstractmethod
    def _timed_out(self, phase: str) -> None:
        """Tell of a deadline that has passed."""

    @abstractmethod
    def _closed(self) -> None:
        """Tell of the end, once."""


class Gone:
    """Receives nothing: what is still read is dropped, until the connection is gone."""

    __slots__ = ("_connection",)

    def __init__(self, connection: ServedConnection) -> None:
        self._connection = connection

    def data_received(self, data: bytes) -> None: ...

    def eof_received(self) -> None: ...

    def connection_lost(self, error: OSError | None) -> None:
        self._connection.ended()


class Sweeper:
    """Ends the connections whose deadline has passed, and looks now and then for peers that are gone.

    :param loop: the loop that the connections are on.
    :param connections: looked at afresh each time.
    :param also: called with the number of each sweep.
    """

    __slots__ = ("_also", "_connections", "_handle", "_loop", "_sweeps")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Collection[ServedConnection],
        also: Callable[[int], None] | None = None,
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._also = also
        self._sweeps = 0
        self._handle = loop.call_later(SWEEP_SECONDS, self._sweep)

    def stop(self) -> None:
        """Sweep no more."""
        self._handle.cancel()

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in [connection for connection in self._connections if connection.deadline < now]:
            connection.expire()
        self._sweeps += 1
        if self._also is not None:
            self._also(self._sweeps)
        if self._sweeps % PROBE_EVERY == 0:
            for connection in tuple(self._connections):
                connection.transport.probe()
        self._handle = self._loop.call_later(SWEEP_SECONDS, self._sweep)
