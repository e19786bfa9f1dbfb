"""Our own certificates and keys: loading them, and refusing what would fail later with the exact reason why."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import new as new_hash
from pathlib import Path
from typing import Final, TypeAlias, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gatepost.errors import CertificateError
from gatepost.tls.names import subject_names

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)

RSA_BITS: Final = 2048  # RFC 9325 §4.5
CURVE_BITS: Final = 256

_FILE_LIMIT: Final = 1 << 20
# RFC 7468 §3. Between the two lines no other begins, so that a text of beginnings alone is not read again and again.
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[^-]*+(?:-(?!----)[^-]*+)*+-----END \1-----")
# What ``cryptography`` raises where a part of a certificate cannot be read, or is of a kind that it does not know.
UNREADABLE: Final = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
CERTIFICATE_LABELS: Final = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})


@final
@dataclass(frozen=True, slots=True, eq=False)
class Credential:
    """A certificate with its chain and its key.

    :param certificate: the leaf.
    :param chain: the intermediates to send with it, in the order of the file.
    :param key: the leaf's private key.
    :param names: the DNS names (lower case) and addresses that it is for, as text.
    :param end_point: the ``tls-server-end-point`` channel binding (RFC 5929 §4.1), or None where it is undefined.
    :param source: where it came from, for messages.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    names: tuple[str, ...]
    end_point: bytes | None = field(repr=False)
    source: str


