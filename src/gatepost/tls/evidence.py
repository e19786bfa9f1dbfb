"""Minting the evidence of a completed handshake. The one module that may call ``wire.upgrade._mint_evidence``."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from OpenSSL import SSL, crypto

from gatepost.errors import HandshakeError
from gatepost.tls.contexts import Vhost
from gatepost.tls.serverhello import ServerHello, read_server_hello
from gatepost.wire.upgrade import TLSEvidence, Verification, _mint_evidence

_EXPORTER_LABEL: Final = b"EXPORTER-Channel-Binding"  # RFC 9266 §4.2
_EXPORTER_LENGTH: Final = 32
_UNASKED: Final = Verification("none")


class _Parameters(NamedTuple):
    """What was agreed on, by name."""

    version: str
    cipher: str
    bits: int
    group: str | None


# What a TLS 1.3 ServerHello says behind its session id, from the cipher suite to the key share's group, is the same few
# octets for the same answer: for a server, which wrote them itself, they are the key to what has been read before.
_Known: TypeAlias = dict[bytes, tuple[ServerHello, _Parameters]]
_known: Final[_Known] = {}
_KNOWN_LIMIT: Final = 256
_SESSION_ID: Final = 5 + 4 + 2 + 32  # where its length stands: behind record header, message header, version, random
_SIGNATURE: Final = 2 + 1 + 2 + 6 + 6  # suite, compression, length of the extensions, supported_versions, key_share


def _own_facts(connection: SSL.Connection, flight: bytes) -> tuple[ServerHello, _Parameters]:
    """What our own flight says: the length of the extensions tells whether a pre-shared key is among them."""
    at = _SESSION_ID + 1 + flight[_SESSION_ID]
    signature = flight[at : at + _SIGNATURE]
    found = _known.get(signature)
    if found is None:
        hello = facts(flight)
        found = (hello, _parameters(connection))
        if hello.tls13 and not hello.retried and len(_known) < _KNOWN_LIMIT:
            _known[signature] = found
    return found


def _parameters(connection: SSL.Connection) -> _Parameters:
    return _Parameters(
        connection.get_protocol_version_name(),
        connection.get_cipher_name() or "",
        connection.get_cipher_bits() or 0,
        _group(connection),
    )


def _group(connection: SSL.Connection) -> str | None:
    try:
        return connection.get_group_name()
    except NotImplementedError:  # an OpenSSL older than 3.2
        return None


def _exporter(connection: SSL.Connection, version: str, hello: ServerHello) -> bytes | None:
    """The ``tls-exporter`` binding: TLS 1.3, or 1.2 with extended master secret (RFC 9266 §4.2), never renegotiated."""
    if version == "TLSv1.3" or (version == "TLSv1.2" and hello.extended_master_secret):
        return connection.export_keying_material(_EXPORTER_LABEL, _EXPORTER_LENGTH, b"")
    return None


def facts(flight: bytes) -> ServerHello:
    """What the server's flight says, now that the Finished messages have proved it.

    :raises HandshakeError: when it cannot be read, though OpenSSL did.
    """
    hello = read_server_hello(flight)
    if hello is None:
        raise HandshakeError("the server's hello cannot be read")
    return hello


def server_evidence(
    connection: SSL.Connection, flight: bytes, server_name: str | None, vhost: Vhost, *, bindings: bool
) -> TLSEvidence:
    """The evidence of a server.

    :param bindings: whether channel bindings are wanted.
    :param flight: what we sent first, from which resumption is read.
    :param server_name: what the ClientHello asked for.
    """
    hello, (version, cipher, bits, group) = _own_facts(connection, flight)
    chain = () if vhost.clients is None else _shown(connection)
    return _mint_evidence(
        version=version,
        cipher=cipher,
        bits=bits,
        group=group,
        server_name=server_name,
        alpn=None,  # answering none is allowed (RFC 7301 §3.2): the listener already says the protocol
        peer_chain=chain,
        verification=_UNASKED if vhost.clients is None else vhost.clients.judge(chain),
        resumed=hello.resumed,
        tls_exporter=_exporter(connection, version, hello) if bindings else None,
        tls_server_end_point=vhost.end_point_of(connection, resumed=hello.resumed) if bindings else None,
    )


def _shown(connection: SSL.Connection) -> tuple[bytes, ...]:
    """What a client showed, DER, leaf first: OpenSSL keeps its leaf apart from the rest of the chain."""
    leaf = connection.get_peer_certificate()
    if leaf is None:
        return ()
    chain = (leaf, *(connection.get_peer_cert_chain() or ()))
    return tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in chain)


def client_evidence(
    connection: SSL.Connection,
    hello: ServerHello,
    *,
    server_name: str | None,
    alpn: str | None,
    peer_chain: tuple[bytes, ...],
    verification: Verification,
    end_point: bytes | None,
) -> TLSEvidence:
    """The evidence of a client, after its verdict on the peer."""
    version, cipher, bits, group = _parameters(connection)
    return _mint_evidence(
        version=version,
        cipher=cipher,
        bits=bits,
        group=group,
        server_name=server_name,
        alpn=alpn,
        peer_chain=peer_chain,
        verification=verification,
        resumed=hello.resumed,
        tls_exporter=_exporter(connection, version, hello),
        tls_server_end_point=end_point,
    )
