"""How servers are approached, as decisions."""

from __future__ import annotations

from typing import Any

import pytest

from gatepost.policy.addresses import AddressList
from gatepost.policy.levels import Level
from gatepost.policy.names import NameList
from gatepost.policy.outbound import ClientHandshake, Facts, OutboundPolicy, OutboundRule
from gatepost.policy.rules import Source


def rule(number: int, settings: dict[str, object], **conditions: Any) -> OutboundRule:
    """A rule, its lists as words."""
    kinds: dict[str, Any] = {
        "to": NameList,
        "mx": NameList,
        "server": AddressList,
        "exempt_addresses": AddressList,
        "exempt_names": NameList,
    }
    lists = {key: kinds[key](words.split()) for key, words in conditions.items()}
    return OutboundRule(Source(f"outbound[{number}]", f"g.toml:{number}"), settings, **lists)


POLICY = OutboundPolicy(
    (
        rule(0, {"level": "verify", "ca": "/ca.pem"}, to="example.com .example.com"),
        rule(1, {"level": "encrypt"}, server="10.0.0.*", exempt_addresses="10.0.0.9", exempt_names="friend.example"),
        rule(2, {"level": "fingerprint", "fingerprints": ("aa",), "port": 2525}, mx="mx.pinned.example"),
        rule(3, {"level": "none"}, mx=".clear.example"),
    )
)


@pytest.mark.parametrize(
    ("facts", "level", "which"),
    [
        (Facts("example.com", "mx.a.example", "192.0.2.1"), "verify", "outbound[0] (g.toml:0)"),
        (Facts("sub.example.com", "mx.a.example", "10.0.0.1"), "verify", "outbound[0] (g.toml:0)"),
        (Facts("a.example", "mx.a.example", "10.0.0.1"), "encrypt", "outbound[1] (g.toml:1)"),
        (Facts("a.example", "mx.a.example", "10.0.0.9"), "may", "default"),
        (Facts("friend.example", "mx.a.example", "10.0.0.1"), "may", "default"),
        (Facts("a.example", "friend.example", "10.0.0.1"), "may", "default"),
        (Facts("a.example", "mx.pinned.example", "192.0.2.1"), "fingerprint", "outbound[2] (g.toml:2)"),
        (Facts("a.example", "mx.clear.example", "192.0.2.1"), "none", "outbound[3] (g.toml:3)"),
        (Facts("a.example"), "may", "default"),
    ],
)
def test_policy_decides_by_destination_host_and_address(facts: Facts, level: Level, which: str) -> None:
    """The first rule that matches and has a level; what is excepted is as if the rule were not there."""
    decision = POLICY.decide(facts)
    assert (decision.level, str(decision.source)) == (level, which)
    assert decision.rule == which


def test_exceptions_of_one_kind_say_nothing_of_the_other() -> None:
    """A rule with excepted addresses alone, and one with excepted names alone; what is not known is not excepted."""
    addresses = OutboundPolicy((rule(0, {"level": "encrypt"}, exempt_addresses="10.0.0.9"),))
    names = OutboundPolicy((rule(0, {"level": "encrypt"}, exempt_names="friend.example"),))
    for policy, facts, level in (
        (addresses, Facts("friend.example", "mx.a.example", "10.0.0.1"), "encrypt"),
        (addresses, Facts("a.example", "mx.a.example", "10.0.0.9"), "may"),
        (addresses, Facts("a.example"), "encrypt"),
        (names, Facts("a.example", "mx.a.example", "10.0.0.9"), "encrypt"),
        (names, Facts("friend.example", "mx.a.example", "10.0.0.9"), "may"),
        (names, Facts("a.example"), "encrypt"),
    ):
        assert policy.decide(facts).level == level


def test_settings_come_with_the_level() -> None:
    """CA, pins and port belong to the decision; without a rule they are those of the configuration."""
    decision = POLICY.decide(Facts("a.example", "mx.pinned.example", "192.0.2.1"))
    assert (decision.fingerprints, decision.port) == (("aa",), 2525)
    assert POLICY.decide(Facts("example.com", "mx.a.example")).handshake == ClientHandshake(ca="/ca.pem")
    plain = POLICY.decide(Facts("b.example"))
    assert (plain.port, plain.implicit, plain.fingerprints, plain.handshake) == (None, False, (), ClientHandshake())