def key_weakness(key: object) -> str:
    """Why a public or private key is too weak to use (RFC 9325 §4.5), or an empty string."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return f"RSA of {key.key_size} bits, {RSA_BITS} are needed" if key.key_size < RSA_BITS else ""
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return f"a curve of {key.key_size} bits, {CURVE_BITS} are needed" if key.key_size < CURVE_BITS else ""
    modern = (ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey, ed448.Ed448PublicKey, ed448.Ed448PrivateKey)
    return "" if isinstance(key, modern) else f"a key of the kind {type(key).__name__.strip('_')}"


def end_point_binding(certificate: x509.Certificate) -> bytes | None:
    """The ``tls-server-end-point`` binding: the leaf hashed with its signature's hash (RFC 5929 §4.1).

    MD5 and SHA-1 are replaced by SHA-256. A signature without a hash of its own (Ed25519) has no binding defined.
    """
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return new_hash(name, certificate.public_bytes(Encoding.DER)).digest()


def load_credential(certificate: Path, key: Path | None = None, *, at: float | None = None) -> Credential:
    """Load a certificate with its chain and key from PEM files.

    :param certificate: the leaf first, then its intermediates; the key may stand before or behind them.
    :param key: a file of its own for the key (PKCS#8, PKCS#1 or SEC 1), if it is not in ``certificate``.
    :param at: the time to check the validity against, in seconds since the epoch; now by default.
    :raises CertificateError: missing, unreadable, without a certificate or key, encrypted, expired, not yet valid,
        not matching, or too weak; the message names the file.
    """
    certificates = certificates_in(certificate)
    keys = [block for label, block in pem_blocks(read_pem(key or certificate)) if label.endswith(b"PRIVATE KEY")]
    if not keys:
        raise CertificateError(
            f"{key or certificate}: holds no private key",
            hint="put the key into the certificate's file, or name its own file with tls.key",
        )
    return make_credential(certificates, parse_key(keys[0], str(key or certificate)), source=str(certificate), at=at)


def make_credential(
    certificates: list[x509.Certificate], key: PrivateKey, *, source: str, at: float | None = None
) -> Credential:
    """Check a certificate and key that are in memory, as ``load_credential`` does for files.

    :raises CertificateError: expired, not yet valid, not matching, or too weak.
    """
    leaf = certificates[0]
    now = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    if now < leaf.not_valid_before_utc:
        raise CertificateError(f"{source}: the certificate is not valid before {leaf.not_valid_before_utc:%F %T} UTC")
    if now > leaf.not_valid_after_utc:
        raise CertificateError(
            f"{source}: the certificate expired on {leaf.not_valid_after_utc:%F %T} UTC", hint="renew the certificate"
        )
    if weakness := key_weakness(key):
        raise CertificateError(f"{source}: the key is too weak: {weakness}", hint="make a new key, ECDSA P-256 is best")
    if public_octets(leaf.public_key()) != public_octets(key.public_key()):
        raise CertificateError(
            f"{source}: the private key does not match the first certificate",
            hint="the server's own certificate must stand first, and the key must be the one it was made for; "
            "`gatepost cert install` puts them in order",
        )
    return Credential(leaf, tuple(certificates[1:]), key, _names(leaf, source), end_point_binding(leaf), source)


def public_octets(key: object) -> bytes:
    """A public key as its SubjectPublicKeyInfo, DER: what the halves of a pair share, and what a pin hashes."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]


def _names(leaf: x509.Certificate, source: str) -> tuple[str, ...]:
    try:
        names = subject_names(leaf)
    except ValueError as error:
        raise CertificateError(f"{source}: the certificate's names cannot be read: {error}") from error
    if names is None:
        return ()
    hosts = [name.lower().removesuffix(".") for name in names.get_values_for_type(x509.DNSName)]
    return (*hosts, *(str(address) for address in names.get_values_for_type(x509.IPAddress)))


def read_pem(path: Path) -> bytes:
    """Read a PEM file of ours.

    :raises CertificateError: missing, unreadable, or far too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT + 1)
    except FileNotFoundError as error:
        raise CertificateError(f"{path}: no such file") from error
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _FILE_LIMIT:
        raise CertificateError(f"{path}: is larger than {_FILE_LIMIT} bytes, that is no certificate")
    return data


def pem_blocks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The PEM blocks of a text (RFC 7468): label and whole block, in order; text around them is skipped."""
    return [(match[1], match[0]) for match in _BLOCK.finditer(data)]


def certificates_in(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, in their order; at least one.

    :raises CertificateError: missing, unreadable, or without a certificate.
    """
    blocks = pem_blocks(read_pem(path))
    found = [parse_certificate(block, str(path)) for label, block in blocks if label in CERTIFICATE_LABELS]
    if not found:
        raise CertificateError(f"{path}: holds no certificate", hint="the file must hold a PEM CERTIFICATE block")
    return found


def read_certificate(der: bytes) -> x509.Certificate:
    """Read a certificate as a peer shows it, DER.

    :raises ValueError: when it cannot be read; for a version that does not exist, too, which OpenSSL lets pass and of
        which ``cryptography`` makes an error that is no ValueError.
    """
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def parse_certificate(block: bytes, source: str) -> x509.Certificate:
    """Read a PEM block with one of the labels ``CERTIFICATE_LABELS``.

    :raises CertificateError: naming the source, when it cannot be read.
    """
    try:
        certificate = x509.load_pem_x509_certificate(block.replace(b"X509 CERTIFICATE", b"CERTIFICATE"))
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateError(f"{source}: a certificate cannot be parsed: {error}") from error
    check_legible(certificate, source)
    return certificate


def check_legible(certificate: x509.Certificate, source: str) -> None:
    """See that a certificate of ours can be read to its end: most of it ``cryptography`` reads only when it is asked.

    :raises CertificateError: naming the source, when it cannot.
    """
    try:
        certificate.public_key()
        for part in ("subject", "issuer", "not_valid_before_utc", "not_valid_after_utc"):
            getattr(certificate, part)
    except UNREADABLE as error:
        raise CertificateError(f"{source}: a certificate cannot be parsed: {error}") from error


def parse_key(block: bytes, source: str) -> PrivateKey:
    """Read a PEM block with a private key: PKCS#8, PKCS#1 or SEC 1.

    :raises CertificateError: naming the source: encrypted, unreadable, or of a kind that TLS does not use.
    """
    try:
        key = load_pem_private_key(block, None)
    except TypeError as error:
        raise CertificateError(
            f"{source}: the private key is encrypted",
            hint="store it without a passphrase, readable by the server alone",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            f"{source}: the private key cannot be read: it is cut off, damaged or of an unknown kind",
            hint="`openssl pkey -noout -check -in FILE` says more; `gatepost cert new` makes a new one",
        ) from error
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{source}: {key_weakness(key)} cannot be used for TLS")
    return key
