"""Addresses of the old servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.importers.networks import postfix_network, uncovered, wildcard_entries
from gatepost.policy.addresses import AddressList


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.2"]),
        ("10.0.0.*", ["10.0.0.0", "10.0.0.255"], ["10.0.1.0"]),
        ("10.*", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0"]),
        ("10.*.*.*", ["10.9.8.7"], ["9.9.9.9"]),
        ("*", ["1.2.3.4", "::1"], []),
        ("*.*.*.*", ["1.2.3.4"], []),
        ("10.0.0.1*", ["10.0.0.1", "10.0.0.17", "10.0.0.199"], ["10.0.0.2", "10.0.0.20"]),
        ("10.*.0.7", ["10.0.0.7", "10.255.0.7"], ["10.0.0.8", "10.0.1.7"]),
        ("10.2*.*.*", ["10.2.9.9", "10.25.0.0"], ["10.3.0.0"]),
    ],
)
def test_wildcard_stands_for_the_addresses_it_matched(pattern: str, inside: list[str], outside: list[str]) -> None:
    """A star is any text within its octet."""
    entries = AddressList(wildcard_entries(pattern))
    assert all(map(entries.matches, inside)) and not any(map(entries.matches, outside))


@pytest.mark.parametrize(
    "pattern",
    ["1*", "10.*.3", "300*.1.1.1", "*.*.0.1", "a.b.*", "10.0.0.?*", "*" * 5000, "*.*.*.7", "file:/etc/passwd"],
)
def test_wildcard_refuses_what_it_cannot_say(pattern: str) -> None:
    """A pattern across octets, impossible octets, and one that would be a million entries."""
    with pytest.raises(ValueError, match=r"is not a|stands for"):
        wildcard_entries(pattern)


_OCTETS = st.sampled_from(["*", "1", "1*", "25*", "*5"])


@given(st.lists(_OCTETS, min_size=4, max_size=4), st.tuples(*[st.integers(0, 255)] * 4))
def test_wildcard_agrees_with_a_string_search(octets: list[str], address: tuple[int, ...]) -> None:
    """For every address, octet by octet."""
    from fnmatch import fnmatchcase

    try:
        entries = AddressList(wildcard_entries(".".join(octets)))
    except ValueError:
        return
    expected = all(fnmatchcase(str(number), octet) for number, octet in zip(address, octets, strict=True))
    assert entries.matches(".".join(map(str, address))) is expected


def test_uncovered_names_the_entries_that_reach_further() -> None:
    """Also by one address."""
    assert uncovered(("10.0.0.*", "10.0.1.*"), ("10.0.0.0-10.0.1.254",)) == ("10.0.1.*",)
    assert uncovered(("10.0.0.*",), ("*",)) == ()
    assert uncovered(("10.0.0.*",), ()) == ("10.0.0.*",)


def test_postfix_brackets_are_taken_off() -> None:
    """IPv6 networks, excluded ones too."""
    assert postfix_network("[::1]/128") == "::1/128"
    assert postfix_network("![2001:db8::]/32") == "!2001:db8::/32"
    assert postfix_network("10.0.0.0/8") == "10.0.0.0/8"
