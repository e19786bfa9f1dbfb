"""Chains: who issued whom, and the order to send them in: each certifies the one before it (RFC 8446 §4.4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import AuthorityInformationAccessOID

from gatepost.tls.credential import UNREADABLE

_LIMIT: Final = 16


@final
@dataclass(frozen=True, slots=True)
class Ordered:
    """A leaf with what belongs to it.

    :param chain: leaf first, without the root.
    :param root: the self-signed authority at its end, when it was at hand.
    :param unused: what has no place in it.
    """

    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate | None
    unused: tuple[x509.Certificate, ...]


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one certificate was issued by another: by its name, and by its signature where that can be checked."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except UnsupportedAlgorithm:
        return certificate.issuer == issuer.subject  # a hash that is refused later, with its name
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether it was issued by itself."""
    return certificate.issuer == certificate.subject and issued_by(certificate, certificate)


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may issue others (RFC 5280 §4.2.1.9).

    :raises Exception: one of ``UNREADABLE``, when its extensions cannot be read.
    """
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def order_chain(leaf: x509.Certificate, others: Iterable[x509.Certificate], *, at: datetime) -> Ordered:
    """Put a chain in order.

    Of several issuers with one name and key the one is taken that is valid at ``at`` and was issued by another one, so
    that a chain which ends in an old and in a new root is sent whole; then the one that is valid for longest.

    :param others: intermediates, and perhaps the root, in any order.
    """
    left = [each for each in dict.fromkeys(others) if each != leaf]
    chain, root = [leaf], None
    while len(chain) < _LIMIT and not is_self_signed(chain[-1]):
        issuers = [each for each in left if issued_by(chain[-1], each)]
        if not issuers:
            break
        best = max(issuers, key=lambda each: _preference(each, at))
        left.remove(best)
        if is_self_signed(best):
            root = best
            break
        chain.append(best)
    return Ordered(tuple(chain), root, tuple(left))


def _preference(issuer: x509.Certificate, at: datetime) -> tuple[bool, bool, datetime]:
    valid = issuer.not_valid_before_utc <= at <= issuer.not_valid_after_utc
    return (valid, not is_self_signed(issuer), issuer.not_valid_after_utc)


def in_order(chain: Sequence[x509.Certificate]) -> bool:
    """Whether each certificate was issued by the next."""
    return all(issued_by(one, other) for one, other in pairwise(chain))


def issuer_address(certificate: x509.Certificate) -> str:
    """Where a certificate says that its issuer's can be fetched (RFC 5280 §4.2.2.1); empty when it does not say."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ""
    for description in access:
        location = description.access_location
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS and isinstance(
            location, x509.UniformResourceIdentifier
        ):
            return ascii(location.value[:300])[1:-1]
    return ""


def name_of(certificate: x509.Certificate) -> str:
    """The subject as people write it (RFC 4514), safe to print."""
    return ascii(certificate.subject.rfc4514_string()[:300])[1:-1] or "(no subject)"


def issuer_of(certificate: x509.Certificate) -> str:
    """The issuer as people write it (RFC 4514), safe to print."""
    return ascii(certificate.issuer.rfc4514_string()[:300])[1:-1] or "(no issuer)"
