"""Promises of routing (RFC 5321 §5.1, RFC 7505)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gatepost.delivery.route import (
    HOST_LIMIT,
    Hop,
    NoRoute,
    Route,
    by_mx,
    loops_back,
    no_address,
    to_literal,
    to_smarthost,
)
from gatepost.net.resolve import AddressAnswer, Exchanger, Lookup, MXAnswer


def sequence(*numbers: float) -> Callable[[], float]:
    """A source of the given numbers."""
    return iter(numbers).__next__


def route(
    *hosts: tuple[int, str], status: Lookup = Lookup.FOUND, random: Callable[[], float] | None = None
) -> Route | NoRoute:
    """Route example.com with these MX records, as mx.gatepost.test."""
    answer = MXAnswer(status, tuple(Exchanger(*host) for host in hosts), "look-up failed")
    return by_mx("example.com", answer, hostname="mx.gatepost.test", port=25, random=random or (lambda: 0.5))


def test_route_orders_hosts_by_preference() -> None:
    """The lowest preference is tried first."""
    found = route((30, "c.test"), (10, "a.test"), (20, "b.test"))
    assert found == Route("mx", (Hop("a.test", 25, 10), Hop("b.test", 25, 20), Hop("c.test", 25, 30)))


def test_route_shuffles_hosts_of_equal_preference() -> None:
    """Equal hosts share the load: their order comes from the random source, and never leaves their preference."""
    hosts = ((10, "a.test"), (10, "b.test"), (20, "c.test"))
    one = route(*hosts, random=sequence(0.1, 0.9, 0.0))
    two = route(*hosts, random=sequence(0.9, 0.1, 0.0))
    assert isinstance(one, Route)
    assert isinstance(two, Route)
    assert [hop.host for hop in one.hops] == ["a.test", "b.test", "c.test"]
    assert [hop.host for hop in two.hops] == ["b.test", "a.test", "c.test"]


def test_route_uses_the_domain_itself_only_without_mx() -> None:
    """The implicit MX is for a domain that exists and has no MX record."""
    assert route(status=Lookup.NO_DATA) == Route("implicit", (Hop("example.com", 25),))


def test_route_refuses_a_null_mx_at_once() -> None:
    """RFC 7505 §3: permanent, 5.1.10, no address look-up."""
    found = route((0, ""))
    assert isinstance(found, NoRoute)
    assert (found.temporary, found.enhanced) == (False, "5.1.10")


def test_route_ignores_a_null_mx_beside_real_ones() -> None:
    """RFC 7505 §3 allows the dot only alone; beside others it is nothing."""
    assert route((0, ""), (10, "a.test")) == Route("mx", (Hop("a.test", 25, 10),))


@pytest.mark.parametrize(
    ("status", "temporary", "enhanced"), [(Lookup.FAILED, True, "4.4.3"), (Lookup.NO_NAME, False, "5.1.2")]
)
def test_route_tells_an_error_of_dns_from_a_missing_domain(status: Lookup, temporary: bool, enhanced: str) -> None:
    """SERVFAIL waits, NXDOMAIN bounces."""
    found = route(status=status)
    assert isinstance(found, NoRoute)
    assert (found.temporary, found.enhanced) == (temporary, enhanced)


def test_route_stops_before_our_own_name() -> None:
    """Hosts at or behind our own preference are left out (RFC 5321 §5.1), so that mail moves towards its end."""
    found = route((10, "a.test"), (20, "MX.gatepost.test"), (20, "b.test"), (30, "c.test"))
    assert found == Route("mx", (Hop("a.test", 25, 10),))


def test_route_calls_a_best_exchanger_that_is_us_a_loop() -> None:
    """When we are the best exchanger and the domain is not ours, mail would come back: 5.4.6."""
    for found in (route((10, "mx.gatepost.test"), (20, "b.test")), route((10, "mx.gatepost.test"))):
        assert isinstance(found, NoRoute)
        assert (found.temporary, found.enhanced) == (False, "5.4.6")


def test_route_bounds_the_hosts_it_tries() -> None:
    """A zone with a hundred exchangers costs a bounded number of attempts."""
    found = route(*((n, f"h{n}.test") for n in range(100)))
    assert isinstance(found, Route)
    assert len(found.hops) == HOST_LIMIT


@pytest.mark.parametrize(
    ("literal", "address"),
    [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1"), ("[ipv6:2001:DB8::1]", "2001:db8::1")],
)
def test_route_takes_an_address_literal_as_it_is(literal: str, address: str) -> None:
    """No MX is asked for ``user@[192.0.2.1]``."""
    assert to_literal(literal, 25) == Route("literal", (Hop(address, 25),))


@pytest.mark.parametrize("literal", ["[mx.test]", "[]", "[192.0.2.999]", "192.0.2.1", "[x400:foo]"])
def test_route_refuses_a_literal_that_is_no_address(literal: str) -> None:
    """Permanent: it will never become one."""
    found = to_literal(literal, 25)
    assert isinstance(found, NoRoute)
    assert not found.temporary


def test_route_to_a_smarthost_is_one_host_on_its_port() -> None:
    """Everything goes there."""
    assert to_smarthost("relay.test", 587) == Route("smarthost", (Hop("relay.test", 587),))


@pytest.mark.parametrize(
    ("kind", "status", "temporary", "enhanced"),
    [
        ("mx", Lookup.FAILED, True, "4.4.3"),
        ("mx", Lookup.NO_NAME, False, "5.4.4"),
        ("implicit", Lookup.NO_DATA, False, "5.1.2"),
        ("smarthost", Lookup.NO_NAME, True, "4.4.4"),
    ],
)
def test_host_without_address_is_judged_by_who_named_it(
    kind: str, status: Lookup, temporary: bool, enhanced: str
) -> None:
    """A stranger's missing host is permanent, the operator's own smarthost is waited for, errors always wait."""
    found = no_address(Hop("x.test", 25), kind, AddressAnswer(status))  # type: ignore[arg-type]
    assert (found.temporary, found.enhanced) == (temporary, enhanced)


def test_own_addresses_are_recognised_with_their_port() -> None:
    """The same address on another port is another server; a wildcard is every loopback address."""
    own = frozenset({("192.0.2.1", 25), ("0.0.0.0", 2525)})
    assert loops_back("192.0.2.1", 25, own)
    assert not loops_back("192.0.2.1", 2526, own)
    assert loops_back("127.0.0.3", 2525, own)
    assert not loops_back("192.0.2.7", 2525, own)
    assert loops_back("0.0.0.0", 2525, own)
    assert not loops_back("::1", 2525, own)
