"""Promises of the resolver, against a real server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gatepost.net.resolve import AddressAnswer, DNSResolver, Exchanger, Lookup, MXAnswer
from gatepost.testing.dns import FakeDNS


@pytest.fixture
def server() -> Iterator[FakeDNS]:
    """A name server with a small zone."""
    with FakeDNS() as dns:
        dns.add("example.com", "MX", "20 mx2.example.com.", "10 mx1.example.com.")
        dns.add("mx1.example.com", "A", "192.0.2.1", "192.0.2.2")
        dns.add("mx1.example.com", "AAAA", "2001:db8::1")
        yield dns


def mx(server: FakeDNS, domain: str, lifetime: float = 5) -> MXAnswer:
    """Look up the exchangers of a domain."""
    return asyncio.run(DNSResolver([server.nameserver], timeout=lifetime / 2, lifetime=lifetime).mx(domain))


def addresses(server: FakeDNS, host: str, *, local_names: bool = False) -> AddressAnswer:
    """Look up the addresses of a host."""
    return asyncio.run(DNSResolver([server.nameserver], lifetime=5).addresses(host, local_names=local_names))


def test_resolver_finds_exchangers_with_their_preference(server: FakeDNS) -> None:
    """Every MX record becomes an exchanger, host without its dot."""
    answer = mx(server, "Example.COM")
    assert answer.status is Lookup.FOUND
    assert set(answer.exchangers) == {Exchanger(10, "mx1.example.com"), Exchanger(20, "mx2.example.com")}


def test_resolver_reports_a_null_mx_as_an_empty_host(server: FakeDNS) -> None:
    """The single dot of RFC 7505 is seen as such, not as a missing answer."""
    server.add("none.example", "MX", "0 .")
    assert mx(server, "none.example") == MXAnswer(Lookup.FOUND, (Exchanger(0, ""),))


def test_resolver_tells_a_missing_name_from_missing_records(server: FakeDNS) -> None:
    """NXDOMAIN and an empty answer are different statuses: one bounces, the other means an implicit MX."""
    server.add("bare.example", "A", "192.0.2.9")
    assert mx(server, "bare.example").status is Lookup.NO_DATA
    assert mx(server, "gone.example").status is Lookup.NO_NAME


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"])
def test_resolver_never_takes_an_error_for_absence(server: FakeDNS, rcode: str) -> None:
    """Whatever error a server answers, nothing is known, and the answer says failed."""
    server.fail("broken.example", rcode)
    answer = mx(server, "broken.example")
    assert answer.status is Lookup.FAILED
    assert "broken.example" in answer.detail


def test_resolver_reports_silence_as_a_failure_within_its_lifetime(server: FakeDNS) -> None:
    """A server that never answers costs the lifetime and no more."""
    server.silence("slow.example")
    answer = mx(server, "slow.example", lifetime=0.4)
    assert answer.status is Lookup.FAILED
    assert "timed out" in answer.detail


def test_resolver_takes_turns_between_address_families(server: FakeDNS) -> None:
    """IPv6 comes first and the families alternate, so that one dead family costs one attempt."""
    server.add("both.example", "AAAA", "2001:db8::1", "2001:db8::2")
    server.add("both.example", "A", "192.0.2.1")
    found = addresses(server, "both.example").addresses
    assert [":" in address for address in found] == [True, False, True]


def test_resolver_follows_an_alias_to_its_addresses(server: FakeDNS) -> None:
    """An exchanger that is a CNAME is forbidden (RFC 5321 §5.1) but common, and resolves."""
    server.add("alias.example", "CNAME", "mx1.example.com.")
    assert "192.0.2.1" in addresses(server, "alias.example").addresses


def test_resolver_asks_again_over_tcp_when_the_answer_is_cut(server: FakeDNS) -> None:
    """A long answer comes over TCP, and more exchangers than the limit are not kept."""
    server.add("many.example", "MX", *(f"10 exchanger-number-{n:03}.many.example." for n in range(150)))
    answer = mx(server, "many.example")
    assert answer.status is Lookup.FOUND
    assert len(answer.exchangers) == 100


def test_resolver_drops_exchangers_that_are_not_host_names(server: FakeDNS) -> None:
    """A label with a space or a control byte never becomes a host to dial or a word in a log."""
    server.add("odd.example", "MX", r"5 evil\013\010host.example.", "10 good.example.")
    assert mx(server, "odd.example").exchangers == (Exchanger(10, "good.example"),)


def test_resolver_answers_localhost_itself(server: FakeDNS) -> None:
    """``localhost`` is loopback whatever a name server would say (RFC 6761 §6.3)."""
    assert addresses(server, "localhost").addresses == ("127.0.0.1", "::1")
    assert server.questions == []


def test_resolver_asks_the_system_only_for_names_the_operator_gave(server: FakeDNS) -> None:
    """Names of strangers' zones never reach the system's host file."""
    assert addresses(server, "ip6-localhost").status is Lookup.NO_NAME


def test_resolver_survives_names_that_cannot_be_asked(server: FakeDNS) -> None:
    """An over-long label or an empty one is a failed look-up, not an exception."""
    for name in ("a" * 64 + ".example", "a..example", ".".join(["x" * 60] * 6)):
        assert mx(server, name).status is Lookup.FAILED


def test_resolver_remembers_answers(server: FakeDNS) -> None:
    """A second look-up within the time to live asks nobody."""

    async def twice() -> None:
        resolver = DNSResolver([server.nameserver])
        await resolver.mx("example.com")
        await resolver.mx("example.com")

    asyncio.run(twice())
    assert server.questions == [("example.com", "MX")]


def test_resolver_refuses_a_name_server_that_is_no_address() -> None:
    """A name cannot be asked before there is a resolver."""
    with pytest.raises(ValueError, match="not the address"):
        DNSResolver(["ns.example"])
