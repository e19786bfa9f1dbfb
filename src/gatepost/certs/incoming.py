"""What an authority sent: certificates and keys, out of PEM, DER, PKCS#7 and PKCS#12 files in any order.

A file's content decides what it is, its name does not. Each thing that is sent by mistake has its own error.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, pkcs7, pkcs12

from gatepost.certs.keys import described
from gatepost.errors import CertificateError
from gatepost.tls.credential import (
    CERTIFICATE_LABELS,
    PrivateKey,
    check_legible,
    parse_key,
    pem_blocks,
    read_certificate,
    read_pem,
)

_PKCS7_LABELS: Final = frozenset({b"PKCS7", b"PKCS #7 SIGNED DATA", b"CMS"})
_REQUEST_LABELS: Final = frozenset({b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST"})
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")  # RFC 5652 §5.1, id-signedData
_PKCS12_VERSION: Final = bytes.fromhex("020103")  # RFC 7292 §4: version v3, at once behind the outer header
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=\s]{64,}")

Ask = Callable[[Path], bytes | None]
"""Asked for the passphrase of a file; None when nobody knows one."""


@final
@dataclass(slots=True)
class Incoming:
    """What the files hold.

    :param certificates: each once, in the order found.
    :param keys: each with the file it came from.
    """

    certificates: list[x509.Certificate] = field(default_factory=list)
    keys: list[tuple[PrivateKey, str]] = field(default_factory=list)

    def take(self, certificates: Iterable[x509.Certificate]) -> None:
        """Add certificates that are new."""
        self.certificates.extend(each for each in dict.fromkeys(certificates) if each not in self.certificates)


def read_incoming(paths: Iterable[Path], ask: Ask = lambda path: None) -> Incoming:
    """Read what an authority sent.

    :param ask: gives the passphrase of a PKCS#12 file.
    :raises CertificateError: naming the file, and what it is when it is not a certificate.
    """
    incoming = Incoming()
    for path in paths:
        data = read_pem(path)
        if not data.strip():
            raise CertificateError(f"{path}: is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of serial numbers and encodings that are not as they should be
            if b"-----BEGIN " in data:
                _read_pem_text(data, path, incoming)
            else:
                _read_der(_unwrapped(data), path, incoming, ask)
            for certificate in incoming.certificates:
                check_legible(certificate, str(path))
    return incoming


def read_key(path: Path) -> PrivateKey:
    """Read a private key from a PEM or DER file; what else is in it is passed over.

    :raises CertificateError: missing, unreadable, without a key, or encrypted.
    """
    data = read_pem(path)
    for label, block in pem_blocks(data):
        if label.endswith(b"PRIVATE KEY"):
            return parse_key(block, str(path))
    incoming = Incoming()
    if b"-----BEGIN " not in data and _read_der_key(data, path, incoming):
        return incoming.keys[0][0]
    raise CertificateError(f"{path}: holds no private key", hint="name the file that `gatepost cert request` wrote")


def _unwrapped(data: bytes) -> bytes:
    """Base64 without its armour, as some authorities mail it, is decoded; everything else is as it was."""
    if _BASE64.fullmatch(data):
        try:
            return base64.b64decode(data, validate=False)
        except binascii.Error:
            pass
    return data


def _read_pem_text(data: bytes, path: Path, incoming: Incoming) -> None:
    blocks = pem_blocks(data)
    if len(blocks) < data.count(b"-----BEGIN "):
        raise CertificateError(f"{path}: is cut off: a block begins and does not end", hint="fetch the file again")
    for label, block in blocks:
        if label in CERTIFICATE_LABELS or label in _PKCS7_LABELS:
            incoming.take(_certificates(_decoded(block, path), path))
        elif label.endswith(b"PRIVATE KEY"):
            incoming.keys.append((parse_key(block, str(path)), str(path)))
        else:
            _refuse(label, path)


def _refuse(label: bytes, path: Path) -> None:
    if label in _REQUEST_LABELS:
        raise _is_request(path)
    if label == b"X509 CRL":
        raise _is_revocation_list(path)
    name = label.decode("ascii")
    raise CertificateError(f"{path}: holds a block {name!r}, which is neither a certificate nor a key")


def _is_request(path: Path) -> CertificateError:
    return CertificateError(
        f"{path}: is a request, not a certificate", hint="send it to the authority, and install what it answers"
    )


def _is_revocation_list(path: Path) -> CertificateError:
    return CertificateError(f"{path}: is a revocation list, not a certificate")


def _decoded(block: bytes, path: Path) -> bytes:
    body = b"".join(line for line in block.splitlines()[1:-1] if b":" not in line)
    try:
        return base64.b64decode(body, validate=False)
    except binascii.Error as error:
        raise CertificateError(f"{path}: a certificate cannot be parsed: {error}") from error


def _certificates(der: bytes, path: Path) -> list[x509.Certificate]:
    """The certificates of a DER certificate or PKCS#7 bundle: authorities mix up their labels."""
    if _SIGNED_DATA in der[:32]:
        try:
            return pkcs7.load_der_pkcs7_certificates(der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CertificateError(f"{path}: a PKCS#7 bundle without certificates that can be read: {error}") from error
    try:
        return [read_certificate(der)]
    except ValueError as error:
        raise CertificateError(f"{path}: a certificate cannot be parsed: {error}") from error


def _read_der(der: bytes, path: Path, incoming: Incoming, ask: Ask) -> None:
    if _SIGNED_DATA in der[:32]:
        incoming.take(_certificates(der, path))
    elif der[:1] == b"\x30" and _PKCS12_VERSION in der[2:8]:
        _read_pkcs12(der, path, incoming, ask)
    elif not _read_der_certificate(der, incoming) and not _read_der_key(der, path, incoming):
        if _parses(x509.load_der_x509_csr, der):
            raise _is_request(path)
        if _parses(x509.load_der_x509_crl, der):
            raise _is_revocation_list(path)
        raise CertificateError(
            f"{path}: is no certificate: neither PEM, DER, PKCS#7 nor PKCS#12",
            hint="a page of the authority's web site, perhaps? open it, and download the certificate itself",
        )


def _parses(read: Callable[[bytes], object], der: bytes) -> bool:
    try:
        read(der)
    except (ValueError, x509.InvalidVersion):
        return False
    return True


def _read_der_certificate(der: bytes, incoming: Incoming) -> bool:
    try:
        incoming.take([read_certificate(der)])
    except ValueError:
        return False
    return True


def _read_der_key(der: bytes, path: Path, incoming: Incoming) -> bool:
    try:
        key = load_der_private_key(der, None)
    except TypeError as error:
        raise CertificateError(f"{path}: the private key is encrypted", hint="store it without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm):
        return False
    incoming.keys.append((_usable(key, path), str(path)))
    return True


def _usable(key: object, path: Path) -> PrivateKey:
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{path}: a key of the kind {described(key)} cannot be used for TLS")
    return key


def _read_pkcs12(der: bytes, path: Path, incoming: Incoming, ask: Ask) -> None:
    bundle = _open_pkcs12(der, (None, b""))
    if bundle is None:
        passphrase = ask(path)
        if passphrase is None:
            raise CertificateError(
                f"{path}: PKCS#12 needs its passphrase", hint="--passphrase-stdin reads it from standard input"
            )
        bundle = _open_pkcs12(der, (passphrase,))
    if bundle is None:
        raise CertificateError(
            f"{path}: PKCS#12 does not open: the passphrase is wrong, or the file is damaged",
            hint="if it opens elsewhere, it may use ciphers of the 1990s: openssl pkcs12 -legacy converts it to PEM",
        )
    certificates = [bundle.cert, *bundle.additional_certs]
    incoming.take(each.certificate for each in certificates if each is not None)
    if bundle.key is not None:
        incoming.keys.append((_usable(bundle.key, path), str(path)))


def _open_pkcs12(der: bytes, passphrases: Iterable[bytes | None]) -> pkcs12.PKCS12KeyAndCertificates | None:
    for passphrase in passphrases:
        try:
            return pkcs12.load_pkcs12(der, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
    return None
