"""Chains in order: the issuer is known by its signature, not by its name."""

from __future__ import annotations

import itertools

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from gatepost.certs.chain import in_order, is_authority, is_self_signed, issuer_address, order_chain
from gatepost.testing.ca import DAY, TestAuthority, key_for, self_signed

ROOT = TestAuthority("the root")
UPPER = ROOT.intermediate("upper")
LOWER = UPPER.intermediate("lower")
LEAF = LOWER.issue("mx.example.test")


@pytest.mark.parametrize("sent", list(itertools.permutations([ROOT.certificate, UPPER.certificate, LOWER.certificate])))
def test_chain_is_ordered_from_any_order(sent: tuple[x509.Certificate, ...]) -> None:
    """Leaf, lower, upper; the root apart."""
    ordered = order_chain(LEAF.certificate, sent, at=ROOT.now)
    assert ordered.chain == LEAF.chain
    assert (ordered.root, ordered.unused) == (ROOT.certificate, ())
    assert in_order(ordered.chain) and not in_order(tuple(reversed(ordered.chain)))


def test_namesake_of_the_issuer_is_not_taken() -> None:
    """The same name with another key is somebody else."""
    namesake = TestAuthority("lower", issuer=UPPER, key=key_for("a namesake")).certificate
    ordered = order_chain(LEAF.certificate, [namesake, LOWER.certificate, UPPER.certificate], at=ROOT.now)
    assert (ordered.chain, ordered.unused) == (LEAF.chain, (namesake,))


def test_issuer_that_is_valid_is_preferred_and_then_the_cross_signed_one() -> None:
    """Of an authority's several certificates: the valid one, and the one that also leads to an older root."""
    older = TestAuthority("the older root")
    cross = TestAuthority("the root", issuer=older, key=ROOT.key).certificate
    ordered = order_chain(UPPER.certificate, [ROOT.certificate, cross, older.certificate], at=ROOT.now)
    assert (ordered.chain, ordered.root) == ((UPPER.certificate, cross), older.certificate)
    late = ROOT.now + 400 * DAY
    assert order_chain(UPPER.certificate, [cross], at=late).chain == (UPPER.certificate, cross)


def test_certificates_tell_what_they_are() -> None:
    """Self-signed, an authority, and where the issuer's certificate is."""
    assert is_self_signed(ROOT.certificate) and is_self_signed(self_signed().certificate)
    assert not is_self_signed(LEAF.certificate)
    assert is_authority(ROOT.certificate) and not is_authority(LEAF.certificate)
    where = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.test/ca.crt")
            )
        ]
    )
    assert issuer_address(ROOT.issue("a.test", extra=[(where, False)]).certificate) == "http://ca.test/ca.crt"
    assert issuer_address(LEAF.certificate) == ""
