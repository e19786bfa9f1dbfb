"""Keys by name, and the fingerprints that others compute too."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from tests.interop.programs import require, run

from gatepost.certs.describe import describe
from gatepost.certs.keys import certificate_fingerprint, described, key_fingerprint, make_key
from gatepost.testing.ca import DAY, TestAuthority, key_for

AUTHORITY = TestAuthority("an authority")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "ECDSA P-384"),
        (make_key("ed25519"), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
        (dsa.generate_private_key(1024), "DSA 1024"),  # noqa: S505
        (x25519.X25519PrivateKey.generate(), "X25519PrivateKey"),
        (key_for("weak", "rsa1024"), "RSA 1024"),
    ],
)
def test_keys_are_named_by_kind_and_size(key: object, name: str) -> None:
    """As people know them."""
    assert described(key) == name


def test_fingerprints_are_those_of_openssl(tmp_path: Path) -> None:
    """Of the certificate, and of its SubjectPublicKeyInfo: what TLSA records and pins hold."""
    openssl = require("openssl", "openssl")
    issued = AUTHORITY.issue("mx.example.test")
    (tmp_path / "cert.pem").write_bytes(issued.chain_pem)
    said = run([openssl, "x509", "-in", tmp_path / "cert.pem", "-noout", "-fingerprint", "-sha256"]).said
    assert said.strip().rpartition("=")[2].replace(":", "").lower() == certificate_fingerprint(issued.certificate)
    public = run([openssl, "x509", "-in", tmp_path / "cert.pem", "-noout", "-pubkey"]).out
    spki = run([openssl, "pkey", "-pubin", "-outform", "DER"], given=public).out
    assert sha256(spki).hexdigest() == key_fingerprint(issued.certificate)
    assert issued.certificate.public_bytes(Encoding.PEM) == issued.chain_pem


def test_description_counts_whole_days() -> None:
    """Of one that expired yesterday there is less than nothing left."""
    at = AUTHORITY.now.timestamp()
    for days, left in ((10, 10), (-1, -1)):
        issued = AUTHORITY.issue("a.test", not_after=AUTHORITY.now + days * DAY)
        assert describe(issued.certificate, at)["days_left"] == left
    assert describe(TestAuthority("ed", key=key_for("ed", "ed25519")).certificate, at)["signature"].startswith(
        "without"
    )
