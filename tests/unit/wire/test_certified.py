"""Mail addresses as certificates carry them (RFC 5280 §7.5)."""

from __future__ import annotations

import pytest

from gatepost.wire.certified import canonical_mailbox


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Alice@EXAMPLE.org", "Alice@example.org"),
        ("alice@XN--bcher-kva.example", "alice@xn--bcher-kva.example"),
        ('"a b"@Example.org', '"a b"@example.org'),
    ],
)
def test_domain_is_compared_without_case_and_local_part_as_it_is(text: str, canonical: str) -> None:
    """A certificate for ``Alice`` is none for ``alice``: only the host that owns the domain could say so."""
    assert canonical_mailbox(text) == canonical


@pytest.mark.parametrize(
    "text", ["", "alice", "postmaster", "alice@", "@example.org", "alice@example.org\0", "ä@example.org", "a@ä.org"]
)
def test_what_is_no_address_matches_nothing(text: str) -> None:
    """A NUL, a missing domain or letters beyond ASCII make no address: nothing compares equal to None."""
    assert canonical_mailbox(text) is None
