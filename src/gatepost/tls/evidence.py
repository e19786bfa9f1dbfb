"""Minting the evidence of a completed handshake. The one module that may call ``wire.upgrade._mint_evidence``."""

from __future__ import annotations

from typing import Final

from OpenSSL import SSL

from gatepost.errors import HandshakeError
from gatepost.tls.contexts import Vhost
from gatepost.tls.serverhello import ServerHello, read_server_hello
from gatepost.wire.upgrade import TLSEvidence, Verification, _mint_evidence

_EXPORTER_LABEL: Final = b"EXPORTER-Channel-Binding"  # RFC 9266 §4.2
_EXPORTER_LENGTH: Final = 32
_NONE: Final = Verification("none")


def _exporter(connection: SSL.Connection, version: str, hello: ServerHello) -> bytes | None:
    """The ``tls-exporter`` binding: TLS 1.3, or 1.2 with extended master secret (RFC 9266 §4.2, §2); never renegotiated."""
    if version != "TLSv1.3" and not (version == "TLSv1.2" and hello.extended_master_secret):
        return None
    return connection.export_keying_material(_EXPORTER_LABEL, _EXPORTER_LENGTH, b"")


def _group(connection: SSL.Connection) -> str | None:
    try:
        return connection.get_group_name()
    except NotImplementedError:  # an OpenSSL older than 3.0
        return None


def facts(flight: bytes) -> ServerHello:
    """What the server's flight says, now that the Finished messages have proved it.

    :raises HandshakeError: when it cannot be read, though OpenSSL did.
    """
    hello = read_server_hello(flight)
    if hello is None:
        raise HandshakeError("the server's hello cannot be read")
    return hello


def server_evidence(connection: SSL.Connection, flight: bytes, server_name: str | None, vhost: Vhost) -> TLSEvidence:
    """The evidence of a server.

    :param flight: what we sent first, from which resumption is read.
    :param server_name: what the ClientHello asked for.
    """
    hello = facts(flight)
    version = connection.get_protocol_version_name()
    return _mint_evidence(
        version=version,
        cipher=connection.get_cipher_name() or "",
        bits=connection.get_cipher_bits() or 0,
        group=_group(connection),
        server_name=server_name,
        alpn=None,  # answering none is allowed (RFC 7301 §3.2): the listener already says the protocol
        peer_chain=(),
        verification=_NONE,
        resumed=hello.resumed,
        tls_exporter=_exporter(connection, version, hello),
        tls_server_end_point=vhost.end_point_of(connection, resumed=hello.resumed),
    )


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
    version = connection.get_protocol_version_name()
    return _mint_evidence(
        version=version,
        cipher=connection.get_cipher_name() or "",
        bits=connection.get_cipher_bits() or 0,
        group=_group(connection),
        server_name=server_name,
        alpn=alpn,
        peer_chain=peer_chain,
        verification=verification,
        resumed=hello.resumed,
        tls_exporter=_exporter(connection, version, hello),
        tls_server_end_point=end_point,
    )
