"""The rules before greylisting: a table of every condition and action, and which of several decides."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gatepost.greylist.facts import Certificate, Facts
from gatepost.greylist.mailboxes import MailboxList
from gatepost.greylist.rules import UNWANTED, Course, GreylistPolicy, GreylistRule
from gatepost.policy.addresses import AddressList
from gatepost.policy.names import NameList
from gatepost.policy.rules import Source

FACTS = Facts("192.0.2.7", "mx", "ann@example.com", "bob@x.test")
SKIP, DELAY, REFUSE = Course("skip", 300.0), Course("delay", 900.0), Course("refuse", 300.0, "Not from there")
PROVED = Certificate(("mail.example.com", "ann@example.com"), ("ab" * 32,))


def _rule(course: Course = SKIP, index: int = 0, **conditions: Any) -> GreylistRule:
    return GreylistRule(Source(f"greylist_rule[{index}]", f"g.toml:{index + 1}"), course, **conditions)


MET: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # what the rule says, facts that meet it, facts that do not
    ({"addresses": AddressList(["192.0.2.0/24"])}, {}, {"address": "198.51.100.1"}),
    ({"addresses": AddressList(["192.0.2.*", "!192.0.2.9"])}, {}, {"address": "192.0.2.9"}),
    ({"exempt": AddressList(["10.0.0.1"])}, {}, {"address": "10.0.0.1"}),
    ({"listeners": frozenset({"mx"})}, {}, {"listener": "inner"}),
    ({"client_names": NameList([".example.com"])}, {"names": ("m.example.com",)}, {"names": ("m.example.org",)}),
    ({"client_names": NameList([".example.com"])}, {"names": ("a.b", "m.example.com")}, {"names": ()}),
    ({"client_names": NameList(["*"])}, {"names": ("a.b",)}, {"names": None}),
    ({"countries": frozenset({"DE", "FR"})}, {"country": "DE"}, {"country": "NL"}),
    ({"countries": frozenset({"unknown"})}, {"country": "unknown"}, {"country": "DE"}),
    ({"countries": frozenset({"DE"})}, {"country": "DE"}, {"country": None}),
    ({"senders": MailboxList(["ann@example.com"])}, {"sender": "Ann@EXAMPLE.com"}, {"sender": "eve@example.com"}),
    ({"senders": MailboxList([".example.com"])}, {"sender": "x@m.example.com"}, {"sender": "x@example.com"}),
    ({"senders": MailboxList(["<>"])}, {"sender": ""}, {}),
    ({"senders": MailboxList(["*"])}, {}, {"sender": ""}),
    ({"recipients": MailboxList(["postmaster@"])}, {"recipient": "Postmaster@y.test"}, {}),
    ({"recipients": MailboxList(["x.test"])}, {}, {"recipient": "bob@y.test"}),
    ({"spf": frozenset({"pass"})}, {"spf": "pass"}, {"spf": "temperror"}),
    ({"spf": frozenset({"fail", "none"})}, {"spf": "none"}, {"spf": "pass"}),
    ({"spf": frozenset({"pass"})}, {"spf": "pass"}, {"spf": None}),
    ({"authenticated": True}, {"authenticated": True}, {}),
    ({"authenticated": False}, {}, {"authenticated": True}),
    ({"tls": True}, {"tls": True}, {}),
    ({"tls": False}, {}, {"tls": True}),
    ({"tls": True}, {"tls": True}, {"tls": None}),
    ({"certificate_names": NameList([".example.com"])}, {"certificate": PROVED}, {}),
    ({"certificate_names": NameList(["mail.example.com"])}, {"certificate": PROVED}, {"certificate": Certificate()}),
    ({"fingerprints": frozenset({"ab" * 32})}, {"certificate": PROVED}, {}),
    ({"fingerprints": frozenset({"cd" * 32})}, {"certificate": Certificate((), ("cd" * 32,))}, {"certificate": PROVED}),
]


@pytest.mark.parametrize(("says", "meets", "fails"), MET)
@pytest.mark.parametrize("course", [SKIP, DELAY, REFUSE])
def test_rule_decides_exactly_when_its_condition_is_met(
    says: dict[str, Any], meets: dict[str, Any], fails: dict[str, Any], course: Course
) -> None:
    """Every condition with every action: met it decides, unmet the default does."""
    policy = GreylistPolicy((_rule(course, **says),), 300.0)
    found = policy.decide(FACTS._replace(**meets))
    assert (found.course, found.rule) == (course, "greylist_rule[0] (g.toml:1)")
    other = policy.decide(FACTS._replace(**fails))
    assert other.source.name != "greylist_rule[0]"
    assert other.course.action == ("delay" if other.facts.sender else "skip")


def test_every_condition_of_a_rule_is_in_the_table() -> None:
    """A condition that is new is tested, too."""
    conditions = {field.name for field in dataclasses.fields(GreylistRule)} - {"source", "course"}
    assert {key for says, _, _ in MET for key in says} == conditions


def test_all_conditions_of_a_rule_must_be_met() -> None:
    """One that is not is enough."""
    rule = _rule(REFUSE, countries=frozenset({"DE"}), tls=False)
    policy = GreylistPolicy((rule,))
    assert policy.decide(FACTS._replace(country="DE")).course == REFUSE
    assert policy.decide(FACTS._replace(country="DE", tls=True)).course.action == "delay"


def test_first_rule_that_matches_decides_everything() -> None:
    """Nothing of a later one gets through, neither its delay nor its text."""
    policy = GreylistPolicy((_rule(tls=True), _rule(DELAY, 1), _rule(REFUSE, 2)), 300.0)
    found = policy.decide(FACTS)
    assert (found.course, found.source.name) == (DELAY, "greylist_rule[1]")
    assert found.decision.weighed[2].late == ("action", "delay", "text", "client")


def test_without_a_rule_strangers_are_put_off_and_reports_are_not() -> None:
    """The null sender is how other servers report, and how they try whether an address exists."""
    policy = GreylistPolicy((), 120.0, Source("greylist", "g.toml:3"))
    assert policy.decide(FACTS).course == Course("delay", 120.0, UNWANTED)
    assert policy.decide(FACTS).rule == "greylist (g.toml:3)"
    found = policy.decide(FACTS._replace(sender=""))
    assert (found.course.action, found.source.name) == ("skip", "null sender")


def test_rule_can_put_off_mail_without_a_sender() -> None:
    """Whoever wants that says so."""
    policy = GreylistPolicy((_rule(DELAY, senders=MailboxList(["<>"])),))
    assert policy.decide(FACTS._replace(sender="")).course == DELAY


def test_names_are_wanted_only_where_they_make_a_difference() -> None:
    """DNS is not asked when an earlier rule decides, or when the rule does not match anyway."""
    named = _rule(client_names=NameList([".example.com"]), senders=MailboxList(["example.com"]))
    policy = GreylistPolicy((_rule(addresses=AddressList(["10.0.0.1"])), named))
    assert policy.wanted(FACTS)
    assert not policy.wanted(FACTS._replace(address="10.0.0.1"))
    assert not policy.wanted(FACTS._replace(sender="x@example.org"))
    assert not policy.wanted(FACTS._replace(names=()))
    assert not GreylistPolicy((_rule(), named)).wanted(FACTS)
    assert not GreylistPolicy((_rule(),)).wanted(FACTS)


def test_spf_is_wanted_only_behind_the_name() -> None:
    """A rule by both asks for the name first, and a name that does not fit saves the other question."""
    both = _rule(client_names=NameList([".example.com"]), spf=frozenset({"pass"}), senders=MailboxList(["example.com"]))
    policy = GreylistPolicy((both,))
    assert policy.wanted(FACTS) == "client_names"
    assert policy.wanted(FACTS._replace(names=("m.example.com",))) == "spf"
    assert policy.wanted(FACTS._replace(names=())) == ""
    assert policy.wanted(FACTS._replace(names=("m.example.com",), spf="fail")) == ""
    assert policy.wanted(FACTS._replace(sender="x@example.org")) == ""
    assert (policy.by_spf, GreylistPolicy((_rule(),)).by_spf) == (True, False)


def test_domain_stands_for_the_client_where_its_rule_says_so() -> None:
    """The sender's, in lower case; for mail without a sender the EHLO name; without such a rule none."""
    policy = GreylistPolicy((_rule(Course("delay", 300.0, UNWANTED, by_domain=True), spf=frozenset({"pass"})),))
    vouched = FACTS._replace(sender="Ann@Big.Example", spf="pass", hello="Out1.Big.example")
    assert policy.decide(vouched).domain == "big.example"
    assert policy.decide(vouched._replace(sender="")).domain == "out1.big.example"
    assert policy.decide(vouched._replace(spf="softfail")).domain == ""


def test_unknown_fact_is_told_from_one_that_does_not_fit() -> None:
    """An explanation says what would have to be known."""
    rule = _rule(client_names=NameList(["a.b"]), countries=frozenset({"DE"}))
    unknown = GreylistPolicy((rule,)).decide(FACTS).decision.weighed[0].conditions
    assert [condition.known for condition in unknown] == [False, False]
    known = GreylistPolicy((rule,)).decide(FACTS._replace(country="NL", names=("c.d",))).decision.weighed[0]
    assert known.why == "country NL is not in countries; the client is c.d, which is not in client_names"


def test_longest_delay_is_that_of_any_rule() -> None:
    """What is remembered must outlive it."""
    assert GreylistPolicy((_rule(DELAY),), 300.0).longest == 900.0


def test_policy_knows_what_it_asks_for() -> None:
    """A process that needs neither countries nor DNS opens neither."""
    assert not GreylistPolicy((_rule(),)).by_country
    assert GreylistPolicy((_rule(countries=frozenset({"DE"})),)).by_country
    assert GreylistPolicy((_rule(client_names=NameList(["*"])),)).by_name
