"""TLS in memory for dialogue tests: a real handshake, and records that never leave the process."""

from __future__ import annotations

import functools
from typing import Final, final

from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import run_handshake
from gatepost.testing.memory import ORIGIN, Peer, Upgrader
from gatepost.tls.contexts import ClientTLS, ServerContexts, client_context, server_contexts
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.sessions import SessionCache
from gatepost.tls.stream import TLSClosed, TLSStream
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import TLSEvidence, UpgradeReady

NAME: Final = "mx.example.org"


@functools.cache
def contexts() -> ServerContexts:
    """Server contexts for a certificate that is made once a process."""
    return server_contexts([TestAuthority().issue(NAME).credential])


@functools.cache
def client_settings() -> ClientTLS:
    """A client that encrypts and records its verdict. It trusts nobody."""
    context = client_context(trust=TrustStore(()), sessions=SessionCache(0))
    return ClientTLS(context, NAME, level="encrypt")


@final
class SecurePeer:
    """A peer behind TLS: the script, or the engine, that speaks inside.

    :param client: the dialogue's side of the connection.
    :param server: the peer's side.
    :param inner: what speaks inside.
    """

    def __init__(self, client: TLSStream, server: TLSStream, inner: Peer) -> None:
        self.client: Final = client
        self.server: Final = server
        self.inner: Final = inner

    @property
    def closed(self) -> bool:
        """Whether the peer inside is done."""
        return self.inner.closed

    def receive(self, data: bytes) -> None:
        """Encrypt, carry over, decrypt."""
        self.client.send(data)
        self.inner.receive(self.server.receive(self.client.outgoing()))

    def outgoing(self) -> bytes:
        """The same, the other way."""
        said = self.inner.outgoing()
        if said:
            self.server.send(said)
        try:
            return self.client.receive(self.server.outgoing())
        except TLSClosed:
            return b""


def upgrader(inner: Peer) -> Upgrader:
    """What a ``MemoryDriver`` upgrades with when a script goes on inside.

    :param inner: what speaks inside.
    """

    def upgrade(ready: UpgradeReady, outer: Peer) -> tuple[TLSEvidence, Peer]:
        server = ServerHandshake.implicit(contexts(), ORIGIN)
        theirs, ours = run_handshake(server, ClientHandshake(client_settings(), ready))
        return ours.evidence, SecurePeer(ours, theirs, inner)

    return upgrade


def evidence() -> TLSEvidence:
    """The evidence of a real handshake, a client's."""
    return secure_streams()[0].evidence


def secure_streams() -> tuple[TLSStream, TLSStream]:
    """Both ends of a private connection in memory: the client's, the server's."""
    client = ClientHandshake.implicit(client_settings(), ORIGIN)
    theirs, ours = run_handshake(ServerHandshake.implicit(contexts(), ORIGIN), client)
    return ours, theirs
