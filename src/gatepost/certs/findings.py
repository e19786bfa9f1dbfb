"""What is wrong with a certificate of ours, as a peer would meet it: one finding for each thing, with what to do.

``error``: peers that verify will refuse it, or the server cannot use it. ``warning``: something is to be done soon.
``note``: worth knowing, nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from gatepost.certs.chain import (
    in_order,
    is_authority,
    is_self_signed,
    issuer_address,
    issuer_of,
    name_of,
)
from gatepost.errors import LocalProtocolError, VerificationError
from gatepost.tls.credential import UNREADABLE, key_weakness
from gatepost.tls.names import certificate_matches, printable_names, reference_name, subject_names
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import Purpose, verify_peer

EXPIRY_WARNING_DAYS: Final = 21
DAY: Final = 86400.0

Severity: TypeAlias = Literal["error", "warning", "note"]
_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})
_RENEW: Final = "renew it: gatepost cert request, then gatepost cert install"
_EKU: Final = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


class Finding(NamedTuple):
    """One thing to know about a certificate.

    :param word: stable, for programs.
    :param text: for people; empty hint when there is nothing to do.
    """

    severity: Severity
    word: str
    text: str
    hint: str = ""


def days_left(certificate: x509.Certificate, at: float) -> float:
    """How many days a certificate is still valid; negative when it has expired."""
    return (certificate.not_valid_after_utc.timestamp() - at) / DAY


def examine(
    chain: Sequence[x509.Certificate],
    *,
    at: float,
    names: Sequence[str] = (),
    trust: TrustStore | None = None,
    purpose: Purpose = "server",
) -> list[Finding]:
    """Look at a chain as it would be sent.

    :param chain: leaf first.
    :param at: now, in seconds since the epoch.
    :param names: each must be in the leaf.
    :param trust: whose chains are complete; without it that is not judged.
    """
    findings: list[Finding] = []
    try:
        findings += _validity(chain, at)
        findings += _strength(chain)
        findings += _use(chain[0], purpose)
        findings += _names(chain[0], names)
        findings += _order(chain)
        if trust is not None:
            findings += _trusted(chain, trust, at, purpose, findings)
    except UNREADABLE as error:
        findings.append(Finding("error", "malformed", f"the certificate cannot be read: {ascii(str(error))[1:-1]}"))
    return findings


def _validity(chain: Sequence[x509.Certificate], at: float) -> Iterator[Finding]:
    now = datetime.fromtimestamp(at, UTC)
    for depth, certificate in enumerate(chain):
        what = "the certificate" if depth == 0 else f"the intermediate {name_of(certificate)}"
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        hint = _RENEW if depth == 0 else "fetch a current one from the authority"
        if now > end:
            yield Finding("error", "expired", f"{what} expired on {end:%F %T} UTC", hint)
        elif now < begin:
            yield Finding(
                "error",
                "not-yet-valid",
                f"{what} is not valid before {begin:%F %T} UTC",
                "is this machine's clock right?",
            )
        elif (left := days_left(certificate, at)) < EXPIRY_WARNING_DAYS:
            yield Finding("warning", "expires-soon", f"{what} expires on {end:%F %T} UTC, in {left:.0f} days", hint)


def _strength(chain: Sequence[x509.Certificate]) -> Iterator[Finding]:
    for depth, certificate in enumerate(chain):
        what = "the key" if depth == 0 else f"the key of the intermediate {name_of(certificate)}"
        if weakness := key_weakness(certificate.public_key()):
            yield Finding("error", "weak-key", f"{what} is too weak: {weakness}", "make a new key; ECDSA P-256 is best")
        if is_self_signed(certificate):
            continue  # nobody relies on that signature
        algorithm = certificate.signature_hash_algorithm
        if algorithm is not None and algorithm.name in _BROKEN_HASHES:
            whose = "the certificate" if depth == 0 else f"the intermediate {name_of(certificate)}"
            name = algorithm.name.upper().replace("SHA1", "SHA-1")
            yield Finding("error", "weak-signature", f"{whose} is signed with {name}, which can be forged", _RENEW)


def _use(leaf: x509.Certificate, purpose: Purpose) -> Iterator[Finding]:
    if is_authority(leaf):
        yield Finding(
            "error",
            "authority",
            "the certificate is an authority's, which is no server's",
            "issue one for the server with it; gatepost cert new makes one that signs itself",
        )
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if _EKU[purpose] not in purposes and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes:
        yield Finding("error", "wrong-purpose", f"the certificate is not for a TLS {purpose}", "ask for one that is")


def _names(leaf: x509.Certificate, names: Sequence[str]) -> Iterator[Finding]:
    if not names:
        return
    if subject_names(leaf) is None:
        yield Finding(
            "error",
            "common-name-only",
            f"the certificate carries a name in its subject alone ({name_of(leaf)})",
            "only subjectAltName counts (RFC 9525): ask the authority for one that has it",
        )
        return
    for name in names:
        try:
            matches = certificate_matches(leaf, reference_name(name))
        except LocalProtocolError as error:
            yield Finding("error", "wrong-name", error.message)
            continue
        if not matches:
            has = ", ".join(printable_names(leaf)) or "no name at all"
            yield Finding(
                "error", "wrong-name", f"the certificate is for {has}, not for {name}", "ask for one that has it"
            )


def _order(chain: Sequence[x509.Certificate]) -> Iterator[Finding]:
    if not in_order(chain):
        yield Finding(
            "error",
            "unordered",
            "the chain is not in order: each certificate must be followed by the one that issued it",
            "gatepost cert install puts it in order",
        )
    if len(chain) > 1 and is_self_signed(chain[-1]):
        yield Finding("note", "root-sent", "the chain ends with its root, which no peer needs")


def _trusted(
    chain: Sequence[x509.Certificate], trust: TrustStore, at: float, purpose: Purpose, found: Sequence[Finding]
) -> Iterator[Finding]:
    try:
        verify_peer([each.public_bytes(Encoding.DER) for each in chain], trust=trust, names=(), purpose=purpose, at=at)
    except VerificationError as error:
        if error.reason == "self-signed" or (len(chain) == 1 and is_self_signed(chain[0])):
            yield Finding(
                "note",
                "self-signed",
                "the certificate is self-signed: peers that verify accept it only when they are given it",
                "for the world, get one from an authority: gatepost cert request",
            )
        elif error.reason == "untrusted":
            yield _incomplete(chain, trust)
        elif not any(each.severity == "error" for each in found):
            yield Finding("error", error.reason, error.message, error.hint)


def _incomplete(chain: Sequence[x509.Certificate], trust: TrustStore) -> Finding:
    top = chain[-1]
    if is_self_signed(top):
        return Finding(
            "error",
            "untrusted-root",
            f"the chain ends in {name_of(top)}, which is not among the authorities of {trust.source}",
            "for an authority of your own name its certificate with --ca-file",
        )
    where = issuer_address(top)
    return Finding(
        "error",
        "incomplete",
        f"the chain is incomplete: {name_of(top)} was issued by {issuer_of(top)}, whose certificate is missing",
        (f"fetch it from {where}" if where else "fetch it from the authority")
        + " and add it; for an authority of your own name its root with --ca-file",
    )
