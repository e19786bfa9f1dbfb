"""What DNS calls an address, confirmed forward, against a name server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gatepost.net.confirmed import AT_ONCE, KEPT_SECONDS, WAITING, ConfirmedNames
from gatepost.net.resolve import AddressAnswer, DNSResolver, Lookup, NamesAnswer
from gatepost.testing.dns import FakeDNS

REVERSE = "7.2.0.192.in-addr.arpa"


@pytest.fixture
def dns() -> Iterator[FakeDNS]:
    """A name server."""
    with FakeDNS() as server:
        yield server


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _find(dns: FakeDNS, address: str = "192.0.2.7", *, seconds: float = 30.0) -> tuple[str, ...]:
    return asyncio.run(ConfirmedNames(DNSResolver([dns.nameserver]), Clock(), seconds=seconds).find(address))


def test_name_that_leads_back_counts(dns: FakeDNS) -> None:
    """Also beside one that does not."""
    dns.add(REVERSE, "PTR", "forged.example.org.", "Mail.Example.COM.")
    dns.add("mail.example.com", "A", "192.0.2.9", "192.0.2.7")
    dns.add("forged.example.org", "A", "198.51.100.1")
    assert _find(dns) == ("mail.example.com",)


def test_ipv6_address_has_names_too(dns: FakeDNS) -> None:
    """However its address is written."""
    dns.add("7" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "six.example.com.")
    dns.add("six.example.com", "AAAA", "2001:db8::7")
    assert _find(dns, "2001:0db8:0:0::7") == ("six.example.com",)


def test_name_that_anybody_could_write_counts_for_nothing(dns: FakeDNS) -> None:
    """Whoever has the reverse zone names a big sender's host; its own zone does not agree."""
    dns.add(REVERSE, "PTR", "mail.big.example.")
    assert _find(dns) == ()


@pytest.mark.parametrize("trouble", ["none", "fails", "silent"])
def test_address_without_an_answer_has_no_name(dns: FakeDNS, trouble: str) -> None:
    """No such name, a broken server, or none that answers in time."""
    if trouble == "fails":
        dns.fail(REVERSE)
    elif trouble == "silent":
        dns.silence(REVERSE)
    assert _find(dns, seconds=0.2 if trouble == "silent" else 30.0) == ()


class Counting:
    """Answers when it is told to, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.most = self.now = 0
        self.go = asyncio.Event()

    async def names(self, address: str) -> NamesAnswer:
        self.asked.append(address)
        self.now += 1
        self.most = max(self.most, self.now)
        await self.go.wait()
        self.now -= 1
        return NamesAnswer(Lookup.FOUND, ("m.example.com",))

    async def addresses(self, host: str, *, local_names: bool = False) -> AddressAnswer:
        return AddressAnswer(Lookup.FOUND, ("192.0.2.7",))


def test_answers_are_kept_for_a_while() -> None:
    """A sender of many mails is asked about once."""

    async def ask() -> list[str]:
        resolver, clock = Counting(), Clock()
        resolver.go.set()
        names = ConfirmedNames(resolver, clock)
        assert names.known("192.0.2.7") is None
        for _ in range(3):
            assert await names.find("192.0.2.7") == ("m.example.com",)
        assert names.known("192.0.2.7") == ("m.example.com",)
        clock.now += KEPT_SECONDS
        assert names.known("192.0.2.7") is None
        await names.find("192.0.2.7")
        return resolver.asked

    assert asyncio.run(ask()) == ["192.0.2.7"] * 2


def test_flood_of_clients_asks_a_bounded_number_of_questions() -> None:
    """So many at once, so many in line; the others go without a name at once."""

    async def flood() -> None:
        resolver = Counting()
        names = ConfirmedNames(resolver, Clock(), seconds=60.0)
        tasks = [asyncio.ensure_future(names.find(f"10.0.{n // 256}.{n % 256}")) for n in range(AT_ONCE + WAITING + 10)]
        assert await asyncio.gather(*tasks[-10:]) == [()] * 10
        assert (resolver.most, len(resolver.asked)) == (AT_ONCE, AT_ONCE)
        resolver.go.set()
        await asyncio.gather(*tasks)
        assert (resolver.most, len(resolver.asked)) == (AT_ONCE, AT_ONCE + WAITING)

    asyncio.run(flood())
