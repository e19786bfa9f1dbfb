"""The certificate that we made ourselves is made again before it ends, at a start or a reload. No other one ever is.

SECURITY: reads and replaces ``data/tls/self-signed.pem``, when what stands there signed itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gatepost.certs.configured import SELF_SIGNED, needs_self_signed
from gatepost.config.schema import Config
from gatepost.observe.logs import event

__all__ = ["BEFORE_ITS_END", "SELF_SIGNED", "renew_self_signed"]

BEFORE_ITS_END: Final = 21 * 86400.0  # seconds


def renew_self_signed(config: Config, *, at: float) -> bool:
    """Replace our self-signed certificate and its key when it has ended or is about to.

    :param at: now, in seconds since the Unix epoch.
    :return: whether it was replaced: not when a certificate is configured, or somebody put an issued one in its place.
    :raises CertificateError: when it cannot be written.
    """
    if not needs_self_signed(config):
        return False
    path = config.data / SELF_SIGNED
    end = _end(path)
    if end is None or end - at >= BEFORE_ITS_END:
        return False
    from gatepost.certs.selfsigned import write_self_signed

    write_self_signed(path, config.hostname, at=at)
    event(
        "certificate.renewed",
        "notice",
        path=path,
        name=config.hostname,
        days_left=int((end - at) // 86400),
        hint="clients that were given the old one need the new one",
    )
    return True


def _end(path: Path) -> float | None:
    """When the certificate in the file ends, if it is there and signed itself."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        (certificate,) = x509.load_pem_x509_certificates(path.read_bytes())
        certificate.verify_directly_issued_by(certificate)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return None  # whoever loads it says what is wrong
    return certificate.not_valid_after_utc.timestamp()
