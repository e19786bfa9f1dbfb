"""Explanation and decision never differ, and both are what a reader of the rules would say."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatepost.policy.addresses import AddressList
from gatepost.policy.explain import explain_inbound, explain_outbound, explain_relay
from gatepost.policy.inbound import Ground, InboundPolicy, InboundRule
from gatepost.policy.levels import DEMANDS, Level, raised
from gatepost.policy.names import NameList
from gatepost.policy.outbound import Facts, OutboundPolicy, OutboundRule
from gatepost.policy.relay import RelayPolicy, RelayRule, Shown
from gatepost.policy.routes import Endpoint, RoutePolicy, RouteRule
from gatepost.policy.rules import Source

ADDRESSES = st.integers(0, 7).map(lambda number: f"10.0.0.{number}")
NETWORKS = st.tuples(st.integers(0, 7), st.integers(29, 32)).map(
    lambda pair: str(ipaddress.ip_network(f"10.0.0.{pair[0]}/{pair[1]}", strict=False))
)
LISTS = st.lists(NETWORKS, min_size=1, max_size=3)
LISTENERS = st.sampled_from(["mx", "submission", "pop3"])
VERSIONS = st.sampled_from(["TLSv1.2", "TLSv1.3"])
NAMES = st.sampled_from(["a.example", "b.example", "mx.a.example", "x.b.example"])
PATTERNS = st.lists(
    st.sampled_from(["a.example", ".a.example", "b.example", ".b.example", "*"]), min_size=1, max_size=2
)

INBOUND = st.fixed_dictionaries(
    {},
    optional={
        "from": LISTS, "listeners": st.lists(LISTENERS, min_size=1, max_size=2), "except": LISTS,
        "starttls": st.sampled_from(["offer", "require", "deny"]), "minimum": VERSIONS, "maximum": VERSIONS,
        "resumption": st.booleans(), "client_certificate": st.sampled_from(["none", "ask", "require"]),
    },
)  # fmt: skip
MAILBOXES = st.lists(st.sampled_from(["a@x.example", "b@x.example"]), min_size=1, max_size=2, unique=True)
PRINTS = st.lists(st.sampled_from(["aa", "bb", "cc"]), min_size=1, max_size=2, unique=True)
RELAY = st.fixed_dictionaries(
    {},
    optional={
        "from": LISTS, "listeners": st.lists(LISTENERS, min_size=1, max_size=2), "certificate_email": MAILBOXES,
        "certificate_fingerprint": PRINTS,
    },
)  # fmt: skip
SHOWN = st.none() | st.builds(
    Shown, st.sampled_from(["none", "untrusted", "trusted", "pinned"]), st.just("a reason"),
    st.lists(st.sampled_from(["a@x.example", "b@x.example"]), max_size=2).map(tuple), PRINTS.map(tuple),
)  # fmt: skip
OUTBOUND = st.fixed_dictionaries(
    {},
    optional={
        "to": PATTERNS, "mx": PATTERNS, "server": LISTS, "except": LISTS, "level": st.sampled_from(sorted(DEMANDS)),
        "port": st.integers(1, 9), "implicit": st.booleans(),
    },
)  # fmt: skip


def _holds(entries: list[str], address: str) -> bool:
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(entry) for entry in entries)


def _named(entries: list[str], name: str) -> bool:
    return any(entry == "*" or entry == name or (entry[0] == "." and name.endswith(entry)) for entry in entries)


def _first(rules: list[dict[str, Any]], matching: list[bool], key: str) -> int | None:
    """A reader's answer: the first rule that matches and sets the key."""
    return next((at for at, rule in enumerate(rules) if matching[at] and key in rule), None)


@given(st.lists(INBOUND, max_size=5), ADDRESSES, LISTENERS, st.booleans())
def test_inbound_explanation_is_the_decision(
    tables: list[dict[str, Any]], address: str, listener: str, implicit: bool
) -> None:
    """Each key has the value of the rule that the explanation names, and a reader finds the same rule."""
    conditions = ("from", "listeners", "except")
    policy = InboundPolicy(
        tuple(
            InboundRule(
                Source(f"inbound[{at}]"), {key: value for key, value in table.items() if key not in conditions},
                AddressList(table["from"]) if "from" in table else None,
                frozenset(table["listeners"]) if "listeners" in table else None,
                AddressList(table["except"]) if "except" in table else None,
            )
            for at, table in enumerate(tables)
        )
    )  # fmt: skip
    ground = Ground(listener, "offer", implicit, Source("default"))
    decision = policy.decide(address, ground)
    plain: Any = explain_inbound(decision, protocol="smtp").plain()
    matching = [
        _holds(table.get("from", [address]), address)
        and listener in table.get("listeners", [listener])
        and not _holds(table.get("except", []), address)
        for table in tables
    ]
    for key in ("starttls", "minimum", "maximum", "resumption", "client_certificate"):
        first = _first(tables, matching, key)
        said = plain["settings"][key]
        assert said["rule"] == (f"inbound[{first}]" if first is not None else said["rule"])
        decided = decision.starttls if key == "starttls" else getattr(decision.handshake, key)
        assert decided == said["value"]
        if first is None:
            assert not said["rule"].startswith("inbound")
        else:
            assert decided == tables[first][key]
    assert [rule["matches"] for rule in plain["rules"]] == matching
    assert plain["decision"].startswith(decision.wanted)
    assert decision.handshake in (policy.handshakes([ground]) or {policy.handshake: decision})


