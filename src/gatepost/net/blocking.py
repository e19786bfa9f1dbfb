"""The blocking driver of client dialogues: the same bodies as ``net.drive``, over a socket that waits."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from typing import Final, TypeVar

from gatepost.errors import DeadlineExceeded, GatepostError, LocalProtocolError, UpgradeError
from gatepost.net.dial import CONNECT_SECONDS, origin_of
from gatepost.net.reach import Attempt, attempts, unreached
from gatepost.net.tap import TappedSocket, TappedStream, tap
from gatepost.net.transport import BULK_SIZE, READ_SIZE
from gatepost.tls.contexts import ClientTLS
from gatepost.tls.engine import ClientHandshake
from gatepost.tls.observer import HandshakeObserver
from gatepost.tls.stream import TLSClosed, TLSStream
from gatepost.wire.dialogue import Dialogue, Effect, Receive, Result, Send
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, Role, TLSEvidence

T = TypeVar("T")


class BlockingWire:
    """A connection that we opened, driven without an event loop.

    :param host: a name or an address; every address it has is tried in turn.
    :param port: the port.
    :param tls: what an upgrade uses; without it an ``Upgrade`` effect is refused.
    :param connect_seconds: the deadline of connecting; what the system takes to look up a name is not in it.
    :param handshake_seconds: the deadline of a handshake.
    :raises DeadlineExceeded: when the connection takes longer than ``connect_seconds``.
    :raises OSError: when no address can be reached, or the name is unknown.
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
        self._sock = _connect(host, port, connect_seconds)
        self._tls = tls
        self._stream: TLSStream | TappedStream | None = None
        self._spent = False
        self._handshake_seconds = handshake_seconds
        self._step = ""
        self._deadline = 0.0
        self._until = math.inf  # when what is being run must be over, whatever its steps may take
        self._held = b""  # decrypted, and not asked for yet
        self._error: OSError | None = None  # found while nobody was reading
        self.origin: Final[Origin] = origin_of(self._sock, "dial")
        self._tap = tap(self.origin, "client")
        if self._tap is not None:
            self._sock = TappedSocket(self._sock, self._tap)

    def __enter__(self) -> BlockingWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def evidence(self) -> TLSEvidence | None:
        """What the handshake proved; None in the clear."""
        return None if self._stream is None else self._stream.evidence

    def poll(self) -> bool:
        """Whether a ``Receive`` would return at once: octets wait, inside TLS decrypted ones, or the stream ended."""
        return self.ready(0.0)

    def ready(self, seconds: float) -> bool:
        """Wait for octets, or the end of the stream, without taking anything; whether ``poll`` is true in time."""
        deadline = time.monotonic() + seconds
        stream = self._stream
        while not self._held and self._error is None and (stream is None or stream.closed is None):
            self._sock.settimeout(max(deadline - time.monotonic(), 0.0))
            try:
                data = self._sock.recv(BULK_SIZE, socket.MSG_PEEK if stream is None else 0)
                if stream is None:
                    return True
                self._decrypt(stream, data)
            except (TimeoutError, BlockingIOError):
                return False
            except OSError as error:
                self._error = error
        return True

    def send(self, data: bytes, seconds: float) -> None:
        """Send.

        :raises DeadlineExceeded: when the peer takes it too slowly; the connection is closed.
        :raises OSError: when the connection is lost.
        """
        self._send(data, seconds)

    def run(self, dialogue: Dialogue[T], *, seconds: float = math.inf) -> T:
        """Run a dialogue to its end and return its value. Raises what ``net.drive.Wire.run`` raises."""
        self._step = ""
        self._until = time.monotonic() + seconds
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
        finally:
            dialogue.close()

    def handshake(self) -> TLSEvidence:
        """Begin TLS at once (RFC 8314 §3.3)."""
        if self._tls is None or self._spent:
            raise LocalProtocolError("implicit TLS begins on a fresh connection that was given its TLS settings")
        return self._switch(ClientHandshake.implicit(self._tls, self.origin, observer=self._observer()))

    def close(self) -> None:
        """Close, with a close alert inside TLS."""
        if self._stream is not None:
            with contextlib.suppress(OSError, UpgradeError):
                self._stream.close()
                self._sock.sendall(self._stream.outgoing())
        self._sock.close()

    def _perform(self, effect: Effect) -> Result:
        if isinstance(effect, Send):
            if self._tap is not None and effect.secret:
                self._tap.secret = True
            self._send(effect.data, min(self._handshake_seconds * 10, self._until - time.monotonic()))
            return None
        if isinstance(effect, Receive):
            if effect.step != self._step:
                self._step = effect.step
                self._deadline = min(time.monotonic() + effect.seconds, self._until)
            return self._receive(self._deadline, effect.step)
        if self._tls is None:
            raise LocalProtocolError("an upgrade needs TLS settings")
        if self._spent:
            raise LocalProtocolError("TLS was started already (RFC 3207 §4.2)")
        self._refuse_early_octets()
        return self._switch(ClientHandshake(self._tls, effect.ready, observer=self._observer()))

    def _observer(self) -> HandshakeObserver | None:
        return None if self._tap is None else self._tap.upgrading()

    def _refuse_early_octets(self) -> None:
        """What waits in the kernel before our hello was sent in the clear: no server speaks first in a handshake."""
        self._sock.setblocking(False)
        try:
            residue = self._sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._sock.close()
            raise UpgradeError(f"the connection was lost before the handshake: {error}") from error
        self._sock.close()
        if not residue:
            raise UpgradeError("the peer closed the connection before the handshake")
        raise PlaintextAfterUpgrade(residue, Role.CLIENT)

    def _send(self, data: bytes, seconds: float) -> None:
        if self._stream is not None:
            self._stream.send(data)
            data = self._stream.outgoing()
        elif self._spent:
            raise LocalProtocolError("this connection was upgraded: nothing is said in the clear any more")
        self._sock.settimeout(max(seconds, 0.001))
        try:
            self._sock.sendall(data)
        except TimeoutError:
            self._sock.close()
            raise DeadlineExceeded("the peer stopped reading") from None

    def _read(self, deadline: float, step: str) -> bytes:
        if self._error is not None:
            raise self._error
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
        while not self._held and stream.closed is None:
            self._decrypt(stream, self._read(deadline, step))
        if not self._held and stream.closed is not None and not stream.closed.clean:
            raise ConnectionResetError(str(stream.closed))
        held, self._held = self._held, b""
        return held

    def _decrypt(self, stream: TLSStream | TappedStream, data: bytes) -> None:
        """Take what came from the network, and answer what OpenSSL wants answered."""
        if not data:
            stream.receive_eof()
            return
        with contextlib.suppress(TLSClosed):
            self._held += stream.receive(data)
        if answer := stream.outgoing():
            self._sock.settimeout(self._handshake_seconds)
            self._sock.sendall(answer)

    def _switch(self, handshake: ClientHandshake) -> TLSEvidence:
        self._spent = True
        deadline = min(time.monotonic() + self._handshake_seconds, self._until)
        try:
            while (stream := handshake.advance()) is None:
                self._sock.settimeout(self._handshake_seconds)
                self._sock.sendall(handshake.outgoing())
                data = self._read(deadline, "handshake")
                if not data:
                    raise UpgradeError("the peer closed the connection during the handshake")
                handshake.receive(data)
            self._sock.sendall(stream.outgoing())
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._sock.sendall(handshake.outgoing())  # an alert, when there is one; never text
            if self._tap is not None:
                self._tap.upgrade_failed(error)
            self._sock.close()
            if isinstance(error, OSError):
                raise UpgradeError(f"the connection was lost during the handshake: {error}") from error
            raise
        self._stream = stream if self._tap is None else self._tap.private(stream)
        with contextlib.suppress(TLSClosed):
            self._held = self._stream.receive(b"")  # what came in the same segment as the end of the handshake
        return stream.evidence


def _connect(host: str, port: int, seconds: float) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failures: list[tuple[str, OSError]] = []
    for attempt in attempts(found, time.monotonic() + seconds, time.monotonic):
        try:
            return _connect_to(attempt)
        except OSError as error:
            failures.append((attempt.address[0], error))
    raise unreached(host, port, seconds, failures)


def _connect_to(attempt: Attempt) -> socket.socket:
    sock = socket.socket(attempt.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.settimeout(max(attempt.seconds, 0.001))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(attempt.address)
    except BaseException:
        sock.close()
        raise
    return sock
