"""What a handshake proved, where OpenSSL cannot tell everything or TLS does not bind everything."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from tests.foreign_client import accept

from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import private_pair, server_side
from gatepost.tls import evidence
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context, server_contexts
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import TLSEvidence

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
TRUST = TrustStore([AUTHORITY.certificate])
CONTEXTS = server_contexts([AUTHORITY.issue(NAME).credential])

_NO_EXTENDED_MASTER_SECRET = 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET, ssl.h


def served(context: SSL.Context) -> TLSEvidence:
    """The server's evidence of a client that is not ours."""
    return accept(server_side(CONTEXTS), SSL.Connection(context)).evidence


@pytest.mark.parametrize("extended", [True, False])
def test_exporter_binds_nothing_without_the_extended_master_secret(*, extended: bool) -> None:
    """RFC 9266 §4.2: in TLS 1.2 it is unique only with RFC 7627; without, two connections can have the same."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    if not extended:
        context.set_options(_NO_EXTENDED_MASTER_SECRET)
    found = served(context)
    assert found.version == "TLSv1.2"
    assert (found.tls_exporter is not None) is extended
    assert found.tls_server_end_point is not None


def test_versions_before_1_2_have_no_exporter() -> None:
    """Their bindings are defined by nothing that we speak."""
    old = TLSProfile(minimum="TLSv1", maximum="TLSv1.1", ciphers="ALL:@SECLEVEL=0")
    contexts = server_contexts([AUTHORITY.issue(NAME).credential], old)
    context = client_context(trust=TRUST, profile=old)
    for stream in private_pair(contexts, ClientTLS(context, NAME)):
        assert stream.evidence.version == "TLSv1.1"
        assert stream.evidence.tls_exporter is None


def test_group_is_unknown_where_openssl_cannot_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distribution's may be too old for that: TLS works, and the log has no group."""

    def missing(connection: SSL.Connection) -> str:
        raise NotImplementedError

    monkeypatch.setattr(SSL.Connection, "get_group_name", missing)
    monkeypatch.setattr(evidence, "_known", {})
    for stream in private_pair(CONTEXTS, ClientTLS(client_context(trust=TRUST), NAME)):
        assert stream.evidence.group is None
        assert stream.evidence.cipher
