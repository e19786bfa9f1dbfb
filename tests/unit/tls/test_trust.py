"""Trust anchors and revocation lists from files."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.errors import CertificateError
from gatepost.testing.ca import TestAuthority
from gatepost.tls.trust import TrustStore, system_bundle

AUTHORITY = TestAuthority()


def test_system_bundle_is_the_first_that_is_there(tmp_path: Path) -> None:
    """Distributions differ; without any the hint says what to do."""
    there = tmp_path / "ca.pem"
    there.write_bytes(AUTHORITY.pem)
    assert system_bundle([tmp_path / "none", there]) == there
    with pytest.raises(CertificateError) as caught:
        system_bundle([tmp_path / "none"])
    assert "ca-certificates" in caught.value.hint


def test_system_anchors_are_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No CA file means the system's."""
    there = tmp_path / "ca.pem"
    there.write_bytes(AUTHORITY.pem)
    monkeypatch.setattr("gatepost.tls.trust.system_bundle", lambda: there)
    assert TrustStore.load().source == str(there)


def test_ca_file_without_certificates_is_refused(tmp_path: Path) -> None:
    """Missing, unreadable, empty."""
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(CertificateError, match="holds no certificate"):
        TrustStore.load(empty)
    with pytest.raises(CertificateError, match="no such file"):
        TrustStore.load(tmp_path / "none.pem")
    with pytest.raises(CertificateError, match="cannot be read"):
        TrustStore.load(tmp_path)


def test_revocation_lists_are_loaded(tmp_path: Path) -> None:
    """Several in one file; none, or a broken one, is refused."""
    ca, crls = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_bytes(AUTHORITY.pem)
    pem = AUTHORITY.crl().public_bytes(Encoding.PEM)
    crls.write_bytes(pem + TestAuthority("another").crl().public_bytes(Encoding.PEM))
    chain = AUTHORITY.issue("mx.example.test")
    assert len(TrustStore.load(ca, crl_file=crls)._crls) == 2
    assert chain
    crls.write_bytes(b"nothing")
    with pytest.raises(CertificateError, match="holds no revocation list"):
        TrustStore.load(ca, crl_file=crls)
    crls.write_bytes(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    with pytest.raises(CertificateError, match="cannot be parsed"):
        TrustStore.load(ca, crl_file=crls)
