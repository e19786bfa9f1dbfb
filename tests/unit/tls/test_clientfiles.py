"""Files of our clients: read once, before the processes fork."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.errors import CertificateError, VerificationError
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import private_pair
from gatepost.tls.clientfiles import ClientFiles
from gatepost.tls.contexts import ClientTLS, TLSProfile, server_contexts

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
SERVER = AUTHORITY.issue(NAME)
PROFILE = TLSProfile()


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.pem)
    return path


def test_file_that_is_gone_was_read_before(ca: Path, tmp_path: Path) -> None:
    """A worker has no right to read the key again: contexts are made of what the supervisor read."""
    own = AUTHORITY.issue("client.example.test")
    certificate = own.write(tmp_path / "own.pem")
    files = ClientFiles()
    trust, credential = files.trust(ca), files.credential(certificate)
    ca.unlink()
    certificate.unlink()
    assert files.trust(ca) is trust
    assert files.credential(certificate) is credential
    context = files.context(PROFILE, ca, certificate)
    asks = TLSProfile(client_certificate="ask")
    server, client = private_pair(server_contexts([SERVER.credential], asks), ClientTLS(context, NAME))
    assert client.evidence.verification.status == "verified"
    assert server.evidence.peer_chain == own.der
    for missing in (files.trust, files.credential):
        with pytest.raises(CertificateError, match="no such file"):
            missing(tmp_path / "another.pem")


def test_authorities_with_and_without_revocation_lists_are_kept_apart(tmp_path: Path) -> None:
    """A rule that asks for revocation never gets the anchors of one that does not."""
    authority = TestAuthority("one that revokes")
    gone = authority.issue(NAME)
    authority.revoke(gone)
    ca, crl = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_bytes(authority.pem)
    crl.write_bytes(authority.crl().public_bytes(Encoding.PEM))
    files = ClientFiles()
    contexts = server_contexts([gone.credential])
    _, client = private_pair(contexts, ClientTLS(files.context(PROFILE, ca, None), NAME))
    assert client.evidence.verification.status == "verified"
    with pytest.raises(VerificationError) as caught:
        private_pair(contexts, ClientTLS(files.context(PROFILE, ca, None, crl), NAME))
    assert caught.value.reason == "revoked"


def test_system_is_trusted_where_no_file_is_named(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, like any other file."""
    monkeypatch.setattr("gatepost.tls.trust.system_bundle", lambda: ca)
    files = ClientFiles()
    assert files.trust(None).source == str(ca)
    assert files.trust(None) is files.trust(None) is not files.trust(ca)


def test_distrustful_context_needs_no_authorities_and_trusts_none(tmp_path: Path) -> None:
    """It shows our certificate; whatever is shown to it is untrusted."""
    own = AUTHORITY.issue("client.example.test")
    files = ClientFiles()
    asks = server_contexts([SERVER.credential], TLSProfile(client_certificate="ask"))
    for certificate, shown in ((None, ()), (own.write(tmp_path / "own.pem"), own.der)):
        context = files.distrustful(PROFILE, certificate)
        server, client = private_pair(asks, ClientTLS(context, NAME, "encrypt"))
        assert client.evidence.verification.status == "untrusted"
        assert server.evidence.peer_chain == shown
        with pytest.raises(VerificationError):
            private_pair(asks, ClientTLS(context, NAME, "verify"))
