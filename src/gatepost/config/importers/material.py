"""Old certificates, keys and cipher strings, as the TLS library that will be used sees them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from gatepost.errors import CertificateError, ConfigError
from gatepost.tls.contexts import CIPHERS, server_contexts
from gatepost.tls.credential import (
    CERTIFICATE_LABELS,
    key_weakness,
    load_credential,
    parse_certificate,
    pem_blocks,
    read_pem,
)
from gatepost.tls.names import subject_names
from gatepost.tls.trust import TrustStore

OWN_CIPHERS: Final = CIPHERS
"""The cipher string that gatepost uses when none is set."""

_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})  # RFC 9155
_SEPARATORS: Final = re.compile(r"[:;,\s]+")


@final
@dataclass(frozen=True, slots=True)
class Found:
    """One certificate of a file.

    :param common_name: of the subject; empty when there is none.
    :param names: the DNS names of the subjectAltName, in lower case.
    :param authority: whether it may issue others, or says nothing about that and signed itself.
    :param sha256: its fingerprint, in lower-case hexadecimal.
    :param weakness: why it is too weak, or empty.
    :param expired: the day on which it expired, or empty.
    """

    common_name: str
    names: tuple[str, ...]
    authority: bool
    sha256: str
    weakness: str = ""
    expired: str = ""

    def named(self, host: str) -> bool:
        """Whether its subjectAltName has a host."""
        return any(_stands_for(name, host) for name in self.names)

    def commonly_named(self, host: str) -> bool:
        """Whether it has the host in its common name and no DNS name elsewhere, which no longer counts (RFC 9525)."""
        return not self.names and _stands_for(self.common_name.lower(), host)


def _stands_for(name: str, host: str) -> bool:
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


@final
@dataclass(frozen=True, slots=True)
class PemFile:
    """What a PEM file holds.

    :param certificates: in their order.
    :param keys: how many private keys.
    :param problem: why it cannot be read, or empty.
    """

    certificates: tuple[Found, ...] = ()
    keys: int = 0
    problem: str = ""


@final
@dataclass(frozen=True, slots=True)
class Ciphers:
    """What OpenSSL makes of a cipher string.

    :param usable: the TLS 1.2 ciphers that it selects.
    :param gone: its elements that select nothing any more.
    :param suites: its elements that are TLS 1.3 suites, which a cipher string does not select.
    :param insecure: the selected ones without authentication or without encryption.
    """

    usable: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()


def read_pem_file(path: Path) -> PemFile:
    """What a file holds. Never raises: what is wrong is in the answer."""
    try:
        blocks = pem_blocks(read_pem(path))
        with _old_material():
            found = [parse_certificate(block, path.name) for label, block in blocks if label in CERTIFICATE_LABELS]
            certificates = tuple(map(_found, found))
    except CertificateError as error:
        return PemFile(problem=error.message)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        return PemFile(problem=f"{path.name}: a certificate cannot be read: {error}")
    keys = sum(label.endswith(b"PRIVATE KEY") for label, _ in blocks)
    return PemFile(certificates, keys, "" if certificates or keys else f"{path.name}: holds no certificate")


def unusable(certificate: Path, key: Path | None = None) -> str:
    """Why a certificate and its key cannot be shown to others; empty when they can."""
    try:
        with _old_material():
            credential = load_credential(certificate, key)
        if weakness := _signature_weakness(credential.certificate):
            return f"the certificate is too weak: {weakness}"
        server_contexts([credential])
    except (CertificateError, ConfigError) as error:
        return error.message.removeprefix(f"{certificate}: ")
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"it cannot be read: {error}"
    return ""


def distrusted(path: Path, crl: Path | None = None) -> str:
    """Why a file of authorities, or one of their revocation lists, cannot be used; empty when it can."""
    try:
        TrustStore.load(path, crl_file=crl)
    except (CertificateError, ConfigError) as error:
        return error.message
    except (ValueError, SSL.Error, UnsupportedAlgorithm) as error:
        return f"{(crl or path).name}: cannot be read: {error}"
    return ""


def stale(authority: Path, crl: Path) -> str:
    """The day on which the first of an authority's revocation lists was to be replaced; empty when none was."""
    due = [each.next_update_utc for each in TrustStore.load(authority, crl_file=crl).crls]
    past = [day for day in due if day is not None and day < datetime.now(UTC)]
    return f"{min(past):%F}" if past else ""


def temporary(path: Path) -> str:
    """What a file of temporary parameters holds: Diffie-Hellman parameters, or an RSA key without a certificate; empty
    for any other file."""
    try:
        labels = {label for label, _ in pem_blocks(read_pem(path))}
    except CertificateError:
        return ""
    if labels == {b"DH PARAMETERS"}:
        return "Diffie-Hellman parameters"
    return "an RSA key of its own" if labels == {b"RSA PRIVATE KEY"} else ""


def try_ciphers(text: str) -> Ciphers:
    """What a cipher string selects."""
    gone: list[str] = []
    suites: list[str] = []
    for element in filter(None, _SEPARATORS.split(text)):
        name = element.lstrip("!+-")
        if name.startswith("@"):
            continue
        if name.startswith("TLS_"):
            suites.append(name)
        elif not element.startswith(("!", "-")) and not _selected(name):
            gone.append(name)
    usable = tuple(_selected(text))
    insecure = tuple(name for name in usable if name.startswith(("ADH-", "AECDH-")) or "NULL" in name)
    return Ciphers(usable, tuple(dict.fromkeys(gone)), tuple(dict.fromkeys(suites)), insecure)


@contextmanager
def _old_material() -> Iterator[None]:
    """Old certificates have serial numbers and encodings that give warnings, and are looked at all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _selected(text: str) -> list[str]:
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        context.set_cipher_list(text.encode("ascii"))
    except (SSL.Error, UnicodeEncodeError):
        return []
    return [name for name in SSL.Connection(context, None).get_cipher_list() if not name.startswith("TLS_")]


def _found(certificate: x509.Certificate) -> Found:
    names = subject_names(certificate)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    signed_itself = certificate.subject == certificate.issuer
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        authority = constraints.ca
    except x509.ExtensionNotFound:
        authority = signed_itself
    expired = certificate.not_valid_after_utc < datetime.now(UTC)
    weakness = key_weakness(certificate.public_key()) or ("" if signed_itself else _signature_weakness(certificate))
    return Found(
        str(common[0].value) if common else "",
        () if names is None else tuple(name.lower() for name in names.get_values_for_type(x509.DNSName)),
        authority,
        sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        weakness,
        f"{certificate.not_valid_after_utc:%F}" if expired else "",
    )


def _signature_weakness(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "it is signed in a way that nobody knows any more"
    return f"it is signed with {algorithm.name.upper()}" if algorithm and algorithm.name in _BROKEN_HASHES else ""
