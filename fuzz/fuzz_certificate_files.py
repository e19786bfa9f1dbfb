"""Invariant: whatever a file holds that an operator names, only CertificateError escapes from reading it, and the
message is printable."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from fuzz.certified import AT, armoured, authority, bundles, leaves, revocations
from fuzz.files import file_of
from fuzz.origins import plan
from fuzz.words import CERTIFICATE

from gatepost.certs.check import check_revocations
from gatepost.certs.describe import describe
from gatepost.certs.findings import examine
from gatepost.certs.incoming import read_incoming, read_key
from gatepost.certs.install import assemble
from gatepost.certs.pem import load_combined
from gatepost.config.importers.material import distrusted, read_pem_file, unusable
from gatepost.errors import CertificateError
from gatepost.tls.clients import ClientTrust
from gatepost.tls.credential import certificates_in, load_credential
from gatepost.tls.trust import TrustStore


def install(path: Path) -> None:
    """``gatepost cert install`` and ``cert show``."""
    incoming = read_incoming([path], lambda path: b"secret")
    for certificate in incoming.certificates:
        describe(certificate, AT)
    if incoming.certificates:
        examine(incoming.certificates, at=AT, names=["mx.example.org"], trust=TrustStore([authority().certificate]))
    assemble(incoming, incoming.keys, names=["mx.example.org"], trust=TrustStore([authority().certificate]), at=AT)


def trusted(path: Path) -> None:
    """As a bundle of authorities."""
    TrustStore.load(path)
    ClientTrust.load(path)


def revoked(path: Path) -> None:
    """As revocation lists."""
    check_revocations("ca", path, AT)
    TrustStore.load(file_of(authority().pem, "ca"), crl_file=path)


def imported(path: Path) -> None:
    """As an importer looks at the files of the old server."""
    read_pem_file(path)
    unusable(path)
    distrusted(path)


READERS: tuple[Callable[[Path], object], ...] = (
    lambda path: load_credential(path, at=AT), lambda path: load_combined(path, at=AT), certificates_in, read_key,
    install, trusted, revoked, imported,
)  # fmt: skip
WORDS = CERTIFICATE
LABELS = (b"", b"CERTIFICATE", b"X509 CRL", b"PRIVATE KEY", b"PKCS7")  # the first: as it is
SEEDS = (
    *(bytes((choice, 0)) + data for data in bundles() for choice in (0, 3, 4, 5, 7)),
    *(bytes((choice, 1)) + b"".join(leaf.der) for leaf in leaves() for choice in (2, 4, 5)),
    bytes((6, 2)) + revocations(),
)


def target(data: bytes) -> None:
    """One reader an input, which is a file, or DER of which one is made."""
    told = plan(data, len(READERS))
    label = LABELS[told.votes % len(LABELS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            READERS[told.choice](file_of(armoured(told.words, label) if label else told.words))
        except CertificateError as error:
            assert str(error).isprintable()
