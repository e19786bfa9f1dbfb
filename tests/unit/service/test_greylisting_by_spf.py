"""Rules by SPF in one process: whom a domain vouches for, and that an error stops no mail."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.unit.service.greylisting_rig import ANN, Rig, said

from gatepost.service.greylisting import Judged, identity_of
from gatepost.testing.dns import FakeDNS

BIG = ANN._replace(sender="news@big.example")
ELSEWHERE = BIG._replace(address="198.51.100.9")


def _big(dns: FakeDNS, *, record: str = "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all") -> None:
    dns.add("big.example", "TXT", f'"{record}"')


def test_domain_that_vouches_is_let_in_from_whichever_address_it_comes_again(rig: Rig) -> None:
    """A big sender retries from another network; the domain stands for all its addresses, and for no other."""
    with FakeDNS() as dns:
        _big(dns)
        greylisting = rig.make(rules=[{"spf": "pass", "action": "delay"}], dns=dns)
        assert said(rig.ask(greylisting, BIG)).startswith("451 4.7.1 Greylisted")
        rig.clock.now += 300
        assert rig.ask(greylisting, ELSEWHERE._replace(recipient="eve@x.test")).reply is not None
        assert rig.ask(greylisting, ELSEWHERE).reply is None
        assert rig.ask(greylisting, BIG._replace(address="203.0.113.5")).reply is not None
        assert "network=spf:big.example" in rig.events()[0]
        assert rig.events()[-1].count("network=203.0.113.0/24") == 1


def test_domain_that_came_again_often_is_no_stranger(rig: Rig) -> None:
    """`auto_allow` counts for the domain as it does for a network; who only uses its name stays a stranger."""
    with FakeDNS() as dns:
        _big(dns)
        greylisting = rig.make(rules=[{"spf": "pass", "action": "delay"}], dns=dns, auto_allow=3)
        senders = [BIG._replace(sender=f"s{number}@big.example") for number in range(3)]
        assert all(rig.ask(greylisting, each).reply is not None for each in senders)
        rig.clock.now += 300
        assert all(rig.ask(greylisting, each).reply is None for each in senders)
        assert rig.ask(greylisting, ELSEWHERE).reply is None
        assert rig.ask(greylisting, BIG._replace(address="203.0.113.5")).reply is not None


def test_rule_by_spf_spares_whom_it_names(rig: Rig) -> None:
    """The sender's domain must be the one that is meant, and vouch for the address."""
    with FakeDNS() as dns:
        _big(dns)
        dns.add("spammer.example", "TXT", '"v=spf1 +all"')
        greylisting = rig.make(rules=[{"senders": ["big.example"], "spf": "pass", "action": "skip"}], dns=dns)
        assert rig.ask(greylisting, BIG).reply is None
        assert rig.ask(greylisting, BIG._replace(address="203.0.113.5")).reply is not None
        assert rig.ask(greylisting, ANN._replace(sender="x@spammer.example")).reply is not None
        assert all(name != "spammer.example" for name, _ in dns.questions)


def test_without_a_sender_the_name_in_ehlo_must_vouch(rig: Rig) -> None:
    """RFC 7208 §2.4: a claim, which its domain bears out or not."""
    with FakeDNS() as dns:
        dns.add("out1.big.example", "TXT", '"v=spf1 ip4:192.0.2.7 -all"')
        rules = [{"senders": ["<>"], "spf": "pass", "action": "skip"}, {"senders": ["<>"], "action": "delay"}]
        greylisting = rig.make(rules=rules, dns=dns)
        null = ANN._replace(sender="", hello="out1.big.example")
        assert rig.ask(greylisting, null).reply is None
        for hello in ("", "localhost", "[192.0.2.7]", "other.example"):
            assert rig.ask(greylisting, null._replace(hello=hello)).reply is not None
        assert rig.ask(greylisting, null._replace(address="203.0.113.5")).reply is not None


@pytest.mark.parametrize("trouble", ["record", "fails", "loop"])
def test_error_in_a_record_stops_no_mail_and_matches_no_rule(rig: Rig, trouble: str) -> None:
    """Neither a temporary nor a permanent one: the mail is a stranger's, as without the rule."""
    with FakeDNS() as dns:
        _big(dns, record={"record": "v=spf1 moo", "fails": "", "loop": "v=spf1 redirect=big.example"}[trouble])
        if trouble == "fails":
            dns.fail("big.example")
        every = ["pass", "fail", "softfail", "neutral", "none"]
        greylisting = rig.make(rules=[{"spf": every, "senders": ["*"], "action": "refuse"}], dns=dns)
        assert said(rig.ask(greylisting, BIG)).startswith("451 4.7.1 Greylisted")
        rig.clock.now += 300
        assert rig.ask(greylisting, BIG).reply is None


def test_name_and_spf_are_asked_for_one_after_the_other(rig: Rig) -> None:
    """Each once, where it makes a difference; then both are known without waiting."""
    with FakeDNS() as dns:
        _big(dns)
        dns.add("7.2.0.192.in-addr.arpa", "PTR", "out3.big.example.")
        dns.add("out3.big.example", "A", "192.0.2.7")
        rules = [{"client_names": [".big.example"], "spf": "pass", "action": "skip"}]
        greylisting = rig.make(rules=rules, dns=dns)
        assert rig.ask(greylisting, ELSEWHERE).reply is not None
        assert [kind for _, kind in dns.questions] == ["PTR"]
        assert rig.ask(greylisting, BIG).reply is None
        assert greylisting.at_recipient(BIG, "c1", lambda judged: None) is not None


def test_end_while_spf_is_asked_leaves_nothing_behind(rig: Rig) -> None:
    """The question is given up, the thread ends, and nobody is answered any more."""
    with FakeDNS() as dns:
        dns.silence("big.example")
        greylisting = rig.make(rules=[{"spf": "pass", "action": "delay"}], dns=dns)
        later: list[Judged] = []
        assert greylisting.at_recipient(BIG, "c1", later.append) is None
        while not dns.questions:
            rig.loop.run_until_complete(asyncio.sleep(0.01))
        greylisting.close()
        rig.loop.run_until_complete(asyncio.sleep(0))
        assert asyncio.all_tasks(rig.loop) == set()
        assert not any(thread.name.startswith("spf") for thread in threading.enumerate())
        assert later == []


def test_sender_that_is_no_address_is_asked_as_it_stands() -> None:
    """The domain is what stands behind the last at sign, as A-labels; a local part keeps its own at signs."""
    assert identity_of(BIG._replace(hello="h.example")) == ("192.0.2.7", "news", "big.example", "h.example")
    assert identity_of(ANN._replace(sender="ann@bücher.example")).domain == "xn--bcher-kva.example"
    assert identity_of(ANN._replace(sender='"a@b"@big.example')).domain == "big.example"
    assert identity_of(ANN._replace(sender="a b@big.example")).domain == "big.example"
    assert identity_of(ANN._replace(sender="", hello="h.example"))[1:3] == ("postmaster", "h.example")
