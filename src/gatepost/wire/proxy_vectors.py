"""What a PROXY header of version 2 can tell beside addresses: the TLS that the client spoke with us.

Sections are those of HAProxy's ``doc/proxy-protocol.txt``.
"""

from __future__ import annotations

import struct
from typing import Final

from gatepost.errors import LocalProtocolError
from gatepost.wire.upgrade import TLSEvidence

ALPN: Final = 0x01  # §2.2.1
AUTHORITY: Final = 0x02  # §2.2.2
UNIQUE_ID: Final = 0x05  # §2.2.5
SSL: Final = 0x20  # §2.2.6, with what stands in it:
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23
CLIENT_SSL, CLIENT_CERT_CONN, CLIENT_CERT_SESS = 0x01, 0x02, 0x04

UNIQUE_ID_LIMIT: Final = 128  # §2.2.5
NAME_LIMIT: Final = 255  # octets of a name that a client or its certificate told

_PROVED: Final = frozenset({"trusted", "verified", "pinned"})


def vector(kind: int, value: bytes) -> bytes:
    """One vector: its type, its length, its value.

    :raises LocalProtocolError: when the value is too long for one.
    """
    if len(value) > 0xFFFF:
        raise LocalProtocolError("a vector of a PROXY header has at most 65535 octets")
    return struct.pack("!BH", kind, len(value)) + value


def tls_vectors(evidence: TLSEvidence, common_name: str = "") -> bytes:
    """What a handshake proved: version, cipher, whether the client has a certificate, ALPN and the name it asked for.

    :param common_name: of the client's certificate, where it has one; told where the certificate was proved good.
    """
    shown = bool(evidence.peer_chain)
    flags = CLIENT_SSL
    if shown:
        flags |= CLIENT_CERT_SESS if evidence.resumed else CLIENT_CERT_SESS | CLIENT_CERT_CONN
    proved = shown and evidence.verification.status in _PROVED
    inner = vector(SSL_VERSION, evidence.version.encode("ascii")) + vector(SSL_CIPHER, evidence.cipher.encode("ascii"))
    name = common_name.encode("utf-8")
    if (
        proved and 0 < len(name) <= NAME_LIMIT
    ):  # what is no more than a claim is not told: who reads it might believe it
        inner += vector(SSL_CN, name)
    found = vector(SSL, struct.pack("!BI", flags, 0 if proved else 1) + inner)
    if evidence.alpn:
        found = vector(ALPN, evidence.alpn.encode("utf-8")) + found
    authority = (evidence.server_name or "").encode("utf-8")
    if 0 < len(authority) <= NAME_LIMIT:
        found = vector(AUTHORITY, authority) + found
    return found


def connection_vector(connection: str) -> bytes:
    """Our identifier of the connection, so that the server's log can name it."""
    return vector(UNIQUE_ID, connection.encode("utf-8")[:UNIQUE_ID_LIMIT])
