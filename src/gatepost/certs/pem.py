"""Combined PEM files: the key and the chain in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.certs.files import write_secret
from gatepost.certs.keys import key_pem
from gatepost.tls.credential import Credential, PrivateKey, load_credential

__all__ = ["combined_pem", "load_combined", "write_combined"]


def combined_pem(key: PrivateKey, chain: Sequence[x509.Certificate]) -> bytes:
    """The key (PKCS#8, not encrypted) and the chain, leaf first, as one PEM text."""
    return key_pem(key) + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def write_combined(path: Path, key: PrivateKey, chain: Sequence[x509.Certificate], *, replace: bool = True) -> None:
    """Write a combined file, as ``write_secret`` does.

    :raises CertificateError: when it cannot be written, or is there and may not be replaced.
    """
    write_secret(path, combined_pem(key, chain), replace=replace)


def load_combined(path: Path, *, at: float | None = None) -> Credential:
    """Load a combined file, key first or last, and check it as ``tls.credential.load_credential`` does.

    :raises CertificateError: with the exact reason.
    """
    return load_credential(path, at=at)
