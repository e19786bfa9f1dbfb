"""What a server is told of a client before anything else: a PROXY header, where the backend asks for one.

The header goes out first, in the clear, also where TLS follows (proxy-protocol.txt §2). It tells what the kernel and
the client's own handshake proved, and nothing that the client said.
"""

from __future__ import annotations

from typing import Final

from cryptography.x509.oid import NameOID

from gatepost.service.gate.link import Client
from gatepost.tls.credential import read_certificate
from gatepost.wire.proxy import LOCAL_V2, UNKNOWN_V1, header_v1, header_v2
from gatepost.wire.proxy_vectors import connection_vector, tls_vectors
from gatepost.wire.upgrade import Origin, TLSEvidence

MANNERS: Final = ("proxy1", "proxy2")
"""The values of ``client`` that begin a connection with a header."""


def introduction(manner: str, client: Client) -> bytes:
    """The header for a client; empty where the backend wants none.

    :param manner: the backend's ``client``.
    """
    if manner not in MANNERS:
        return b""
    origin = client.origin
    if origin.peer[0] == "local":  # a program of this machine has no address
        return UNKNOWN_V1 if manner == "proxy1" else LOCAL_V2
    if manner == "proxy1":
        return header_v1(origin.peer, origin.local)
    vectors = connection_vector(origin.connection)
    if client.evidence is not None:
        vectors += tls_vectors(client.evidence, _common_name(client.evidence))
    return header_v2(origin.peer, origin.local, vectors)


def own_introduction(manner: str, own: Origin) -> bytes:
    """The header of a connection of ours, a check: in version 1 with its own addresses, for servers that know no
    ``UNKNOWN`` (§2.1).

    :param own: the connection to the server.
    """
    if manner == "proxy1":
        return header_v1(own.local, own.peer)
    return LOCAL_V2 if manner == "proxy2" else b""


def _common_name(evidence: TLSEvidence) -> str:
    """The common name of the client's certificate (RFC 5280 §4.1.2.6); empty where it has none, or is not in order."""
    if not evidence.peer_chain:
        return ""
    try:
        subject = read_certificate(evidence.peer_chain[0]).subject
        names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    value = names[0].value if names else ""
    return value if isinstance(value, str) else ""
