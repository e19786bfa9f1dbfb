"""Channels: a conversation in the clear, the switch, a conversation in private.

``PlainChannel`` and ``SecureChannel`` are different things, and neither turns into the other. ``PlainChannel.upgrade``
spends the channel; only a completed handshake makes a ``SecureChannel``. Between the two the ``_Switch`` owns the read
side, so plaintext that arrives late reaches the TLS engine, where it fails the handshake, and nothing else.

A deadline is a number on the channel, compared by the one sweeper of its process; it never runs inside a handshake and
so cannot disturb one: when it is over, the connection is.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeAlias

from gatepost.errors import LocalProtocolError, UpgradeError
from gatepost.net.tap import TappedStream, tap
from gatepost.net.transport import Receiver, Transport
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.stream import TLSClosed, TLSStream
from gatepost.wire.upgrade import Origin, TLSEvidence

Handshake: TypeAlias = ServerHandshake | ClientHandshake


class TLSListener(Protocol):
    """Who is told how a handshake ended."""

    def secured(self, channel: SecureChannel) -> Receiver:
        """The handshake completed: build the new engine, and return it as the receiver of what comes in private."""

    def upgrade_failed(self, error: Exception) -> None:
        """The handshake failed or the peer went away; the connection is closing and nothing more may be said."""


class PlainChannel:
    """A connection in the clear.

    :param transport: the socket; the channel's receiver owns its read side.
    :param origin: where it came from.
    """

    __slots__ = ("_spent", "origin", "transport")

    def __init__(self, transport: Transport, origin: Origin) -> None:
        self.transport: Final = transport
        self.origin: Final = origin
        self._spent = False
        if transport.tap is None:
            transport.tap = tap(origin, "server")  # a client's was set by its driver

    def start(self, receiver: Receiver) -> None:
        """Give everything that is read from now on to ``receiver``."""
        self.transport.receive_with(receiver)
        self.transport.resume()

    def send(self, data: bytes) -> None:
        """Write octets in the clear.

        :raises LocalProtocolError: when the channel was upgraded: nothing is said in the clear afterwards.
        """
        if self._spent:
            raise LocalProtocolError("this channel was upgraded: nothing is said in the clear any more")
        self.transport.write(data)

    def close(self, last: bytes = b"", *, linger: bool = False) -> None:
        """Write ``last`` and close."""
        if not self._spent:
            self.transport.write(last)
        self.transport.close(linger=linger)

    def upgrade(self, handshake: Handshake, listener: TLSListener, go_ahead: bytes = b"") -> None:
        """Spend this channel and run a handshake over its socket.

        :param handshake: the TLS engine, made from the token that the plaintext engine left.
        :param listener: told once, how it ended.
        :param go_ahead: the last words in the clear (a server's ``220``), written before the first record.
        """
        self.send(go_ahead)
        self._spent = True
        if self.transport.tap is not None:
            self.transport.tap.upgrading(handshake if isinstance(handshake, ServerHandshake) else None)
        switch = _Switch(self.transport, handshake, listener)
        self.transport.receive_with(switch)
        self.transport.resume()
        switch.advance()

    def surrender(self, last: bytes = b"") -> Transport:
        """Spend this channel without a handshake of ours: what is said from here on goes through to somebody else.

        :param last: the last words in the clear.
        :return: the socket, for ``net.splice``; it is not read until somebody takes it.
        """
        self.send(last)
        self._spent = True
        self.transport.pause()
        if self.transport.tap is not None:
            self.transport.tap.upgrading()  # it is not a conversation any more that can be told of
        return self.transport


class SecureChannel:
    """A connection inside TLS. Made by a completed handshake, and by nothing else.

    :param transport: the socket.
    :param stream: the TLS engine after its handshake; it holds the evidence.
    """

    __slots__ = ("_receiver", "_stream", "transport")

    def __init__(self, transport: Transport, stream: TLSStream) -> None:
        if not isinstance(stream, TLSStream):
            raise LocalProtocolError("a secure channel exists only after a completed handshake")
        self.transport: Final = transport
        self._stream: TLSStream | TappedStream = stream if transport.tap is None else transport.tap.private(stream)
        self._receiver: Receiver | None = None

    @property
    def origin(self) -> Origin:
        """Where the connection came from."""
        return self._stream.origin

    @property
    def evidence(self) -> TLSEvidence:
        """What the handshake proved."""
        return self._stream.evidence

    def start(self, receiver: Receiver) -> None:
        """Give everything that is decrypted from now on to ``receiver``."""
        self._receiver = receiver

    def send(self, data: bytes) -> None:
        """Encrypt and write octets, in one record where they fit one."""
        stream = self._stream
        if stream.closed is None or stream.closed.clean:
            if data:
                stream.send(data)
            self.transport.write(stream.outgoing())

    def finish(self) -> None:
        """Say that nothing more comes (``close_notify``), and read on (RFC 8446 §6.1)."""
        self._stream.close()
        self.transport.write(self._stream.outgoing())
        self.transport.finish()

    def close(self, last: bytes = b"", *, linger: bool = False) -> None:
        """Write ``last`` and a close alert, and close."""
        if self.transport.closed:
            return
        stream = self._stream
        if last and (stream.closed is None or stream.closed.clean):
            stream.send(last)
        stream.close()
        self.transport.write(stream.outgoing())
        self.transport.close(linger=linger)

    def begin(self) -> None:
        """Take plaintext that came in the same segment as the end of the handshake."""
        receiver = self._receiver
        if receiver is None:
            return
        try:
            text = self._stream.receive(b"")
        except TLSClosed:
            text = b""
        if text:
            receiver.data_received(text)
        if self._stream.closed is not None:
            self._ended(self._stream.closed)

    # What the transport reads:

    def data_received(self, data: bytes) -> None:
        receiver, stream = self._receiver, self._stream
        if receiver is None:
            return
        try:
            text = stream.receive(data)
        except TLSClosed:
            text = b""
        if text:
            receiver.data_received(text)
        # The answers to key updates, or an alert: also beside text that needs no answer, or they would pile up here,
        # where no limit sees what a peer does not read.
        if out := stream.outgoing():
            self.transport.write(out)
        if stream.closed is not None:
            self._ended(stream.closed)

    def eof_received(self) -> None:
        self._ended(self._stream.receive_eof())

    def _ended(self, end: TLSClosed) -> None:
        """The peer says nothing more: cleanly, or cut off or broken, which is the loss of the connection."""
        receiver = self._receiver
        if receiver is None or self.transport.closed:
            return
        self.transport.pause()
        if end.clean:
            receiver.eof_received()
            return
        self._receiver = None
        self.transport.write(self._stream.outgoing())  # an alert, when one is due
        self.transport.close()
        receiver.connection_lost(ConnectionResetError(str(end)))

    def connection_lost(self, error: OSError | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)


class _Switch:
    """Owns the read side between the go-ahead and the end of the handshake."""

    __slots__ = ("_handshake", "_listener", "_transport")

    def __init__(self, transport: Transport, handshake: Handshake, listener: TLSListener) -> None:
        self._transport = transport
        self._handshake = handshake
        self._listener: TLSListener | None = listener

    def advance(self) -> None:
        """Take the handshake as far as the bytes at hand carry it."""
        try:
            stream = self._handshake.advance()
        except UpgradeError as error:
            self._fail(error)
            return
        if stream is None:
            self._transport.write(self._handshake.outgoing())
            return
        listener, self._listener = self._listener, None
        if listener is None:
            return
        channel = SecureChannel(self._transport, stream)
        # What a TLS 1.3 server still has to send are tickets: they leave in one write with its first reply. All else
        # is waited for, and leaves now.
        self._transport.receive_with(channel)
        channel.start(listener.secured(channel))
        channel.begin()
        if isinstance(self._handshake, ServerHandshake) and stream.evidence.version == "TLSv1.3":
            return
        channel.send(b"")

    def data_received(self, data: bytes) -> None:
        self._handshake.receive(data)
        self.advance()

    def eof_received(self) -> None:
        self._fail(UpgradeError("the peer closed the connection during the handshake"))

    def connection_lost(self, error: OSError | None) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            lost = UpgradeError(f"the connection was lost during the handshake: {error or 'closed'}")
            if self._transport.tap is not None:
                self._transport.tap.upgrade_failed(lost)
            listener.upgrade_failed(lost)

    def _fail(self, error: UpgradeError) -> None:
        if self._transport.tap is not None:
            self._transport.tap.upgrade_failed(error)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.upgrade_failed(error)
        self._transport.write(self._handshake.outgoing())  # an alert, when there is one; never text
        self._transport.close(linger=isinstance(self._handshake, ServerHandshake))
