"""What policies ask of address lists beyond membership; their syntax is tested where they are written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.policy.addresses import AddressList

_NUMBERS = st.integers(0x0A000000, 0x0A00003F)
_RANGES = st.tuples(_NUMBERS, _NUMBERS).map(
    lambda pair: "-".join(str(ipaddress.IPv4Address(number)) for number in sorted(pair))
)


@given(st.lists(_RANGES, min_size=1, max_size=5), st.lists(_RANGES, max_size=3), _NUMBERS)
def test_answer_changes_at_edges_only(included: list[str], excluded: list[str], number: int) -> None:
    """Any address is answered like the nearest edge below it: who asks at the edges has asked everywhere."""
    addresses = AddressList([*included, *(f"!{entry}" for entry in excluded)])
    edges = [int(ipaddress.IPv4Address(edge)) for edge in ("0.0.0.0", *addresses.edges())]
    below = max(edge for edge in edges if edge <= number)
    assert addresses.matches(str(ipaddress.IPv4Address(number))) == addresses.matches(str(ipaddress.IPv4Address(below)))


def test_edges_cover_both_families_and_their_ends() -> None:
    """Nothing is behind the last address."""
    assert list(AddressList(["10.0.0.1", "255.255.255.255", "2001:db8::/127"]).edges()) == [
        "10.0.0.1", "10.0.0.2", "255.255.255.255", "2001:db8::", "2001:db8::2",
    ]  # fmt: skip
    assert list(AddressList().edges()) == []


@pytest.mark.parametrize(
    ("entries", "universal"),
    [
        (["*"], True),
        (["0.0.0.0/0"], True),
        (["::/0"], True),
        (["0.0.0.0-127.255.255.255", "128.0.0.0/1"], True),
        (["*", "!192.0.2.1", "!2001:db8::1"], False),
        (["10.0.0.0/8"], False),
        ([], False),
    ],
)
def test_list_that_covers_a_family_is_universal(entries: list[str], universal: bool) -> None:
    """However it is written."""
    assert AddressList(entries).universal is universal
