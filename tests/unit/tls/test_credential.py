"""Loading our own certificate and key, and the exact reason when it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from gatepost.errors import CertificateError
from gatepost.testing.ca import DAY, TestAuthority, key_for
from gatepost.tls.credential import end_point_binding, key_weakness, load_credential, make_credential

NAME = "mx.example.test"
AUTHORITY = TestAuthority()
GOOD = AUTHORITY.intermediate().issue(NAME, "*.example.test", "192.0.2.1")


@pytest.mark.parametrize("key_first", [False, True])
def test_combined_file_is_loaded_key_first_or_last(tmp_path: Path, key_first: bool) -> None:
    """One file with chain and key, in either order."""
    loaded = load_credential(GOOD.write(tmp_path / "server.pem", key_first=key_first))
    assert loaded.certificate == GOOD.certificate
    assert len(loaded.chain) == 1
    assert loaded.names == (NAME, "*.example.test", "192.0.2.1")
    assert loaded.end_point == sha256(GOOD.der[0]).digest()
    assert "PrivateKey" not in repr(loaded)


@pytest.mark.parametrize("kind", ["p256", "p384", "ed25519", "rsa2048"])
def test_separate_key_and_older_formats_are_loaded(tmp_path: Path, kind: str) -> None:
    """PKCS#1 and SEC 1 keys, in a file of their own."""
    issued = AUTHORITY.issue(NAME, key=key_for("an old key", kind))
    (tmp_path / "cert.pem").write_bytes(issued.chain_pem)
    form = PrivateFormat.PKCS8 if kind == "ed25519" else PrivateFormat.TraditionalOpenSSL
    (tmp_path / "key.pem").write_bytes(issued.key.private_bytes(Encoding.PEM, form, NoEncryption()))
    assert load_credential(tmp_path / "cert.pem", tmp_path / "key.pem").certificate == issued.certificate


def test_old_label_of_a_certificate_is_read(tmp_path: Path) -> None:
    """`X509 CERTIFICATE` is what very old tools wrote."""
    path = tmp_path / "server.pem"
    path.write_bytes(GOOD.chain_pem.replace(b" CERTIFICATE", b" X509 CERTIFICATE") + GOOD.key_pem)
    assert load_credential(path).certificate == GOOD.certificate


def _missing(path: Path) -> None:
    path.unlink()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _huge(path: Path) -> None:
    path.write_bytes(bytes(2 << 20))


def _no_certificate(path: Path) -> None:
    path.write_bytes(GOOD.key_pem)


def _no_key(path: Path) -> None:
    path.write_bytes(GOOD.chain_pem)


def _broken_certificate(path: Path) -> None:
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + GOOD.key_pem)


def _broken_key(path: Path) -> None:
    path.write_bytes(GOOD.chain_pem + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def _encrypted_key(path: Path) -> None:
    secret = GOOD.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    path.write_bytes(GOOD.chain_pem + secret)


def _foreign_key(path: Path) -> None:
    key = x25519.X25519PrivateKey.generate()
    path.write_bytes(GOOD.chain_pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _other_key(path: Path) -> None:
    other = key_for("another key").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(GOOD.chain_pem + other)


def _expired(path: Path) -> None:
    AUTHORITY.issue(NAME, not_after=AUTHORITY.now - DAY).write(path)


def _not_yet(path: Path) -> None:
    AUTHORITY.issue(NAME, not_before=AUTHORITY.now + DAY).write(path)


def _weak(path: Path) -> None:
    AUTHORITY.issue(NAME, key=key_for("weak leaf", "rsa1024")).write(path)


def _bad_names(path: Path) -> None:
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x01\xff")
    AUTHORITY.issue(extra=[(extension, False)]).write(path)


def _bad_issuer(path: Path) -> None:
    der = TestAuthority("an unreadable issuer").issue(NAME).der[0]
    at = der.index(b"an unreadable issuer") - 2  # said to be ASCII, which it is not
    der = der[:at] + b"\x16" + der[at + 1 : at + 2] + b"\xff" * 20 + der[at + 22 :]
    path.write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) + GOOD.key_pem)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_missing, "no such file"),
        (_directory, "cannot be read"),
        (_huge, "larger than"),
        (_no_certificate, "holds no certificate"),
        (_no_key, "holds no private key"),
        (_broken_certificate, "certificate cannot be parsed"),
        (_broken_key, "private key cannot be read: it is cut off"),
        (_encrypted_key, "encrypted"),
        (_foreign_key, "X25519"),
        (_other_key, "does not match"),
        (_expired, "expired on"),
        (_not_yet, "not valid before"),
        (_weak, "too weak: RSA of 1024 bits"),
        (_bad_names, "names cannot be read"),
        (_bad_issuer, "a certificate cannot be parsed"),
    ],
)
def test_reason_names_the_file_and_the_fault(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    """Each fault has its own words, and every message names the file."""
    path = tmp_path / "server.pem"
    GOOD.write(path)
    spoil(path)
    with pytest.raises(CertificateError, match=words) as caught:
        load_credential(path)
    assert str(path) in caught.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_says_so(tmp_path: Path) -> None:
    """Permissions are the usual reason."""
    path = GOOD.write(tmp_path / "server.pem")
    path.chmod(0)
    with pytest.raises(CertificateError, match="Permission denied"):
        load_credential(path)


def test_certificate_without_names_loads() -> None:
    """It then serves as a default only."""
    assert AUTHORITY.issue(common_name=NAME).credential.names == ()


def test_validity_is_checked_for_the_given_time() -> None:
    """A clock of the caller's."""
    at = AUTHORITY.now.timestamp() + 400 * 86400
    with pytest.raises(CertificateError, match="expired"):
        make_credential([GOOD.certificate], GOOD.key, source="x", at=at)


def test_kinds_of_keys_are_judged() -> None:
    """Small curves and DSA are too weak, modern keys are not."""
    assert "224" in key_weakness(ec.generate_private_key(ec.SECP224R1()))
    assert "DSA" in key_weakness(dsa.generate_private_key(1024))  # noqa: S505
    assert key_weakness(key_for("modern", "ed25519")) == ""


def test_end_point_binding_follows_the_signature() -> None:
    """SHA-1 and MD5 become SHA-256; a signature without a hash has no binding (RFC 5929 §4.1)."""
    rsa_authority = TestAuthority("an RSA authority", key=key_for("rsa authority", "rsa2048"))
    for broken in ("sha1", "md5"):
        issued = rsa_authority.issue(NAME, broken_hash=broken)
        assert end_point_binding(issued.certificate) == sha256(issued.der[0]).digest()
    modern = TestAuthority("an Ed25519 authority", key=key_for("modern authority", "ed25519"))
    assert end_point_binding(modern.issue(NAME).certificate) is None


def test_end_point_binding_of_an_unknown_signature_is_none() -> None:
    """An algorithm that nobody knows has no binding."""

    class Odd:
        @property
        def signature_hash_algorithm(self) -> None:
            raise UnsupportedAlgorithm("odd")

    assert end_point_binding(Odd()) is None  # type: ignore[arg-type]
