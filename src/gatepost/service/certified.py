"""What a client's certificate says to the policy: who it is, and for whom it may log in."""

from __future__ import annotations

from hashlib import sha256
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm

from gatepost.accounts.verifiers import Verifiers
from gatepost.config.schema import Config
from gatepost.errors import CertificateError, StoreError
from gatepost.observe import logs
from gatepost.policy.inbound import Asked
from gatepost.policy.relay import NOTHING, PROVED, Shown
from gatepost.tls.clients import ClientTrust
from gatepost.tls.verify import both_fingerprints
from gatepost.wire.upgrade import EMAIL_PREFIX, Origin, TLSEvidence, Verification

Answer = TypeVar("Answer")


def client_trust(config: Config) -> ClientTrust:
    """What judges the certificates of clients: authorities, their revocation lists, and the fingerprints of all rules.

    :raises CertificateError: naming the key, when a file cannot be used.
    """
    tls = config.tls
    listed = frozenset(each for rule in config.relay for each in rule.certificate_fingerprint or ())
    try:
        return ClientTrust.load(tls.client_ca, tls.client_crl, listed)
    except CertificateError as error:
        raise CertificateError(f"tls.client_ca, tls.client_crl: {error.message}", hint=error.hint) from error


def shown(chain: tuple[bytes, ...], verification: Verification) -> Shown:
    """What a client showed, as the policy takes it.

    :param chain: DER, leaf first; empty when it showed none.
    """
    if not chain:
        return NOTHING
    mailboxes = tuple(name.removeprefix(EMAIL_PREFIX) for name in verification.names if name.startswith(EMAIL_PREFIX))
    return Shown(verification.status, verification.reason, mailboxes, fingerprints(chain[0]))


def certificate_name(evidence: TLSEvidence | None) -> str:
    """A client's certificate in one word, for the log: its first name, or its SHA-256; empty when it showed none."""
    if evidence is None or not evidence.peer_chain:
        return ""
    return evidence.verification.identity or f"sha256:{sha256(evidence.peer_chain[0]).hexdigest()}"


def report_unproved(origin: Origin, evidence: TLSEvidence) -> None:
    """Log a certificate that proves nothing, and why."""
    verification = evidence.verification
    if verification.status == "untrusted":
        logs.event(
            "tls.client-certificate",
            severity="warning" if verification.unchecked else "notice",
            connection=origin.connection,
            rip=origin.peer[0],
            listener=origin.listener,
            cert=certificate_name(evidence),
            reason=verification.reason,
        )


def fingerprints(leaf: bytes) -> tuple[str, ...]:
    """The SHA-256 of a certificate and of its public key, in lower-case hexadecimal."""
    try:
        return both_fingerprints(leaf)
    except (ValueError, UnsupportedAlgorithm):
        return (sha256(leaf).hexdigest(),)


def refusal_of(asked: Asked, verification: Verification, missing: Answer, unchecked: Answer) -> Answer | None:
    """What mail and logins are refused with where a certificate is required and none was proved; None otherwise.

    :param missing: the answer to who showed none that we trust.
    :param unchecked: the answer where a list of ours has expired: that is our fault, and the client should come again.
    """
    if asked != "require" or verification.status in PROVED:
        return None
    return unchecked if verification.unchecked else missing


def user_of(who: Shown, verifiers: Verifiers, origin: Origin) -> str:
    """The user whose address a verified certificate is for; empty when it is nobody's.

    The address must be the user's own: an alias of it, or one with a detail (``user+tag``), names nobody.

    :param origin: where the client came from, for the log: nobody is found when the accounts cannot be asked.
    """
    if who.status != "trusted":  # a fingerprint says that we know the certificate, not that what it says is true
        return ""
    try:
        return next((verifiers.identity(mailbox) for mailbox in who.mailboxes if verifiers.active(mailbox)), "")
    except StoreError as error:
        logs.event("store.failed", severity="error", connection=origin.connection, reason=str(error))
        return ""
