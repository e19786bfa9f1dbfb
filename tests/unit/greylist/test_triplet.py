"""What is remembered of a mail."""

from __future__ import annotations

import pytest

from gatepost.greylist.triplet import KEY_OCTETS, TEXT_LIMIT, Prefixes, Triplet, network_of, triplet_of


@pytest.mark.parametrize(
    ("address", "prefixes", "network"),
    [
        ("192.0.2.77", Prefixes(), "192.0.2.0/24"),
        ("192.0.2.77", Prefixes(ipv4=32), "192.0.2.77/32"),
        ("192.0.2.77", Prefixes(ipv4=8), "192.0.0.0/8"),
        ("2001:db8:1:2:3:4:5:6", Prefixes(), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", Prefixes(ipv6=48), "2001:db8:1::/48"),
        ("fe80::1%eth0", Prefixes(), "fe80::/64"),
        ("::ffff:192.0.2.77", Prefixes(), "192.0.2.0/24"),
    ],
)
def test_network_stands_for_a_client(address: str, prefixes: Prefixes, network: str) -> None:
    """By its family's prefix; IPv4 inside of IPv6 is IPv4."""
    assert network_of(address, prefixes) == network


def test_what_is_no_address_has_no_network() -> None:
    """Nothing else is taken for one."""
    with pytest.raises(ValueError, match="local"):
        network_of("local", Prefixes())


def test_case_of_an_address_does_not_matter() -> None:
    """A sender that writes itself differently the second time is the same."""
    one = triplet_of("192.0.2.1", "Ann@Example.COM", "Bob@x.test", Prefixes())
    assert one == triplet_of("192.0.2.200", "ann@example.com", "bob@x.test", Prefixes())
    assert one.key == triplet_of("192.0.2.9", "ANN@example.com", "bob@X.test", Prefixes()).key


def test_each_part_makes_another_key() -> None:
    """Parts cannot run into one another."""
    base = Triplet("192.0.2.0/24", "a@x", "b@y")
    others = [
        base._replace(network="192.0.3.0/24"), base._replace(sender=""), base._replace(recipient="a@x"),
        Triplet("192.0.2.0/24", "a@xb", "@y"), Triplet("192.0.2.0/24", "b@y", "a@x"),
    ]  # fmt: skip
    assert len({each.key for each in (base, *others)}) == len(others) + 1


def test_key_has_one_size() -> None:
    """However long the addresses are, and whatever they are made of."""
    long = Triplet("2001:db8::/64", "ü" * 256 + "@" + "d" * 255, "\udc80" * 256)
    assert len(long.key) == KEY_OCTETS


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    """Whoever has a /64 has 2**64 addresses, and is one stranger with them."""
    triplets = {triplet_of(f"2001:db8::{n:x}", "a@b.example", "r@x.test", Prefixes()).key for n in range(1000)}
    assert len(triplets) == 1


def test_domain_that_vouches_stands_for_all_its_clients() -> None:
    """From whatever address; and it is nobody's network."""
    first, second = (
        triplet_of(each, "A@Big.example", "r@x.test", Prefixes(), "big.example") for each in ("10.0.0.1", "::1")
    )
    assert first == second
    assert first.network == "spf:big.example"
    assert first.key != triplet_of("10.0.0.1", "A@Big.example", "r@x.test", Prefixes()).key


def test_domain_that_is_too_long_for_a_row_leaves_it_to_the_network() -> None:
    """A row has one size, whatever a stranger has in DNS."""
    domain = ".".join(["d" * 60] * 3)
    assert len(domain) > TEXT_LIMIT
    assert triplet_of("10.0.0.1", f"a@{domain}", "r@x.test", Prefixes(), domain).network == "10.0.0.0/24"
