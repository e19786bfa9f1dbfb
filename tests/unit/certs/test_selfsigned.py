"""The certificate of a first start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gatepost.certs import make_self_signed, write_self_signed
from gatepost.errors import CertificateError, LocalProtocolError
from gatepost.testing.handshakes import private_pair
from gatepost.tls.contexts import ClientTLS, client_context, server_contexts
from gatepost.tls.credential import load_credential

NOW = time.time()


def test_certificate_carries_what_strict_verifiers_ask() -> None:
    """Key identifiers, critical basicConstraints and keyUsage, both purposes, P-256."""
    certificate = make_self_signed("MX.Example.test.", at=NOW).certificate
    extensions = certificate.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).critical
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert extensions.get_extension_for_class(x509.KeyUsage).critical
    assert len(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == 2
    extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["mx.example.test"]
    assert not names.critical
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_file_serves_and_is_trusted_by_who_names_it(tmp_path: Path) -> None:
    """What was written loads, serves, and verifies with itself as the CA file; only its owner may read it."""
    path = tmp_path / "server.pem"
    made = write_self_signed(path, "mx.example.test", at=NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["server.pem"]
    loaded = load_credential(path)
    assert loaded.certificate == made.certificate
    _, peer = private_pair(server_contexts([loaded]), ClientTLS(client_context(path), "mx.example.test"))
    assert peer.evidence.verification.status == "verified"


def test_address_and_long_name_have_their_forms() -> None:
    """An address becomes an iPAddress; a name too long for a subject stands in critical names only."""
    assert make_self_signed("192.0.2.1", at=NOW).names == ("192.0.2.1",)
    long = ".".join(["abcdefghij"] * 9)
    certificate = make_self_signed(long, at=NOW).certificate
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    with pytest.raises(LocalProtocolError):
        make_self_signed("not a name", at=NOW)


def test_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """The error names the path."""
    with pytest.raises(CertificateError, match="cannot be written"):
        write_self_signed(tmp_path / "none" / "server.pem", "mx.example.test", at=NOW)
