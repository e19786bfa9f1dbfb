"""Combined PEM files: the key and the chain in one file, written whole or not at all, readable by the owner alone."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gatepost.errors import CertificateError
from gatepost.tls.credential import Credential, PrivateKey, load_credential

__all__ = ["combined_pem", "load_combined", "write_combined"]


def combined_pem(key: PrivateKey, chain: Sequence[x509.Certificate]) -> bytes:
    """The key (PKCS#8, not encrypted) and the chain, leaf first, as one PEM text."""
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def write_combined(path: Path, key: PrivateKey, chain: Sequence[x509.Certificate]) -> None:
    """Write a combined file with mode 0600. A crash leaves the old file or the new one, never half of either.

    :raises CertificateError: when it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(file, "wb") as out:
                out.write(combined_pem(key, chain))
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise CertificateError(f"{path}: cannot be written: {error.strerror}") from error


def load_combined(path: Path, *, at: float | None = None) -> Credential:
    """Load a combined file, key first or last, and check it as ``tls.credential.load_credential`` does.

    :raises CertificateError: with the exact reason.
    """
    return load_credential(path, at=at)
