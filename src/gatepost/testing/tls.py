"""TLS in memory for dialogue tests: a certificate made once, a real handshake, records that never leave the process."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Final, final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from gatepost.errors import HandshakeError
from gatepost.testing.memory import ORIGIN, Peer, Upgrader
from gatepost.tls.contexts import ClientTLS, ServerContexts, TLSProfile, client_context, server_contexts
from gatepost.tls.credential import Credential, make_credential
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.sessions import SessionCache
from gatepost.tls.stream import TLSClosed, TLSStream
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import TLSEvidence, UpgradeReady

NAME: Final = "mx.example.org"


@functools.cache
def credential(name: str = NAME) -> Credential:
    """A self-signed ECDSA P-256 certificate and its key, made once a process."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    return make_credential([certificate], key, source="memory")


@functools.cache
def contexts(profile: TLSProfile | None = None) -> ServerContexts:
    """Server contexts for that certificate."""
    return server_contexts([credential()], profile)


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


def shake_hands(client: ClientHandshake, server: ServerHandshake) -> tuple[TLSStream, TLSStream]:
    """Carry the octets of two handshakes across until both are complete.

    :raises HandshakeError: when either fails, or neither goes on.
    """
    ours: TLSStream | None = None
    theirs: TLSStream | None = None
    for _ in range(10):
        if theirs is None:
            server.receive((ours or client).outgoing())
            theirs = server.advance()
        if ours is None:
            client.receive((theirs or server).outgoing())
            ours = client.advance()
        if ours is not None and theirs is not None:
            theirs.receive(ours.outgoing())
            ours.receive(theirs.outgoing())
            return ours, theirs
    raise HandshakeError("the handshake does not end")


def upgrader(inner: Peer) -> Upgrader:
    """What a ``MemoryDriver`` upgrades with when a script goes on inside.

    :param inner: what speaks inside.
    """

    def upgrade(ready: UpgradeReady, outer: Peer) -> tuple[TLSEvidence, Peer]:
        server = ServerHandshake.implicit(contexts(), ORIGIN)
        ours, theirs = shake_hands(ClientHandshake(client_settings(), ready), server)
        return ours.evidence, SecurePeer(ours, theirs, inner)

    return upgrade


def evidence() -> TLSEvidence:
    """The evidence of a real handshake, a client's."""
    return secure_streams()[0].evidence


def secure_streams() -> tuple[TLSStream, TLSStream]:
    """Both ends of a private connection in memory: the client's, the server's."""
    client = ClientHandshake.implicit(client_settings(), ORIGIN)
    return shake_hands(client, ServerHandshake.implicit(contexts(), ORIGIN))
