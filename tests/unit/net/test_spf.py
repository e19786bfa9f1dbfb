"""SPF of strangers' mail against a name server on loopback: from question to result, in time and within bounds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from gatepost.net.resolve import DNSResolver, Lookup, RecordsAnswer
from gatepost.net.spf import AT_ONCE, KEPT_SECONDS, SPF, WAITING
from gatepost.net.spf_record import Identity, Kind, Vouched
from gatepost.testing.dns import FakeDNS

T = TypeVar("T")
ANN = Identity("192.0.2.7", "ann", "big.example", "out1.big.example")


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


def _within(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 100))


def _find(dns: FakeDNS, identity: Identity = ANN, *, seconds: float = 60.0) -> Vouched:
    async def find() -> Vouched:
        spf = SPF(DNSResolver([dns.nameserver]), Clock(), seconds=seconds)
        try:
            return await spf.find(identity)
        finally:
            spf.close()

    return _within(find())


def _spf_threads() -> int:
    return sum(thread.name.startswith("spf") for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass"),
        ("v=spf1 include:_spf.big.example -all", "pass"),
        ("v=spf1 redirect=_spf.big.example", "pass"),
        ("v=spf1 mx -all", "pass"),
        ("v=spf1 a:alias.big.example -all", "pass"),
        ("v=spf1 ptr -all", "pass"),
        ("v=spf1 exists:%{ir}.ok.%{d} -all", "pass"),
        ("v=spf1 -all", "fail"),
        ("v=spf1 ~all", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 moo", "permerror"),
        ("v=spf1 a:broken.example +all", "temperror"),
        ("hello", "none"),
    ],
)
def test_record_in_dns_gives_each_result(dns: FakeDNS, record: str, result: str) -> None:
    """By the resolver of gatepost, aliases and all."""
    dns.add("big.example", "TXT", '"some other text"', f'"{record}"')
    dns.add("_spf.big.example", "TXT", '"v=spf1 ip4:192.0.2.7 -all"')
    dns.add("big.example", "MX", "10 nowhere.big.example.", "20 out1.big.example.")
    dns.add("out1.big.example", "A", "192.0.2.7")
    dns.add("alias.big.example", "CNAME", "out1.big.example.")
    dns.add("7.2.0.192.in-addr.arpa", "PTR", "out1.big.example.")
    dns.add("7.2.0.192.ok.big.example", "A", "127.0.0.2")
    dns.fail("broken.example")
    assert _find(dns).result == result


def test_ipv6_client_is_vouched_for(dns: FakeDNS) -> None:
    """By prefix and by a host's address."""
    six = ANN._replace(address="2001:db8::7")
    dns.add("big.example", "TXT", '"v=spf1 ip6:2001:db8::/64 -all"')
    assert _find(dns, six).result == "pass"
    dns.add("other.example", "TXT", '"v=spf1 a -all"')
    dns.add("other.example", "AAAA", "2001:db8::7")
    assert _find(dns, six._replace(domain="other.example")).result == "pass"


