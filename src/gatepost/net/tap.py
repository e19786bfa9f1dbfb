"""The tap: what sits on a connection that is traced, and turns its octets into events.

One tap watches one connection from its first octet to its end. Before the upgrade what passes over the socket is the
conversation itself; afterwards it is TLS records, and the conversation is what goes into and comes out of the stream.
Each of the two conversations has a redactor of its own: not even the trace carries anything across.

Both drivers use it, each at its lowest place: ``net.transport`` asks the tap about each write and has its receiver
wrapped; a blocking socket becomes a ``TappedSocket``. In private both have the stream wrapped.
"""

from __future__ import annotations

import socket
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, final

from gatepost.net.redaction import Redactor, Shown
from gatepost.net.trace import (
    AlertSeen,
    CertificatesShown,
    Direction,
    Ended,
    Judged,
    MessageSeen,
    Noted,
    Opened,
    Publisher,
    RecordSeen,
    Said,
    Side,
    StateEntered,
    Subscription,
    TraceEvent,
    Upgraded,
    UpgradeFailed,
    Upgrading,
    subscribed,
)
from gatepost.tls.engine import ServerHandshake
from gatepost.tls.records import Alert, Foreign, Message, Record, RecordReader
from gatepost.tls.stream import Octets, TLSClosed, TLSStream
from gatepost.wire.upgrade import Origin, TLSEvidence

if TYPE_CHECKING:
    from gatepost.net.transport import Receiver

_UNINFORMED: Final = "OpenSSL's callback is not there: one state is told a record, and no alert that is encrypted"


def tap(origin: Origin, side: Side) -> Tap | None:
    """A tap for a connection that begins now, or None when nobody watches it."""
    subscriptions = subscribed()
    return Tap(origin, side, subscriptions) if subscriptions else None


class _Stage(Enum):
    """Where a connection stands."""

    CLEAR = 1
    HANDSHAKE = 2
    PRIVATE = 3


@final
class Tap:
    """Watches one connection.

    :param origin: where it leads, or came from.
    :param side: which side we are.
    :param subscriptions: who wants to know.
    """

    __slots__ = ("_connection", "_ended", "_publisher", "_records", "_redactor", "_side", "_stage", "_state",
                 "_told", "secret")  # fmt: skip

    def __init__(self, origin: Origin, side: Side, subscriptions: tuple[Subscription, ...]) -> None:
        self._connection: Final = origin.connection
        self._side: Final[Side] = side
        self._publisher: Final = Publisher(subscriptions)
        self._redactor = Redactor()
        self._records: RecordReader | None = None
        self._stage = _Stage.CLEAR
        self._state = ""
        self._told = False  # whether it was said that OpenSSL's callback is missing
        self._ended = False
        self.secret = False
        """Set by the driver of a dialogue: what is said next, and only that, is secret."""
        self._publish(Opened, peer=origin.peer, local=origin.local, name=origin.listener)

    # What passes over the socket:

    def sent(self, data: bytes) -> None:
        """Octets are written to the socket."""
        self._wire("sent", data)

    def received(self, data: bytes) -> None:
        """Octets were read from the socket."""
        self._wire("received", data)

    def _wire(self, direction: Direction, data: bytes) -> None:
        if self._stage is _Stage.CLEAR:
            self.say(direction, data)
        elif self._records is not None:
            client = (direction == "sent") == (self._side == "client")
            for fact in self._records.read("client" if client else "server", data):
                self._tell(direction, fact)

    def _tell(self, direction: Direction, fact: Record | Message | Alert | Foreign) -> None:
        match fact:
            case Record():
                self._publish(RecordSeen, direction=direction, type=fact.kind, version=fact.version, length=fact.length)
            case Message():
                self._publish(MessageSeen, direction=direction, name=fact.name, length=fact.length, detail=fact.detail)
            case Alert():
                self._publish(AlertSeen, direction=direction, severity=fact.level, name=fact.name, clear=True)
            case Foreign():
                self._publish(Noted, text=f"no TLS record was {direction}: it begins {fact.octets!r}")

    # What is said, in the clear or in private:

    def say(self, direction: Direction, data: bytes) -> None:
        """A piece of the conversation itself."""
        secret, self.secret = self.secret, False
        if (direction == "sent") == (self._side == "client"):
            self._show(self._redactor.to_server(data, secret=secret))
        else:
            self._show(self._redactor.from_server(data))

    def _show(self, shown: list[Shown]) -> None:
        for piece in shown:
            direction: Direction = "sent" if piece.to_server == (self._side == "client") else "received"
            self._publish(
                Said, direction=direction, data=piece.data, private=self._stage is _Stage.PRIVATE, masked=piece.masked
            )

    # The upgrade:

    def upgrading(self, handshake: ServerHandshake | None = None) -> Tap | None:
        """The last word in the clear was said. Twice is once.

        :param handshake: a server's, to observe.
        :return: what a client's handshake is made with: the tap, or None when nobody wants to know that much.
        """
        observer = self if self._publisher.detailed else None
        if self._stage is not _Stage.CLEAR:
            return observer
        self._show(self._redactor.flush())
        self._redactor = Redactor()
        self._stage = _Stage.HANDSHAKE
        self._publish(Upgrading)
        if observer is not None:
            self._records = RecordReader()
            if handshake is not None:
                handshake.observe(self)
        return observer

    def upgrade_failed(self, error: BaseException) -> None:
        """It is not, and the connection is over."""
        alert, hint = getattr(error, "alert", ""), getattr(error, "hint", "")
        self._publish(UpgradeFailed, reason=str(error), alert=alert, hint=hint)

    def ended(self, direction: Direction, reason: str = "") -> None:
        """One side ended the conversation; only the first end is told."""
        if not self._ended:
            self._ended = True
            self._show(self._redactor.flush())
            self._publish(Ended, direction=direction, reason=reason)

    def closed(self, reason: str) -> None:
        """The socket ends. In private the stream tells what that means."""
        if self._stage is not _Stage.PRIVATE:
            self.ended("received", reason)

    def lost(self, error: OSError | None) -> None:
        """The socket is gone: by us when there is no error."""
        self.ended("received" if error is not None else "sent", "" if error is None else str(error))

    def watch(self, receiver: Receiver) -> Watched:
        """A receiver of the socket's octets, watched."""
        return Watched(receiver, self)

    def private(self, stream: TLSStream) -> TappedStream:
        """The stream of the completed handshake, watched."""
        self._stage = _Stage.PRIVATE
        if self._side == "client" or stream.evidence.peer_chain:
            self._publish(Judged, verification=stream.evidence.verification)
        self._publish(Upgraded, evidence=stream.evidence)
        return TappedStream(stream, self)

    # tls.observer.HandshakeObserver

    def state(self, name: str) -> None:
        if name != self._state:  # OpenSSL says some things twice
            self._state = name
            self._publish(StateEntered, name=name)

    def alert(self, name: str, *, sent: bool, fatal: bool) -> None:
        severity = "fatal" if fatal else "warning"
        self._publish(AlertSeen, direction="sent" if sent else "received", severity=severity, name=name, clear=False)

    def certificates(self, chain: tuple[bytes, ...]) -> None:
        self._publish(CertificatesShown, chain=chain)

    def uninformed(self) -> None:
        if not self._told and self._publisher.detailed:
            self._told = True
            self._publish(Noted, text=_UNINFORMED)

    def _publish(self, kind: type[TraceEvent], **fields: Any) -> None:
        self._publisher.publish(kind(at=time.time(), connection=self._connection, side=self._side, **fields))


