"""The blocking driver of client dialogues: the same bodies as ``net.drive``, over a socket that waits."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final, TypeVar

from gatepost.errors import DeadlineExceeded, GatepostError, LocalProtocolError, UpgradeError
from gatepost.net.dial import CONNECT_SECONDS, origin_of
from gatepost.net.transport import BULK_SIZE
from gatepost.tls.contexts import ClientTLS
from gatepost.tls.engine import ClientHandshake
from gatepost.tls.stream import TLSClosed, TLSStream
from gatepost.wire.dialogue import Dialogue, Effect, Receive, Result, Send
from gatepost.wire.upgrade import Origin, TLSEvidence

T = TypeVar("T")


class BlockingWire:
    """A connection that we opened, driven without an event loop.

    :param host: a name or an address; every address it has is tried in turn.
    :param port: the port.
    :param tls: what an upgrade uses; without it an ``Upgrade`` effect is refused.
    :param connect_seconds: the deadline of each attempt to connect.
    :param handshake_seconds: the deadline of a handshake.
    :raises OSError: when no address can be reached.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ClientTLS | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        handshake_seconds: float = 30.0,
    ) -> None:
        self._sock = socket.create_connection((host, port), connect_seconds)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls = tls
        self._stream: TLSStream | None = None
        self._spent = False
        self._handshake_seconds = handshake_seconds
        self._step = ""
        self._deadline = 0.0
        self.origin: Final[Origin] = origin_of(self._sock, "dial")

    def __enter__(self) -> BlockingWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def evidence(self) -> TLSEvidence | None:
        """What the handshake proved; None in the clear."""
        return None if self._stream is None else self._stream.evidence

    def run(self, dialogue: Dialogue[T]) -> T:
        """Run a dialogue to its end and return its value. Raises what ``net.drive.Wire.run`` raises."""
        self._step = ""
        try:
            effect = next(dialogue)
            while True:
                try:
                    result = self._perform(effect)
                except (GatepostError, OSError) as error:
                    effect = dialogue.throw(error)
                else:
                    effect = dialogue.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def handshake(self) -> TLSEvidence:
        """Begin TLS at once (RFC 8314 §3.3)."""
        if self._tls is None or self._spent:
            raise LocalProtocolError("implicit TLS begins on a fresh connection that was given its TLS settings")
        return self._switch(ClientHandshake.implicit(self._tls, self.origin))

    def close(self) -> None:
        """Close, with a close alert inside TLS."""
        if self._stream is not None:
            with contextlib.suppress(OSError, UpgradeError):
                self._stream.close()
                self._sock.sendall(self._stream.outgoing())
        self._sock.close()

    def _perform(self, effect: Effect) -> Result:
        if isinstance(effect, Send):
            self._send(effect.data)
            return None
        if isinstance(effect, Receive):
            if effect.step != self._step:
                self._step = effect.step
                self._deadline = time.monotonic() + effect.seconds
            return self._receive(self._deadline, effect.step)
        if self._tls is None:
            raise LocalProtocolError("an upgrade needs TLS settings")
        if self._spent:
            raise LocalProtocolError("TLS was started already (RFC 3207 §4.2)")
        return self._switch(ClientHandshake(self._tls, effect.ready))

    def _send(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.send(data)
            data = self._stream.outgoing()
        elif self._spent:
            raise LocalProtocolError("this connection was upgraded: nothing is said in the clear any more")
        self._sock.settimeout(self._handshake_seconds * 10)
        self._sock.sendall(data)

    def _read(self, deadline: float, step: str) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"no {step} in time")
        self._sock.settimeout(left)
        try:
            return self._sock.recv(BULK_SIZE)
        except TimeoutError:
            raise DeadlineExceeded(f"no {step} in time") from None

    def _receive(self, deadline: float, step: str) -> bytes:
        stream = self._stream
        if stream is None:
            return self._read(deadline, step)
        while stream.closed is None:
            data = self._read(deadline, step)
            if not data:
                stream.receive_eof()
                break
            with contextlib.suppress(TLSClosed):
                if text := stream.receive(data):
                    return text
            if answer := stream.outgoing():
                self._sock.sendall(answer)
        if stream.closed is not None and not stream.closed.clean:
            raise ConnectionResetError(str(stream.closed))
        return b""

    def _switch(self, handshake: ClientHandshake) -> TLSEvidence:
        self._spent = True
        deadline = time.monotonic() + self._handshake_seconds
        try:
            while (stream := handshake.advance()) is None:
                self._sock.sendall(handshake.outgoing())
                data = self._read(deadline, "handshake")
                if not data:
                    raise UpgradeError("the peer closed the connection during the handshake")
                handshake.receive(data)
        except UpgradeError:
            with contextlib.suppress(OSError):
                self._sock.sendall(handshake.outgoing())
            self._sock.close()
            raise
        self._stream = stream
        self._sock.sendall(stream.outgoing())
        return stream.evidence
