"""Address lists, compared with the standard library's ipaddress as an oracle, and what policies ask of them."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.policy.addresses import AddressList

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


def test_remembered_answer_is_not_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path asks this for every connection: the second time it costs one look into a dictionary."""
    addresses = AddressList(["127.0.0.1", "::1", "!10.0.0.9", "10.0.0.*"])
    answers = [addresses.matches(address) for address in ("10.0.0.8", "10.0.0.9")]
    monkeypatch.delattr(AddressList, "_look_up")
    assert [addresses.matches(address) for address in ("10.0.0.8", "10.0.0.9")] == answers == [True, False]


@given(st.lists(st.text(max_size=50), max_size=3))
def test_parser_ends_with_a_list_or_a_refusal(entries: list[str]) -> None:
    """No text makes the parser fail in another way than by refusing."""
    with contextlib.suppress(ValueError):
        AddressList(entries)


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


@pytest.mark.parametrize(
    ("excluded", "edges"),
    [
        (["10.0.0.0-3"], ["10.0.0.4", "10.0.0.10", "10.0.0.20", "10.0.0.30"]),
        (["10.0.0.5-9"], ["10.0.0.0", "10.0.0.5", "10.0.0.20", "10.0.0.30"]),
        (["10.0.0.3", "10.0.0.5-6"], ["10.0.0.0", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.7", "10.0.0.10",
                                     "10.0.0.20", "10.0.0.30"]),
        (["10.0.0.5-24"], ["10.0.0.0", "10.0.0.5", "10.0.0.25", "10.0.0.30"]),
        (["9.255.255.255-10.0.0.9"], ["10.0.0.20", "10.0.0.30"]),
        (["10.0.0.10-19"], ["10.0.0.0", "10.0.0.10", "10.0.0.20", "10.0.0.30"]),
        (["10.0.0.0/8"], []),
    ],
)  # fmt: skip
def test_exclusion_takes_away_what_it_names_and_no_more(excluded: list[str], edges: list[str]) -> None:
    """An end of a range, its middle, several pieces, parts of two, one of them whole, the gap between, everything."""
    addresses = AddressList(["10.0.0.0-10.0.0.9", "10.0.0.20-10.0.0.29", *(f"!{entry}" for entry in excluded)])
    assert list(addresses.edges()) == edges


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
        (["0.0.0.0/1", "::/1"], False),
        (["128.0.0.0/1", "8000::/1"], False),
        ([], False),
    ],
)
def test_list_that_covers_a_family_is_universal(entries: list[str], universal: bool) -> None:
    """However it is written."""
    assert AddressList(entries).universal is universal


def test_lists_are_values() -> None:
    """Equal when their entries are: two settings that say the same are the same setting."""
    entries = ["10.0.0.1", "!10.0.0.2"]
    assert AddressList(entries) == AddressList(entries) != AddressList(entries[:1])
    assert AddressList(entries) != tuple(entries)
    assert len({AddressList(entries), AddressList(entries)}) == 1
    assert list(AddressList(entries)) == entries
    assert AddressList(entries) and not AddressList()
    assert repr(AddressList(entries)) == "AddressList(['10.0.0.1', '!10.0.0.2'])"
