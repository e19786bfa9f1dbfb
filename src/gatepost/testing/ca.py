"""A throw-away certificate authority that makes good certificates and every kind of bad one.

Part of the public test kit. Keys are made once a process: tests need many certificates, not many keys.

    authority = TestAuthority()
    good = authority.issue("mx.example.test")
    late = authority.issue("mx.example.test", not_after=authority.now - DAY)
    store = TrustStore([authority.certificate])
"""

from __future__ import annotations

import functools
import ipaddress
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias, final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gatepost.tls.credential import Credential, PrivateKey, make_credential

DAY: Final = timedelta(days=1)
SERVER_AND_CLIENT: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
CLIENT_ONLY: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)

KeyKind: TypeAlias = Literal["p256", "p384", "ed25519", "rsa2048", "rsa1024"]
BrokenHash: TypeAlias = Literal["sha1", "md5"]

# sha256WithRSAEncryption, and what stands in its place (RFC 8017 §A.2.4): of the same length, so it can be patched.
_RSA_SHA256: Final = bytes.fromhex("06092a864886f70d01010b")
_RSA_BROKEN: Final[dict[BrokenHash, tuple[bytes, hashes.HashAlgorithm]]] = {
    "sha1": (bytes.fromhex("06092a864886f70d010105"), hashes.SHA1()),  # noqa: S303 - the point of the test
    "md5": (bytes.fromhex("06092a864886f70d010104"), hashes.MD5()),  # noqa: S303 - the point of the test
}


@functools.cache
def key_for(owner: str, kind: KeyKind = "p256") -> PrivateKey:
    """A key of a kind; an owner has the same one for as long as the process lives."""
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048 if kind == "rsa2048" else 1024)


