"""Certificates that are known by their fingerprint, and names below a name."""

from __future__ import annotations

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatepost.errors import LocalProtocolError, VerificationError
from gatepost.testing.ca import DAY, TestAuthority, self_signed
from gatepost.testing.handshakes import carry, private_pair
from gatepost.tls.contexts import ClientTLS, client_context, server_contexts
from gatepost.tls.names import dns_name_matches, reference_pattern
from gatepost.tls.trust import TrustStore
from gatepost.tls.verify import match_fingerprint

AUTHORITY = TestAuthority()
OWN = self_signed("own.example")


def test_fingerprint_of_certificate_or_key_is_enough() -> None:
    """Neither issuer nor name nor date is asked."""
    late = AUTHORITY.issue("late.example", not_after=AUTHORITY.now - DAY)
    for issued in (OWN, late):
        spki = issued.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for octets in (issued.der[0], spki):
            found = match_fingerprint(issued.der, ("00" * 32, sha256(octets).hexdigest()))
            assert (found.status, found.reason) == ("pinned", "")


def test_fingerprint_counts_for_the_leaf_alone() -> None:
    """An authority's fingerprint lets nobody in whom it has certified."""
    below = AUTHORITY.intermediate().issue("a.example")
    with pytest.raises(VerificationError) as caught:
        match_fingerprint(below.der, (sha256(below.der[1]).hexdigest(),))
    assert caught.value.reason == "wrong-fingerprint"
    assert sha256(below.der[0]).hexdigest() in caught.value.message


@pytest.mark.parametrize(("chain", "reason"), [((), "no-certificate"), ((b"0\0",), "malformed")])
def test_fingerprint_of_nothing_or_nonsense_is_refused(chain: tuple[bytes, ...], reason: str) -> None:
    """As errors of the peer."""
    with pytest.raises(VerificationError) as caught:
        match_fingerprint(chain, ("00" * 32,))
    assert caught.value.reason == reason


def test_resumed_session_is_held_against_the_pins_again() -> None:
    """Sessions are kept apart by pins, and the chain that made one is judged anew."""
    contexts = server_contexts([OWN.credential])
    context = client_context(trust=TrustStore(()))
    pins = (sha256(OWN.der[0]).hexdigest(),)
    good = ClientTLS(context, "own.example", "fingerprint", pins=pins)
    for resumed in (False, True):
        theirs, ours = private_pair(contexts, good)
        theirs.send(b"220 the ticket comes with the first plaintext")
        carry(theirs, ours)
        assert (ours.evidence.verification.status, ours.evidence.resumed) == ("pinned", resumed)
    other = ClientTLS(context, "own.example", "fingerprint", pins=("00" * 32,))
    with pytest.raises(VerificationError):
        private_pair(contexts, other)


@pytest.mark.parametrize(
    ("presented", "matches"),
    [
        ("mx.example.com", True),
        ("a.b.example.com", True),
        ("*.example.com", True),
        ("MX.Example.COM.", True),
        ("*.mail.example.com", True),
        ("example.com", False),
        (".example.com", False),
        ("..example.com", False),
        ("notexample.com", False),
        ("*.com", False),
        ("a*.example.com", False),
        ("*.*.example.com", False),
    ],
)
def test_pattern_is_any_name_below(presented: str, matches: bool) -> None:
    """``.example.com`` is never example.com itself, and no name that merely ends alike."""
    assert dns_name_matches(presented, reference_pattern(".Example.com")) is matches


@pytest.mark.parametrize("pattern", [".", "..example.com", ".192.0.2.1", ".a b"])
def test_pattern_that_is_none_is_refused(pattern: str) -> None:
    """Before anything is sent."""
    with pytest.raises(LocalProtocolError):
        reference_pattern(pattern)


def test_pattern_is_no_server_name() -> None:
    """It is never asked for by SNI."""
    context = client_context(trust=TrustStore(()))
    with pytest.raises(LocalProtocolError):
        ClientTLS(context, ".example.com", "encrypt")
