"""The way of mail: the first route that matches, then the smarthost, then the mail exchangers."""

from __future__ import annotations

import pytest

from gatepost.policy.names import NameList
from gatepost.policy.routes import Endpoint, RoutePolicy, RouteRule, Way
from gatepost.policy.rules import Source

GATE = Endpoint("gate.test", 25)
REST = Endpoint("2001:db8::1", 587)


def _policy(*routes: tuple[list[str], Endpoint | None], smarthost: Endpoint | None = None) -> RoutePolicy:
    rules = tuple(RouteRule(Source(f"route[{at}]"), NameList(to), via) for at, (to, via) in enumerate(routes))
    return RoutePolicy(rules, smarthost)


@pytest.mark.parametrize(
    ("destination", "way", "rule"),
    [
        ("a.example", Way("route", endpoint=GATE), "route[0]"),
        ("x.a.example", Way("mx", "x.a.example", exempt=True), "route[1]"),
        ("b.example", Way("route", endpoint=REST), "route[2]"),
        ("[192.0.2.1]", Way("route", endpoint=REST), "route[2]"),
    ],
)
def test_first_route_that_matches_counts(destination: str, way: Way, rule: str) -> None:
    """A narrow exception stands before a wide route; an address literal is matched by ``*`` alone."""
    policy = _policy((["a.example"], GATE), ([".a.example"], None), (["*"], REST))
    decided = policy.decide(destination)
    assert (decided.way, str(decided.rule)) == (way, rule)
    assert [weighed.matches for weighed in decided.decision.weighed].index(True) == int(rule[6])


def test_what_no_route_matches_goes_to_the_smarthost_or_by_mx() -> None:
    """And says what decided it."""
    with_smarthost = _policy((["a.example"], None), smarthost=GATE)
    assert with_smarthost.decide("b.example").way == Way("smarthost", endpoint=GATE)
    assert with_smarthost.decide("b.example").rule.name == "delivery.smarthost"
    assert with_smarthost.decide("a.example").way == Way("mx", "a.example", exempt=True)
    plain = _policy((["a.example"], GATE)).decide("b.example")
    assert (plain.way, plain.rule.name) == (Way("mx", "b.example"), "default")


def test_route_to_the_smarthost_is_another_way() -> None:
    """The same host by a route is not the smarthost: nobody logs in there."""
    policy = _policy((["a.example"], GATE), smarthost=GATE)
    assert policy.decide("a.example").way != policy.decide("b.example").way


def test_way_has_a_name() -> None:
    """For the log: the destination, or the endpoint as it is written."""
    assert [Way("mx", "a.example").name, Way("route", endpoint=REST).name] == ["a.example", "[2001:db8::1]:587"]