def test_record_in_many_strings_is_one_text(dns: FakeDNS) -> None:
    """RFC 7208 §3.3: put together without spaces; such an answer comes by TCP."""
    terms = " ".join(f"ip4:10.0.0.{n}" for n in range(200))
    text = f"v=spf1 {terms} ip4:192.0.2.7 -all"
    dns.add("big.example", "TXT", " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250)))
    assert len(text) > 2000
    assert _find(dns).result == "pass"


def test_name_that_dns_cannot_have_is_no_name(dns: FakeDNS) -> None:
    """A backslash or a space of a sender means nothing; an empty label ends it."""
    dns.add("big.example", "TXT", '"v=spf1 exists:%{l}.%{d} ?all"')
    for local in ("a\\.b", "\\256", "a b", "a..b", "a@b"):
        assert _find(dns, ANN._replace(local=local)).result == "neutral"
    asked = {name for name, _ in dns.questions}
    assert "a\\\\.b.big.example" in asked
    assert not any(name.startswith("a..b") for name in asked)


def test_server_that_never_answers_costs_its_own_mail_the_time_and_no_more(dns: FakeDNS) -> None:
    """A temporary error when the time is over; the thread ends, and nothing is left on the loop."""
    dns.silence("big.example")

    async def wait() -> None:
        spf = SPF(DNSResolver([dns.nameserver]), Clock(), seconds=0.3)
        assert await spf.find(ANN) == Vouched("temperror", "no answer in time")
        assert spf.known(ANN) is None
        assert len(asyncio.all_tasks()) <= 2  # this one and its guard
        spf.close()
        assert _spf_threads() == 0

    _within(wait())


def test_loop_of_records_ends(dns: FakeDNS) -> None:
    """Within ten look-ups, of which the resolver asks each once."""
    dns.add("big.example", "TXT", '"v=spf1 include:o.example -all"')
    dns.add("o.example", "TXT", '"v=spf1 redirect=big.example"')
    assert _find(dns).result == "permerror"
    assert len(dns.questions) == 2


class Slow:
    """Answers when it is told to, with a record that vouches; counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.record = b"v=spf1 ip4:192.0.2.0/24 -all"
        self.go = asyncio.Event()

    async def records(self, name: str, kind: Kind) -> RecordsAnswer:
        self.asked.append(name)
        await self.go.wait()
        return RecordsAnswer(Lookup.FOUND, (self.record,))


def test_result_is_kept_for_a_while_for_its_address_and_domain() -> None:
    """A big sender of many mails is asked about once for each address; its senders share what is said."""

    async def ask() -> list[str]:
        resolver, clock = Slow(), Clock()
        resolver.go.set()
        spf = SPF(resolver, clock)
        for local in "abc":
            assert (await spf.find(ANN._replace(local=local))).result == "pass"
        assert spf.known(ANN._replace(domain="BIG.example")) is not None
        assert spf.known(ANN._replace(address="192.0.2.8")) is None
        clock.now += KEPT_SECONDS
        assert spf.known(ANN) is None
        await spf.find(ANN)
        spf.close()
        return resolver.asked

    assert _within(ask()) == ["big.example"] * 2


def test_result_that_goes_by_the_sender_is_kept_for_him_alone() -> None:
    """Another sender of the domain has an answer of his own."""

    async def ask() -> None:
        resolver = Slow()
        resolver.go.set()
        resolver.record = b"v=spf1 ip4:192.0.2.7 ~exists:%{l}.big.example"
        spf = SPF(resolver, Clock())
        await spf.find(ANN)
        assert spf.known(ANN) is not None
        assert spf.known(ANN._replace(local="bob")) is None
        spf.close()

    _within(ask())


def test_flood_of_senders_asks_a_bounded_number_of_questions() -> None:
    """So many at once, so many in line; further ones are not vouched for, at once."""

    async def flood() -> None:
        resolver = Slow()
        spf = SPF(resolver, Clock(), seconds=90.0)
        identities = [ANN._replace(domain=f"d{n}.example") for n in range(AT_ONCE + WAITING + 10)]
        tasks = [asyncio.ensure_future(spf.find(each)) for each in identities]
        last = await asyncio.gather(*tasks[-10:])
        assert {each.result for each in last} == {"temperror"}
        while len(resolver.asked) < AT_ONCE:
            await asyncio.sleep(0.005)
        assert _spf_threads() <= AT_ONCE
        resolver.go.set()
        found = await asyncio.gather(*tasks[:-10])
        assert {each.result for each in found} == {"pass"}
        spf.close()

    _within(flood())


def test_end_while_dns_is_asked_ends_the_threads() -> None:
    """A process that stops does not wait for a stranger's name server."""

    async def stop() -> None:
        spf = SPF(Slow(), Clock())
        tasks = [asyncio.ensure_future(spf.find(ANN._replace(domain=f"d{n}.example"))) for n in range(AT_ONCE + 5)]
        while _spf_threads() < AT_ONCE:
            await asyncio.sleep(0.005)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        spf.close()
        assert _spf_threads() == 0

    _within(stop())


def test_what_the_library_breaks_on_vouches_for_nobody(monkeypatch: pytest.MonkeyPatch, dns: FakeDNS) -> None:
    """Whatever it raises: the mail that waits has its answer."""

    def breaks(identity: Identity, ask: object) -> Vouched:
        raise RecursionError("too deep")

    monkeypatch.setattr("gatepost.net.spf.check", breaks)
    assert _find(dns) == Vouched("permerror", "it cannot be evaluated: RecursionError")


def test_thread_of_a_loop_that_is_gone_ends(dns: FakeDNS) -> None:
    """Whoever stops without a word leaves no thread behind that would keep the process."""
    spf: list[SPF] = []

    async def begin() -> None:
        spf.append(SPF(Slow(), Clock()))
        task = asyncio.ensure_future(spf[0].find(ANN))
        while not _spf_threads():
            await asyncio.sleep(0.005)
        task.cancel()

    _within(begin())
    spf[0].close()
    assert _spf_threads() == 0
