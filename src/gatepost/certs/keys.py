"""Keys: making them, naming their kind, and the fingerprints by which people compare them."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gatepost.tls.credential import PrivateKey, public_octets

KeyKind: TypeAlias = Literal["ecdsa", "rsa", "ed25519"]

_RSA_BITS: Final = 3072  # as strong as P-256 (NIST SP 800-57 part 1, table 2)
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def make_key(kind: KeyKind = "ecdsa") -> PrivateKey:
    """Make a private key: ECDSA on P-256, RSA of 3072 bits, or Ed25519."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, _RSA_BITS)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def signing_hash(key: PrivateKey) -> hashes.SHA256 | None:
    """The hash to sign with; None for keys whose signatures have their own."""
    return hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None


def key_pem(key: PrivateKey) -> bytes:
    """The key as PEM: PKCS#8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def described(key: object) -> str:
    """The kind and size of a public or private key, such as ``ECDSA P-256`` or ``RSA 3072``."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return "Ed25519"
    if isinstance(key, ed448.Ed448PublicKey | ed448.Ed448PrivateKey):
        return "Ed448"
    if isinstance(key, dsa.DSAPublicKey | dsa.DSAPrivateKey):
        return f"DSA {key.key_size}"
    return type(key).__name__.strip("_")


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, in lower-case hex: the data of a TLSA record 3 0 1 (RFC 6698 §2.1)."""
    return sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def key_fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the public key, in lower-case hex: the data of a TLSA record 3 1 1, and what stays at a renewal."""
    return sha256(public_octets(certificate.public_key())).hexdigest()
