"""What a PROXY header tells of the client's TLS (§2.2.6 of HAProxy's proxy-protocol.txt)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import client_side, run_handshake, server_side
from gatepost.tls.clients import ClientTrust
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context, server_contexts
from gatepost.tls.sessions import SessionCache
from gatepost.tls.trust import TrustStore
from gatepost.wire.proxy_vectors import connection_vector, tls_vectors, vector
from gatepost.wire.upgrade import TLSEvidence

AUTHORITY = TestAuthority()


def split(data: bytes) -> dict[int, bytes]:
    """Vectors by their type."""
    found: dict[int, bytes] = {}
    while data:
        size = int.from_bytes(data[1:3])
        found[data[0]], data = data[3 : 3 + size], data[3 + size :]
    return found


def evidence(*, certificate: bool = False, trusted: bool = True, sni: bool = True) -> TLSEvidence:
    """What a server knows after a handshake."""
    trust = ClientTrust(TrustStore([AUTHORITY.certificate]) if trusted else None)
    served = server_contexts(
        [AUTHORITY.issue("mx.example.test").credential], TLSProfile(client_certificate="ask"), trust
    )
    shown = AUTHORITY.issue(common_name="Bob", email_address="bob@example.test").credential if certificate else None
    context = client_context(credential=shown, trust=TrustStore(()), sessions=SessionCache(0))
    settings = ClientTLS(context, "mx.example.test" if sni else None, level="encrypt", alpn=("smtp",))
    server, client = server_side(served, alpn=frozenset({"smtp"})), client_side(settings)
    return run_handshake(server, client)[0].evidence


def test_version_cipher_and_name_are_told() -> None:
    """Without a certificate, which cannot be verified then."""
    proved = evidence()
    found = split(tls_vectors(proved))
    assert found.keys() == {0x02, 0x20}
    assert found[0x02] == b"mx.example.test"
    assert found[0x20][:5] == b"\x01\x00\x00\x00\x01"
    assert split(found[0x20][5:]) == {0x21: proved.version.encode(), 0x23: proved.cipher.encode()}


def test_certificate_that_is_trusted_is_told_as_verified() -> None:
    """Flags: TLS, a certificate in this connection, and in its session; verify is zero."""
    found = split(tls_vectors(evidence(certificate=True), "Bob"))
    assert found[0x20][:5] == b"\x07\x00\x00\x00\x00"
    assert split(found[0x20][5:])[0x22] == b"Bob"


def test_certificate_that_is_not_trusted_is_told_as_such() -> None:
    """Without its name, which is no more than a claim."""
    found = split(tls_vectors(evidence(certificate=True, trusted=False), "Bob"))[0x20]
    assert found[:5] == b"\x07\x00\x00\x00\x01"
    assert 0x22 not in split(found[5:])


def test_protocol_that_was_agreed_on_is_told() -> None:
    """§2.2.1: as ALPN has it."""
    proved = evidence()
    agreed: Any = SimpleNamespace(**{name: getattr(proved, name) for name in TLSEvidence.__slots__} | {"alpn": "imap"})
    assert split(tls_vectors(agreed))[0x01] == b"imap"


def test_what_was_not_asked_for_is_not_told() -> None:
    """No name, no vector; and a name that is too long for anything is left out."""
    assert 0x02 not in split(tls_vectors(evidence(sni=False)))
    assert 0x22 not in split(split(tls_vectors(evidence(certificate=True), "x" * 256))[0x20][5:])


def test_connection_has_its_identifier() -> None:
    """§2.2.5: of at most 128 octets."""
    assert split(connection_vector("0123456789abc")) == {0x05: b"0123456789abc"}
    assert len(connection_vector("x" * 300)) == 3 + 128


def test_vector_has_a_length_of_two_octets() -> None:
    """What is longer cannot be one."""
    assert vector(0xE0, b"ab") == b"\xe0\x00\x02ab"
    with pytest.raises(LocalProtocolError):
        vector(0xE0, bytes(65536))
