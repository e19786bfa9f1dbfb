"""Channel bindings, as somebody computes them who shares no code with us but OpenSSL."""

from __future__ import annotations

import contextlib

from OpenSSL import SSL
from tests.foreign_client import accept

from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import server_side
from gatepost.tls.contexts import server_contexts
from gatepost.tls.stream import TLSStream

CONTEXTS = server_contexts([TestAuthority().issue("mx.example.test").credential])
NO_EXTENDED_MASTER_SECRET = 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET, ssl.h
WITHOUT = 0


def foreign_client(version: int, options: int = WITHOUT) -> tuple[SSL.Connection, TLSStream]:
    """A handshake with our server."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_options(options)
    peer = SSL.Connection(context)
    stream = accept(server_side(CONTEXTS), peer)
    with contextlib.suppress(SSL.WantReadError):
        peer.do_handshake()
    return peer, stream


def test_tls_exporter_has_its_label_its_empty_context_and_32_octets() -> None:
    """RFC 9266 §4: EXPORTER-Channel-Binding, in both versions."""
    for version in (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION):
        peer, stream = foreign_client(version)
        expected = peer.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
        assert stream.evidence.tls_exporter == expected
        assert len(expected) == 32


def test_tls_1_2_without_extended_master_secret_has_no_exporter_binding() -> None:
    """RFC 9266 §4.2: such a binding could be the same in two sessions."""
    _, stream = foreign_client(SSL.TLS1_2_VERSION, NO_EXTENDED_MASTER_SECRET)
    assert stream.evidence.version == "TLSv1.2"
    assert stream.evidence.tls_exporter is None
    assert stream.evidence.tls_server_end_point is not None