@pytest.mark.parametrize(
    ("settings", "facts", "names"),
    [
        ({"level": "verify"}, Facts("example.com", "mx.a.example"), ("mx.a.example",)),
        ({"level": "secure"}, Facts("example.com", "mx.a.example"), ("example.com", ".example.com")),
        ({"level": "secure", "names": ("x.example",)}, Facts("example.com", "mx.a.example"), ("x.example",)),
        ({"level": "verify", "names": (".x.example",)}, Facts("example.com", "mx.a.example"), (".x.example",)),
        ({"level": "secure"}, Facts("[192.0.2.1]", "192.0.2.1", "192.0.2.1"), ("192.0.2.1",)),
        ({"level": "secure"}, Facts("[192.0.2.1]", "", "192.0.2.1"), ("192.0.2.1",)),
        ({"level": "verify"}, Facts("example.com"), ()),
        ({"level": "secure"}, Facts("example.com"), ("example.com", ".example.com")),
        ({"level": "encrypt"}, Facts("example.com", "mx.a.example"), ()),
        ({"level": "encrypt", "names": ("x.example",)}, Facts("example.com", "mx.a.example"), ()),
    ],
)
def test_names_are_those_of_the_level(settings: dict[str, object], facts: Facts, names: tuple[str, ...]) -> None:
    """verify goes by the server's name, which DNS gave; secure by the destination's, which the address has."""
    assert OutboundPolicy((rule(0, settings),)).decide(facts).names == names


def test_login_and_implicit_tls_are_never_in_the_clear() -> None:
    """The level is raised, and the decision says why."""
    login = OutboundPolicy((), "none").decide(Facts("relay.example", login=True))
    assert (login.level, login.note) == ("encrypt", "none was raised to encrypt: a password never travels in the clear")
    implicit = OutboundPolicy((rule(0, {"implicit": True}),)).decide(Facts("a.example"))
    assert (implicit.level, implicit.port, implicit.implicit) == ("encrypt", 465, True)
    assert "first octet" in implicit.note
    kept = OutboundPolicy((rule(0, {"implicit": True, "port": 4465, "level": "verify"}),)).decide(Facts("a.example"))
    assert (kept.level, kept.port, kept.note) == ("verify", 4465, "")


@pytest.mark.parametrize(
    ("smarthost", "settings", "facts", "implicit", "port"),
    [
        (True, {}, Facts("relay.example"), True, None),
        (True, {"implicit": True}, Facts("relay.example"), True, None),
        (True, {"implicit": False}, Facts("relay.example"), False, None),
        (True, {}, Facts("a.example", routed=True), False, None),
        (True, {"implicit": True}, Facts("a.example", routed=True), True, 465),
        (True, {"implicit": True}, Facts("a.example", routed=True, named=True), True, None),
        (False, {"implicit": True}, Facts("a.example"), True, 465),
        (False, {"implicit": True}, Facts("a.example", routed=True), True, 465),
        (False, {"implicit": True}, Facts("a.example", named=True, routed=True), True, None),
        (False, {}, Facts("a.example"), False, None),
    ],
)
def test_implicit_tls_has_the_port_that_was_written(
    smarthost: bool, settings: dict[str, object], facts: Facts, implicit: bool, port: int | None
) -> None:
    """The smarthost's and a named route's stand with their names; other servers have that of RFC 8314 §3.3. What is
    set for the smarthost is not for the servers of a route."""
    decision = OutboundPolicy((rule(0, settings),), implicit=smarthost).decide(facts)
    assert (decision.implicit, decision.port) == (implicit, port)


def test_unknown_address_is_in_no_list() -> None:
    """Not even in that of every address: the rule comes close, and will match once the address is known."""
    everywhere = OutboundPolicy((rule(0, {"level": "encrypt"}, server="*"),))
    assert everywhere.decide(Facts("a.example", "mx.a.example")).level == "may"
    assert everywhere.decide(Facts("a.example", "mx.a.example")).decision.weighed[0].close
    assert everywhere.decide(Facts("a.example", "mx.a.example", "192.0.2.1")).level == "encrypt"
