"""The ways of a delivery process, decided once."""

from __future__ import annotations

import pytest

from gatepost.delivery import routes
from gatepost.delivery.routes import Routes
from gatepost.policy.names import NameList
from gatepost.policy.routes import Endpoint, RoutePolicy, RouteRule, Way
from gatepost.policy.rules import Source

GATE = Endpoint("gate.test", 25)
RULE = RouteRule(Source("route[0]"), NameList([".example"]), GATE)


def test_destinations_of_a_busy_way_are_known() -> None:
    """Nothing more is leased for any of them; the mail exchangers' own destination is known without being asked for."""
    found = Routes(RoutePolicy((RULE,)))
    assert found.way("a.example") == found.way("b.example") == Way("route", endpoint=GATE)
    assert found.way("c.test") == Way("mx", "c.test")
    assert found.leading({Way("route", endpoint=GATE)}) == ["a.example", "b.example"]
    assert set(found.leading({Way("mx", "d.test"), Way("mx", "c.test")})) == {"c.test", "d.test"}
    assert found.leading(set()) == []


def test_all_mail_goes_one_way_to_a_smarthost_without_routes() -> None:
    """Then a busy line is all there is."""
    assert Routes(RoutePolicy((), GATE)).single
    assert not Routes(RoutePolicy((RULE,), GATE)).single and not Routes(RoutePolicy()).single


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders choose the destinations."""
    monkeypatch.setattr(routes, "_REMEMBERED", 3)
    found = Routes(RoutePolicy((RULE,)))
    for number in range(10):
        assert found.way(f"{number}.example").endpoint == GATE
    assert len(found.leading({Way("route", endpoint=GATE)})) <= 3
