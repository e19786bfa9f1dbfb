"""The server's side of an upgrade on an accepted socket: a recipe's server half, the go-ahead, the handshake.

Either all of it succeeds, and what is returned is private, or an exception says why not and the socket is closed: the
last words that were due (a refusal in the clear, an alert in the handshake) have left, and nothing is said after them.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, final

from gatepost.errors import GatepostError
from gatepost.net.dial import origin_of
from gatepost.net.drive import HANDSHAKE_SECONDS, Wire
from gatepost.net.transport import Transport
from gatepost.tls.contexts import ServerContexts
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.dialogue import receive
from gatepost.wire.recipes.recipe import Recipe, ServerTerms
from gatepost.wire.upgrade import Origin, TLSEvidence

_DISCARD_LIMIT: Final = 1 << 18  # octets that are read and dropped so that the last words arrive
DEFAULT_TERMS: Final = ServerTerms()
SECONDS: Final = 60.0


@final
class Accepted:
    """A connection that we accepted, inside TLS.

    :param wire: its driver: it runs dialogues, and is spent with the connection.
    :param evidence: what the handshake proved.
    """

    __slots__ = ("evidence", "wire")

    def __init__(self, wire: Wire, evidence: TLSEvidence) -> None:
        self.wire: Final = wire
        self.evidence: Final = evidence

    @property
    def origin(self) -> Origin:
        """Where the connection came from."""
        return self.wire.origin

    async def send(self, data: bytes, seconds: float = SECONDS) -> None:
        """Send. Returns when little of it is still unsent.

        :raises DeadlineExceeded: when the peer takes it too slowly; the connection is closed.
        :raises OSError: when the connection is lost.
        """
        await self.wire.send(data, seconds)

    async def receive(self, seconds: float = SECONDS) -> bytes:
        """The next octets; empty at the end of the stream.

        :raises DeadlineExceeded: when nothing comes in time; the connection is closed.
        :raises OSError: when the connection is lost.
        """
        return await self.wire.run(receive(seconds, "octets"))

    def close(self) -> None:
        """Say goodbye (a close alert) and close."""
        self.wire.close()


async def upgrade_accepted(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    recipe: Recipe,
    contexts: ServerContexts,
    *,
    terms: ServerTerms = DEFAULT_TERMS,
    listener: str = "",
    alpn: frozenset[str] | None = None,
    origin: Origin | None = None,
    handshake_seconds: float = HANDSHAKE_SECONDS,
    implicit: bool = False,
) -> Accepted:
    """Hear a client out until it asks for TLS, grant it, and run the handshake.

    :param loop: the running loop.
    :param sock: an accepted stream socket; it is ours from here on, whatever happens.
    :param recipe: the protocol that is spoken on it.
    :param contexts: the certificates that may be shown.
    :param terms: what the server half is told. ``terms.seconds`` is for everything before the handshake together.
    :param listener: names who accepted, in the origin; by default the recipe's name.
    :param alpn: the protocols that a client may offer by ALPN, by default those that are registered for the recipe.
    :param origin: where it came from, where the caller knows more than the socket tells.
    :param handshake_seconds: the deadline of the handshake.
    :param implicit: begin with the handshake, and say nothing before it.
    :raises PlaintextAfterUpgrade: when something stood behind the request; it was refused in the protocol's words.
    :raises RemoteProtocolError: when the client left without asking, or broke the protocol or a limit.
    :raises HandshakeError: when the handshake fails.
    :raises DeadlineExceeded: when the client takes too long.
    :raises OSError: when the connection is lost.
    """
    transport = Transport(loop, sock)
    try:
        origin = origin or origin_of(sock, listener or recipe.name)
        wire = Wire(loop, transport, origin, handshake_seconds=handshake_seconds)
        names = frozenset(recipe.alpn) if alpn is None else alpn
        if implicit:
            handshake, go_ahead = ServerHandshake.implicit(contexts, origin, alpn=names), b""
        else:
            granted = await wire.run(recipe.server(origin, terms), seconds=terms.seconds)
            handshake = ServerHandshake(contexts, granted.ready, alpn=names, early=granted.early)
            go_ahead = granted.go_ahead
        return Accepted(wire, await wire.serve_handshake(handshake, go_ahead))
    except (GatepostError, OSError):
        await _close(loop, transport)
        raise
    except BaseException:
        transport.abort()
        raise


async def _close(loop: asyncio.AbstractEventLoop, transport: Transport) -> None:
    """Close so that the last words arrive, and wait for it: seconds at most, which the transport counts."""
    if transport.closed:
        return
    gone: asyncio.Future[None] = loop.create_future()
    transport.receive_with(_Farewell(transport, gone))
    transport.close(linger=True)
    try:
        await gone
    finally:
        transport.abort()


class _Farewell:
    """Drops what a refused client still sends, up to a bound."""

    __slots__ = ("_gone", "_left", "_transport")

    def __init__(self, transport: Transport, gone: asyncio.Future[None]) -> None:
        self._transport = transport
        self._gone = gone
        self._left = _DISCARD_LIMIT

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()

    def eof_received(self) -> None:
        self._transport.abort()

    def connection_lost(self, error: OSError | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
