"""A certificate in words and numbers, for ``gatepost cert show`` and for programs."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from gatepost.certs.chain import is_self_signed, issuer_of, name_of
from gatepost.certs.findings import days_left
from gatepost.certs.keys import certificate_fingerprint, described, key_fingerprint
from gatepost.tls.names import printable_names


def describe(certificate: x509.Certificate, at: float) -> dict[str, Any]:
    """Names, issuer, dates, key and fingerprints.

    :param at: now, in seconds since the epoch.
    """
    return {
        "names": list(printable_names(certificate)),
        "subject": name_of(certificate),
        "issuer": issuer_of(certificate),
        "self_signed": is_self_signed(certificate),
        "serial": f"{certificate.serial_number:x}",
        "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "days_left": int(days_left(certificate, at) // 1),
        "key": described(certificate.public_key()),
        "signature": _signature(certificate),
        "sha256": certificate_fingerprint(certificate),
        "public_key_sha256": key_fingerprint(certificate),
    }


def _signature(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return certificate.signature_algorithm_oid.dotted_string
    return "without a hash of its own" if algorithm is None else algorithm.name.upper()