@final
class TappedStream:
    """A ``TLSStream`` whose plaintext is watched. It is made of one, so there was a handshake."""

    __slots__ = ("_stream", "_tap")

    def __init__(self, stream: TLSStream, tap: Tap) -> None:
        self._stream: Final = stream
        self._tap: Final = tap

    @property
    def origin(self) -> Origin:
        """See ``TLSStream``."""
        return self._stream.origin

    @property
    def evidence(self) -> TLSEvidence:
        """See ``TLSStream``."""
        return self._stream.evidence

    @property
    def closed(self) -> TLSClosed | None:
        """See ``TLSStream``."""
        return self._stream.closed

    def receive(self, data: Octets) -> bytes:
        """See ``TLSStream.receive``."""
        text = b""
        try:
            text = self._stream.receive(data)
        finally:
            if text:
                self._tap.say("received", text)
            if self._stream.closed is not None:
                self._end(self._stream.closed)
        return text

    def receive_eof(self) -> TLSClosed:
        """See ``TLSStream.receive_eof``."""
        closed = self._stream.receive_eof()
        self._end(closed)
        return closed

    def send(self, data: Octets) -> None:
        """See ``TLSStream.send``."""
        if data:
            self._tap.say("sent", bytes(data))
        self._stream.send(data)

    def outgoing(self) -> bytes:
        """See ``TLSStream.outgoing``."""
        return self._stream.outgoing()

    def close(self) -> None:
        """See ``TLSStream.close``."""
        self._tap.ended("sent")
        self._stream.close()

    def _end(self, closed: TLSClosed) -> None:
        self._tap.ended("received", "" if closed.clean else str(closed))


@final
class Watched:
    """A receiver whose octets the tap sees first."""

    __slots__ = ("_receiver", "_tap")

    def __init__(self, receiver: Receiver, tap: Tap) -> None:
        self._receiver: Final = receiver
        self._tap: Final = tap

    def data_received(self, data: bytes) -> None:
        self._tap.received(data)
        self._receiver.data_received(data)

    def eof_received(self) -> None:
        self._tap.closed("")
        self._receiver.eof_received()

    def connection_lost(self, error: OSError | None) -> None:
        self._tap.lost(error)
        self._receiver.connection_lost(error)


class TappedSocket(socket.socket):
    """A connected, blocking socket that tells a tap what passes.

    :param sock: the socket; this one takes its place.
    """

    def __init__(self, sock: socket.socket, tap: Tap) -> None:
        timeout = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)
        self._tap: Final = tap

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        data = super().recv(bufsize, flags)
        if not flags & socket.MSG_PEEK:
            if data:
                self._tap.received(data)
            else:
                self._tap.closed("")
        return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        if data:
            self._tap.sent(bytes(data))
        super().sendall(data, flags)

    def close(self) -> None:
        self._tap.ended("sent")
        super().close()