@given(st.lists(OUTBOUND, max_size=5), NAMES, NAMES, ADDRESSES, st.booleans())
def test_outbound_explanation_is_the_decision(
    tables: list[dict[str, Any]], destination: str, host: str, address: str, login: bool
) -> None:
    """As for clients; and never is a level explained that is not the one that is acted on."""
    conditions = ("to", "mx", "server", "except")
    policy = OutboundPolicy(
        tuple(
            OutboundRule(
                Source(f"outbound[{at}]"), {key: value for key, value in table.items() if key not in conditions},
                NameList(table["to"]) if "to" in table else None,
                NameList(table["mx"]) if "mx" in table else None,
                AddressList(table["server"]) if "server" in table else None,
                AddressList(table["except"]) if "except" in table else None,
            )
            for at, table in enumerate(tables)
        )
    )  # fmt: skip
    decision = policy.decide(Facts(destination, host, address, login))
    plain: Any = explain_outbound(decision).plain()
    matching = [
        _named(table.get("to", ["*"]), destination)
        and _named(table.get("mx", ["*"]), host)
        and _holds(table.get("server", [address]), address)
        and not _holds(table.get("except", []), address)
        for table in tables
    ]
    first = _first(tables, matching, "level")
    wanted: Level = "may" if first is None else tables[first]["level"]
    implicit = _first(tables, matching, "implicit")
    assert decision.implicit == (implicit is not None and tables[implicit]["implicit"])
    assert decision.level == raised(wanted, login=login, implicit=decision.implicit)
    assert plain["decision"].startswith(f"{decision.level}:")
    assert plain["settings"]["level"]["rule"] == ("default" if first is None else f"outbound[{first}]")
    assert str(decision.source) == plain["settings"]["level"]["rule"]
    assert [rule["matches"] for rule in plain["rules"]] == matching


def _certified(table: dict[str, Any], shown: Shown | None) -> bool:
    """A reader's answer: does the certificate meet what the rule says of it?"""
    status = "none" if shown is None else shown.status
    mailboxes = set() if shown is None or status != "trusted" else set(shown.mailboxes)
    prints = set() if shown is None or status not in ("trusted", "pinned") else set(shown.fingerprints)
    return bool(
        ("certificate_email" not in table or mailboxes & set(table["certificate_email"]))
        and ("certificate_fingerprint" not in table or prints & set(table["certificate_fingerprint"]))
    )


@given(st.lists(RELAY, max_size=5), ADDRESSES, LISTENERS, SHOWN)
def test_relay_explanation_is_the_decision(
    tables: list[dict[str, Any]], address: str, listener: str, shown: Shown | None
) -> None:
    """Who may relay, by which rule, is what a reader finds; and who is let in by a certificate showed one."""
    policy = RelayPolicy(
        tuple(
            RelayRule(
                Source(f"relay[{at}]"),
                AddressList(table["from"]) if "from" in table else None,
                frozenset(table["listeners"]) if "listeners" in table else None,
                frozenset(table["certificate_email"]) if "certificate_email" in table else None,
                frozenset(table["certificate_fingerprint"]) if "certificate_fingerprint" in table else None,
            )
            for at, table in enumerate(tables)
        )
    )
    decision = policy.decide(address, listener, shown)
    plain: Any = explain_relay(decision, certificate="client.pem").plain()
    matching = [
        bool(table)
        and _holds(table.get("from", [address]), address)
        and listener in table.get("listeners", [listener])
        and _certified(table, shown)
        for table in tables
    ]
    first = next((at for at, matches in enumerate(matching) if matches), None)
    assert decision.allowed == (first is not None)
    assert decision.rule == ("" if first is None else f"relay[{first}]")
    assert plain["decision"].startswith("may relay" if decision.allowed else "may not relay")
    assert plain["settings"]["relay"]["rule"] == ("default" if first is None else f"relay[{first}]")
    assert [rule["matches"] for rule in plain["rules"]] == matching
    assert policy.certified == any("certificate_email" in each or "certificate_fingerprint" in each for each in tables)


ROUTES = st.lists(st.tuples(PATTERNS, st.sampled_from([None, Endpoint("gate.example", 25)])), max_size=5)


@given(ROUTES, NAMES, st.none() | st.just(Endpoint("smart.example", 587)))
def test_way_is_that_of_the_first_route_that_matches(
    routes: list[tuple[list[str], Endpoint | None]], destination: str, smarthost: Endpoint | None
) -> None:
    """And the rule that is named is the one that a reader finds; the smarthost gets what no route has."""
    rules = tuple(RouteRule(Source(f"route[{at}]"), NameList(to), via) for at, (to, via) in enumerate(routes))
    decided = RoutePolicy(rules, smarthost).decide(destination)
    first = next((at for at, (to, _) in enumerate(routes) if _named(to, destination)), None)
    if first is None:
        assert decided.way.endpoint == smarthost and not decided.way.exempt
        assert decided.rule.name == ("default" if smarthost is None else "delivery.smarthost")
    else:
        assert decided.rule.name == f"route[{first}]" and decided.way.endpoint == routes[first][1]
        assert decided.way.kind == ("mx" if routes[first][1] is None else "route")
    assert [weighed.source.name for weighed in decided.decision.weighed if weighed.decides] == (
        [] if first is None else [f"route[{first}]"]
    )
