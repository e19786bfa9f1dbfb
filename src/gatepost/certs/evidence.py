"""What a handshake proved, in words and numbers, for people and for programs; and what a shown chain is worth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from cryptography import x509

from gatepost.certs.chain import is_self_signed, issued_by, name_of
from gatepost.certs.describe import describe
from gatepost.tls.credential import UNREADABLE, key_weakness, read_certificate
from gatepost.wire.upgrade import TLSEvidence, Verification

_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})


def evidence_facts(evidence: TLSEvidence, at: float) -> dict[str, Any]:
    """Everything that evidence says, as plain values; channel bindings are left out.

    :param at: now, in seconds since the epoch.
    """
    return {
        "version": evidence.version,
        "cipher": evidence.cipher,
        "bits": evidence.bits,
        "group": evidence.group,
        "server_name": evidence.server_name,
        "alpn": evidence.alpn,
        "resumed": evidence.resumed,
        "verification": verification_facts(evidence.verification),
        "chain": chain_facts(evidence.peer_chain, at),
    }


def verification_facts(verification: Verification) -> dict[str, Any]:
    """A verdict, as plain values."""
    return {"status": verification.status, "reason": verification.reason, "names": list(verification.names)}


def chain_facts(chain: Sequence[bytes], at: float) -> list[dict[str, Any]]:
    """Each certificate of a chain as ``describe`` has it, with its ``faults``: a list of texts, empty when it has none.

    The faults are those that can be seen without asking whom we trust, which is the verdict's part. A certificate that
    cannot be read has only ``sha256`` and ``faults``.

    :param chain: DER, leaf first.
    """
    certificates: list[x509.Certificate | None] = []
    for der in chain:
        try:
            certificates.append(read_certificate(der))
        except ValueError:
            certificates.append(None)
    found = []
    for depth, certificate in enumerate(certificates):
        issuer = certificates[depth + 1] if depth + 1 < len(certificates) else None
        found.append(_facts(chain[depth], certificate, issuer, at))
    return found


def _facts(
    der: bytes, certificate: x509.Certificate | None, issuer: x509.Certificate | None, at: float
) -> dict[str, Any]:
    try:
        if certificate is not None:
            return describe(certificate, at) | {"faults": _faults(certificate, issuer, at)}
    except UNREADABLE:
        pass
    return {"sha256": sha256(der).hexdigest(), "faults": ["cannot be read"]}


def _faults(certificate: x509.Certificate, issuer: x509.Certificate | None, at: float) -> list[str]:
    faults = []
    now = datetime.fromtimestamp(at, UTC)
    if now > certificate.not_valid_after_utc:
        faults.append(f"expired on {certificate.not_valid_after_utc:%F %T} UTC")
    if now < certificate.not_valid_before_utc:
        faults.append(f"not valid before {certificate.not_valid_before_utc:%F %T} UTC")
    if weakness := key_weakness(certificate.public_key()):
        faults.append(f"weak key: {weakness}")
    algorithm = certificate.signature_hash_algorithm
    alone = is_self_signed(certificate)
    if algorithm is not None and algorithm.name in _BROKEN_HASHES and not alone:
        faults.append(f"signed with {algorithm.name.upper()}, which can be forged")
    if issuer is not None and not alone and not issued_by(certificate, issuer):
        faults.append(f"not issued by the next certificate ({name_of(issuer)})")
    return faults
