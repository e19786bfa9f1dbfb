"""Address lists, compared with the standard library's ipaddress as an oracle."""

from __future__ import annotations

import contextlib
import ipaddress
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.addresses import AddressList

_V4 = st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number)))
_V6 = st.integers(0, 2**128 - 1).map(lambda number: str(ipaddress.IPv6Address(number)))
# Addresses from few networks, so that entries meet them.
_NEAR = st.one_of(
    st.integers(0, 1023).map(lambda number: str(ipaddress.IPv4Address(0x0A000000 + number))),
    st.integers(0, 1023).map(lambda number: str(ipaddress.IPv6Address((0x20010DB8 << 96) + number))),
)
_PREFIX = st.integers(22, 32)


def _network(address: str, prefix: int) -> str:
    width = 32 if ":" not in address else 128
    return str(ipaddress.ip_network(f"{address}/{width - 32 + prefix}", strict=False))


_NETWORK = st.builds(_network, _NEAR, _PREFIX)
_RANGE = (
    st.tuples(_NEAR, _NEAR)
    .filter(lambda pair: (":" in pair[0]) == (":" in pair[1]))
    .map(lambda pair: "-".join(sorted(pair, key=lambda text: int(ipaddress.ip_address(text)))))
)
_ENTRY = st.one_of(_NEAR, _NETWORK, _RANGE)


def _oracle(entry: str, address: str) -> bool:
    found = ipaddress.ip_address(address)
    if "-" in entry:
        low, high = (ipaddress.ip_address(part) for part in entry.split("-"))
        return low.version == found.version and int(low) <= int(found) <= int(high)
    network = ipaddress.ip_network(entry)
    return found.version == network.version and found in network


@given(st.lists(_ENTRY, max_size=8), st.lists(_ENTRY, max_size=4), _NEAR)
def test_list_agrees_with_ipaddress(included: list[str], excluded: list[str], address: str) -> None:
    """An address is in the list when an entry names it and no exclusion does."""
    if excluded and not included:
        included = ["*"]
        expected = True
    else:
        expected = any(_oracle(entry, address) for entry in included)
    expected = expected and not any(_oracle(entry, address) for entry in excluded)
    assert AddressList([*(f"!{entry}" for entry in excluded), *included]).matches(address) is expected


@given(st.one_of(_V4, _V6))
def test_star_is_every_address(address: str) -> None:
    """``*`` names every address of both families."""
    assert AddressList(["*"]).matches(address)
    assert not AddressList().matches(address)


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.0.0.*", "10.0.0.255", "10.0.1.0"),
        ("10.*", "10.255.255.255", "11.0.0.0"),
        ("10.0.*.*", "10.0.3.4", "10.1.0.0"),
        ("10.0.0.1-9", "10.0.0.9", "10.0.0.10"),
        ("10.0.0.1 - 10.0.0.9", "10.0.0.1", "10.0.0.0"),
        ("2001:db8:*", "2001:db8:ffff::1", "2001:db9::"),
        ("2001:db8::/32", "2001:db8::1", "10.0.0.1"),
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.0/120", "192.0.2.200", "192.0.3.0"),
        ("fe80::1", "fe80::1%eth0", "fe80::2"),
    ],
)
def test_entries_mean_what_operators_expect(entry: str, inside: str, outside: str) -> None:
    """Wildcards, short ranges, mapped addresses and scopes."""
    assert AddressList([entry]).matches(inside)
    assert not AddressList([entry]).matches(outside)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8"),
        ("10.0.0.0/33", "not a network"),
        ("10.0.0.0/255.0.0.0", "prefix"),
        ("10.0.0.9-10.0.0.1", "range"),
        ("10.0.0.1-::1", "range"),
        ("10.*.0.1", "not an address list entry"),
        ("10.*.0.*", "wildcard"),
        ("*.0", "not an address list entry"),
        ("10.0.0.0.*", "wildcard"),
        ("localhost", "not an address list entry"),
        ("", "not an address list entry"),
        ("!", "not an address list entry"),
        ("010.0.0.1", "not an address list entry"),
        ("2001:db8::*", "wildcard"),
    ],
)
def test_refusals_name_the_entry_and_the_way_to_write_it(entry: str, says: str) -> None:
    """A list with a mistake is refused, never understood in part."""
    with pytest.raises(ValueError, match=says):
        AddressList([entry])


def test_refuses_a_list_of_exclusions_only() -> None:
    """It could be read as nobody or as everybody else, so it is neither."""
    with pytest.raises(ValueError, match="exclusions only"):
        AddressList(["!10.0.0.1"])


@pytest.mark.parametrize("text", ["", "local", "unix", "10.0.0", "::g", "\0"])
def test_what_is_no_address_is_in_no_list(text: str) -> None:
    """A local socket's peer is not exempt by accident."""
    assert not AddressList(["*"]).matches(text)


def test_memory_of_answers_is_bounded() -> None:
    """A peer with many addresses cannot make the list grow without end."""
    addresses = AddressList(["10.0.0.0/8"])
    for number in range(5000):
        assert addresses.matches(str(ipaddress.IPv4Address(0x0A000000 + number)))
    assert len(addresses._cache) <= 4096


def test_remembered_answer_costs_next_to_nothing() -> None:
    """The hot path asks this for every connection: well below a microsecond, with room for a slow machine."""
    addresses = AddressList(["127.0.0.1", "::1", "!10.0.0.9", "10.0.0.*"])
    assert addresses.matches("10.0.0.8")
    best = min(timeit.repeat(lambda: addresses.matches("10.0.0.8"), number=1000, repeat=5)) / 1000
    assert best < 5e-6


@given(st.lists(st.text(max_size=50), max_size=3))
def test_parser_ends_with_a_list_or_a_refusal(entries: list[str]) -> None:
    """No text makes the parser fail in another way than by refusing."""
    with contextlib.suppress(ValueError):
        AddressList(entries)
