"""The verdict on a peer's certificate, given after the handshake.

OpenSSL runs with VERIFY_NONE, so that a connection whose certificate is bad can still be used where the policy says
"encrypt if you can", and be reported for what it was. ``X509StoreContext`` builds and checks the path; by itself it
lets pass what the following add (and each has its test): the purpose (RFC 5280 §4.2.1.12), the key sizes and the
signature algorithms (RFC 9325 §4.5), and the names (RFC 9525).

There is no boolean result: the verdict is a value when it is good and an exception when it is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import Final, Literal

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto
from OpenSSL.SSL import X509VerificationCodes as Codes

from gatepost.errors import VerificationError
from gatepost.tls.credential import UNREADABLE, key_weakness, public_octets, read_certificate
from gatepost.tls.names import certificate_matches, printable_names, reference_pattern
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import Verification

Purpose = Literal["server", "client"]

CHAIN_LIMIT: Final = 32

# What OpenSSL found (x509_vfy.h), our stable word for it, and its TLSRPT result type (RFC 8460 §4.3).
_REASONS: Final[dict[int, tuple[str, str]]] = {
    Codes.ERR_CERT_HAS_EXPIRED: ("expired", "certificate-expired"),
    Codes.ERR_CERT_NOT_YET_VALID: ("not-yet-valid", "validation-failure"),
    Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: ("self-signed", "certificate-not-trusted"),
    Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN: ("untrusted", "certificate-not-trusted"),
    Codes.ERR_UNABLE_TO_GET_ISSUER_CERT: ("untrusted", "certificate-not-trusted"),
    Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ("untrusted", "certificate-not-trusted"),
    Codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: ("untrusted", "certificate-not-trusted"),
    Codes.ERR_CERT_UNTRUSTED: ("untrusted", "certificate-not-trusted"),
    Codes.ERR_CERT_SIGNATURE_FAILURE: ("bad-signature", "certificate-not-trusted"),
    Codes.ERR_INVALID_CA: ("not-a-ca", "certificate-not-trusted"),
    Codes.ERR_INVALID_NON_CA: ("not-a-ca", "certificate-not-trusted"),
    Codes.ERR_KEYUSAGE_NO_CERTSIGN: ("not-a-ca", "certificate-not-trusted"),
    Codes.ERR_PATH_LENGTH_EXCEEDED: ("not-a-ca", "certificate-not-trusted"),
    Codes.ERR_CERT_REVOKED: ("revoked", "certificate-not-trusted"),
    Codes.ERR_UNABLE_TO_GET_CRL: ("revocation-unknown", "validation-failure"),
    Codes.ERR_CRL_HAS_EXPIRED: ("revocation-unknown", "validation-failure"),
    Codes.ERR_CRL_NOT_YET_VALID: ("revocation-unknown", "validation-failure"),
    Codes.ERR_CRL_SIGNATURE_FAILURE: ("revocation-unknown", "validation-failure"),
    Codes.ERR_UNABLE_TO_GET_CRL_ISSUER: ("revocation-unknown", "validation-failure"),
}
_OTHER: Final = ("invalid", "validation-failure")

_HINTS: Final[dict[str, str]] = {
    "expired": "the peer must renew its certificate",
    "self-signed": "name the certificate in ca_file to trust it",
    "wrong-fingerprint": "the peer has a new certificate, or is another: ask its operator, then change fingerprints",
    "untrusted": "the peer must send its intermediates, or its authority must be in ca_file",
    "wrong-name": "only subjectAltName counts (RFC 9525); check the name that was asked for",
    "revocation-unknown": "every authority of the chain needs a current revocation list",
}

_EKU: Final[dict[Purpose, x509.ObjectIdentifier]] = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}
_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})


def verify_peer(
    chain: Iterable[bytes],
    *,
    trust: TrustStore,
    names: tuple[str, ...],
    purpose: Purpose | None,
    at: float,
    crls: Iterable[x509.CertificateRevocationList] = (),
) -> Verification:
    """Judge a peer's certificate chain.

    :param chain: what the peer sent, as DER, leaf first.
    :param trust: the anchors, and their revocation lists.
    :param names: reference names; one of them must be in the certificate; ``.example.com`` is any name below that one.
        Empty: the name is not asked.
    :param purpose: what the peer is to us: a ``server`` or a ``client``; None: the certificate may be for anything.
    :param at: the time of the judgement, in seconds since the epoch.
    :param crls: further revocation lists.
    :return: ``verified``, or ``trusted`` when no name was asked for.
    :raises VerificationError: for everything else, with a stable ``reason`` and the TLSRPT ``result_type``.
    :raises LocalProtocolError: when a reference name is none.
    """
    references = [reference_pattern(name) for name in names]
    sent = tuple(chain)
    if not sent:
        raise _failure("no-certificate", "the peer showed no certificate", "validation-failure")
    if len(sent) > CHAIN_LIMIT:
        raise _failure("invalid", f"the peer sent a chain of {len(sent)} certificates", "validation-failure")
    revoked = tuple(crls)
    path = _path(sent, trust.revoking(revoked) if revoked else trust, at)
    try:
        for depth, certificate in enumerate(path):
            _check_strength(certificate, anchor=depth > 0 and depth == len(path) - 1)
            if purpose is not None:
                _check_purpose(certificate, purpose, leaf=depth == 0)
        if references and not any(certificate_matches(path[0], reference) for reference in references):
            raise _failure(
                "wrong-name",
                f"the certificate is for {_names_of(path[0])}, not for {' or '.join(references)}",
                "certificate-host-mismatch",
            )
    except UNREADABLE as error:
        raise _failure("malformed", f"the certificate cannot be read: {str(error)!a}", _OTHER[1]) from error
    return Verification("verified" if references else "trusted", "", printable_names(path[0]))


def match_fingerprint(chain: tuple[bytes, ...], fingerprints: Collection[str]) -> Verification:
    """Judge a peer by the SHA-256 of its certificate or of its public key alone: not by issuer, names or dates.

    :param chain: what the peer sent, as DER, leaf first.
    :param fingerprints: the ones that are good, in lower-case hexadecimal.
    :return: ``pinned``.
    :raises VerificationError: when it has none of them.
    """
    if not chain:
        raise _failure("no-certificate", "the peer showed no certificate", "validation-failure")
    try:
        own, key = both_fingerprints(chain[0])
    except UNREADABLE as error:
        raise _failure("malformed", f"the certificate cannot be read: {str(error)!a}", _OTHER[1]) from error
    if own not in fingerprints and key not in fingerprints:
        raise _failure(
            "wrong-fingerprint",
            f"the certificate is not a pinned one; its SHA-256 is {own}, that of its key {key}",
            "certificate-not-trusted",
        )
    return Verification("pinned", "", claimed_names(chain))


def both_fingerprints(leaf: bytes) -> tuple[str, str]:
    """The SHA-256 of a certificate and of its public key, in lower-case hexadecimal: what a pin may be.

    :param leaf: DER, as it was sent.
    :raises ValueError: when it, or its key, cannot be read.
    :raises UnsupportedAlgorithm: when it has one of an unknown kind.
    """
    key = read_certificate(leaf).public_key()
    return sha256(leaf).hexdigest(), sha256(public_octets(key)).hexdigest()


def _names_of(certificate: x509.Certificate) -> str:
    """The names in words. One that is in the subject alone is named, so that its owner knows why it does not count."""
    names = printable_names(certificate)
    if names:
        return ", ".join(names)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not common:
        return "no name at all"
    return f"no name (its CN alone says {ascii(str(common[0].value))[1:-1][:64]}, and only a subjectAltName counts)"


def claimed_names(chain: tuple[bytes, ...]) -> tuple[str, ...]:
    """The names in a leaf, believed or not, for the log; none where they cannot be read."""
    try:
        return printable_names(read_certificate(chain[0]))
    except (ValueError, IndexError):
        return ()


def _failure(reason: str, message: str, result_type: str) -> VerificationError:
    return VerificationError(message, reason=reason, result_type=result_type, hint=_HINTS.get(reason, ""))


def _path(sent: tuple[bytes, ...], trust: TrustStore, at: float) -> list[x509.Certificate]:
    """The checked path from the leaf to an anchor."""
    try:
        chain = [crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in sent]
    except crypto.Error as error:
        raise _failure("malformed", "the peer's certificate cannot be parsed", _OTHER[1]) from error
    try:
        return trust.verify(chain, at)
    except crypto.X509StoreContextError as error:
        number, depth, text = error.errors
        reason, result_type = _REASONS.get(number, _OTHER)
        where = "" if depth == 0 else f" (certificate {depth} of the chain)"
        raise _failure(reason, f"{text}{where}", result_type) from error
    except (ValueError, x509.InvalidVersion, crypto.Error) as error:  # OpenSSL read it, cryptography does not
        raise _failure("malformed", f"the certificate cannot be read: {str(error)!a}", _OTHER[1]) from error


def _check_strength(certificate: x509.Certificate, *, anchor: bool) -> None:
    """Key sizes of every certificate; the signature of every one that is not trusted for itself."""
    if weakness := key_weakness(certificate.public_key()):
        raise _failure("weak-key", f"a key of the chain is too weak: {weakness}", "validation-failure")
    if anchor:
        return
    algorithm = certificate.signature_hash_algorithm
    if algorithm is not None and algorithm.name in _BROKEN_HASHES:
        raise _failure("weak-signature", f"a certificate is signed with {algorithm.name}", "validation-failure")


def _check_purpose(certificate: x509.Certificate, purpose: Purpose, *, leaf: bool) -> None:
    """The extended key usage of every certificate, and the leaf's key usage, where they are stated."""
    extensions = certificate.extensions
    try:
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        pass
    else:
        if _EKU[purpose] not in usages and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages:
            raise _failure("wrong-purpose", f"the certificate is not for a {purpose}", "validation-failure")
    if leaf:
        try:
            usage = extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            return
        if not (usage.digital_signature or usage.key_encipherment or usage.key_agreement):
            raise _failure("wrong-purpose", "the certificate's key is not for TLS", "validation-failure")