@final
@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key and the chain to send with it.

    :param chain: leaf first, without the root.
    """

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def der(self) -> tuple[bytes, ...]:
        """The chain as DER, as a peer would show it."""
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in self.chain)

    @property
    def chain_pem(self) -> bytes:
        """The chain as PEM."""
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS#8 PEM."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def credential(self) -> Credential:
        """The credential for a server or client of ours.

        :raises CertificateError: when it is one that ours would refuse to show.
        """
        return make_credential(list(self.chain), self.key, source="the test authority")

    def write(self, path: Path, *, key_first: bool = False) -> Path:
        """Write one PEM file with the chain and the key, readable by its owner alone."""
        path.touch(mode=0o600)
        path.write_bytes(self.key_pem + self.chain_pem if key_first else self.chain_pem + self.key_pem)
        return path


def _general_name(name: str | x509.GeneralName) -> x509.GeneralName:
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])] if name else [])


def _subject(common_name: str, email_address: str) -> x509.Name:
    attributes = [*_common_name(common_name)]
    if email_address:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email_address))
    return x509.Name(attributes)


@final
class TestAuthority:
    """A certificate authority.

    :param name: its common name.
    :param issuer: the authority above it; None makes a root.
    :param is_ca: False makes an issuer that may not issue.
    :param key: its own key, to keep authorities apart.
    :param at: what it takes for now, in seconds since the epoch.
    """

    __test__ = False  # pytest must not collect it

    def __init__(
        self,
        name: str = "gatepost test authority",
        *,
        issuer: TestAuthority | None = None,
        is_ca: bool = True,
        key: PrivateKey | None = None,
        at: float | None = None,
    ) -> None:
        self.now: Final = datetime.fromtimestamp(int(time.time() if at is None else at), UTC)
        self.key: Final[PrivateKey] = key or key_for(name)
        self.issuer: Final = issuer
        self._serial = 1000
        self._revoked: list[int] = []
        signer = issuer or self
        builder = self._builder(_common_name(name), self.key, None, None).issuer_name(
            issuer.certificate.subject if issuer else _common_name(name)
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(authority=is_ca), critical=True)
        builder = builder.add_extension(_authority_identifier(signer.key), critical=False)
        self.certificate: Final[x509.Certificate] = builder.sign(signer.key, _hash_for(signer.key))

    @property
    def above(self) -> tuple[x509.Certificate, ...]:
        """This authority and those above it, without the root: what a chain needs."""
        return () if self.issuer is None else (self.certificate, *self.issuer.above)

    @property
    def pem(self) -> bytes:
        """Its certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def intermediate(self, name: str = "gatepost test intermediate", *, is_ca: bool = True) -> TestAuthority:
        """An authority below this one; ``is_ca=False`` makes one that may not issue, but does."""
        return TestAuthority(name, issuer=self, is_ca=is_ca, at=self.now.timestamp())

    def issue(
        self,
        *names: str | x509.GeneralName,
        common_name: str = "",
        email_address: str = "",
        key: PrivateKey | None = None,
        usages: Sequence[ObjectIdentifier] | None = SERVER_AND_CLIENT,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        broken_hash: BrokenHash | None = None,
        key_usage: x509.KeyUsage | None = None,
        extra: Iterable[tuple[x509.ExtensionType, bool]] = (),
        with_intermediates: bool = True,
    ) -> Issued:
        """Issue a leaf.

        :param names: subjectAltName entries: host names (wildcards too), addresses, or any ``x509.GeneralName``; an
            address spelled as a host name is ``x509.DNSName("192.0.2.1")``.
        :param email_address: an emailAddress in the subject, as old authorities wrote it (RFC 5280 §4.1.2.6).
        :param usages: extended key usages; None leaves the extension out.
        :param broken_hash: sign with SHA-1 or MD5; this authority's key must be RSA then.
        :param key_usage: in place of digitalSignature.
        :param extra: further extensions, each with whether it is critical.
        :param with_intermediates: False forgets them.
        """
        key = key or key_for("a leaf")
        builder = self._builder(_subject(common_name, email_address), key, not_before, not_after)
        builder = builder.issuer_name(self.certificate.subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(key_usage or _key_usage(authority=False), critical=True)
        builder = builder.add_extension(_authority_identifier(self.key), critical=False)
        if names:
            # RFC 5280 §4.2.1.6: critical where the subject is empty; Python 3.13 refuses it otherwise.
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=not (common_name or email_address),
            )
        if usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(self.key, _hash_for(self.key))
        if broken_hash is not None:
            certificate = _resign(certificate, self.key, broken_hash)
        return Issued(certificate, key, (certificate, *(self.above if with_intermediates else ())))

    def revoke(self, issued: Issued) -> None:
        """Put a certificate on the next revocation list."""
        self._revoked.append(issued.certificate.serial_number)

    def crl(self, *, next_update: datetime | None = None) -> x509.CertificateRevocationList:
        """This authority's revocation list as of now."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(self.now - 2 * DAY)
            .next_update(next_update or self.now + 30 * DAY)
            .add_extension(_authority_identifier(self.key), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for serial in self._revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self.now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, _hash_for(self.key))

    def _builder(
        self, subject: x509.Name, key: PrivateKey, not_before: datetime | None, not_after: datetime | None
    ) -> x509.CertificateBuilder:
        self._serial += 1
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(self._serial)
            .not_valid_before(not_before or self.now - 10 * DAY)
            .not_valid_after(not_after or self.now + 90 * DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def self_signed(name: str = "mx.example.test", *, at: float | None = None) -> Issued:
    """A leaf that signed itself."""
    key = key_for("a leaf that signed itself")
    now = datetime.fromtimestamp(int(time.time() if at is None else at), UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(_common_name(name))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - DAY)
        .not_valid_after(now + 90 * DAY)
        .add_extension(x509.SubjectAlternativeName([_general_name(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, _hash_for(key))
    )
    return Issued(certificate, key, (certificate,))


def _hash_for(key: PrivateKey) -> hashes.SHA256 | None:
    return hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _resign(certificate: x509.Certificate, key: PrivateKey, broken_hash: BrokenHash) -> x509.Certificate:
    """Sign again with a hash that no builder offers any more: patch the algorithm's identifier, sign, put together."""
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("only an authority with an RSA key can sign with SHA-1 or MD5")
    identifier, algorithm = _RSA_BROKEN[broken_hash]
    signed = certificate.tbs_certificate_bytes.replace(_RSA_SHA256, identifier, 1)
    signature = key.sign(signed, padding.PKCS1v15(), algorithm)
    body = signed + _der(0x30, identifier + b"\x05\x00") + _der(0x03, b"\x00" + signature)
    return x509.load_der_x509_certificate(_der(0x30, body))


def _der(tag: int, content: bytes) -> bytes:
    """One DER element (X.690 §8.1)."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content
