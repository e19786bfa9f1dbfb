"""What clients are offered, as decisions."""

from __future__ import annotations

from gatepost.policy.addresses import AddressList
from gatepost.policy.inbound import Ground, Handshake, InboundPolicy, InboundRule
from gatepost.policy.rules import Source

MX = Ground("mx", "offer", False, Source("default"))
POP3 = Ground("pop3", "offer", False, Source("default"))
POP3S = Ground("pop3s", "offer", True, Source("default"))


def rule(
    number: int, settings: dict[str, object], addresses: str = "", listeners: str = "", exempt: str = ""
) -> InboundRule:
    """A rule, its lists as words."""
    return InboundRule(
        Source(f"inbound[{number}]", f"g.toml:{number}"),
        settings,
        AddressList(addresses.split()) if addresses else None,
        frozenset(listeners.split()) if listeners else None,
        AddressList(exempt.split()) if exempt else None,
    )


POLICY = InboundPolicy(
    (
        rule(0, {"starttls": "deny"}, "192.0.2.7"),
        rule(1, {"starttls": "require", "minimum": "TLSv1.3"}, "127.0.0.1 10.0.0.*", "pop3 pop3s", "10.0.0.9"),
        rule(2, {"maximum": "TLSv1.2", "resumption": False}, "10.0.1.0/24 2001:db8::/32"),
    )
)


def test_policy_decides_by_address_and_listener() -> None:
    """For every protocol alike: POP3 asks the same question as SMTP."""
    assert POLICY.decide("192.0.2.7", MX).wanted == "deny"
    assert POLICY.decide("10.0.0.5", POP3).wanted == "require"
    assert POLICY.decide("10.0.0.5", MX).wanted == "offer"
    assert POLICY.decide("10.0.0.9", POP3).wanted == "offer"
    assert POLICY.decide("::ffff:10.0.0.5", POP3).wanted == "require"


def test_policy_says_how_tls_is_spoken() -> None:
    """Key by key, from the rules and from what holds otherwise."""
    assert POLICY.decide("10.0.0.5", POP3).handshake == Handshake("TLSv1.3")
    assert POLICY.decide("2001:db8::1", MX).handshake == Handshake(maximum="TLSv1.2", resumption=False)
    assert POLICY.decide("198.51.100.1", MX).handshake == Handshake()


def test_denied_tls_refuses_where_there_is_nothing_else() -> None:
    """On a listener that begins with TLS; elsewhere the session is in the clear."""
    assert POLICY.decide("192.0.2.7", POP3S).refused
    assert POLICY.decide("192.0.2.7", POP3S).wanted == "deny"
    assert not POLICY.decide("192.0.2.7", POP3).refused
    assert POLICY.decide("198.51.100.1", POP3S).wanted == "implicit"


def test_decision_names_its_rules() -> None:
    """The one for STARTTLS first; the listener where none decided."""
    assert POLICY.decide("192.0.2.7", MX).rule == "inbound[0] (g.toml:0)"
    assert POLICY.decide("10.0.1.1", MX).rule == "inbound[2] (g.toml:2)"
    assert POLICY.decide("198.51.100.1", MX).rule == "listener"
    both = InboundPolicy((rule(0, {"minimum": "TLSv1.3"}), rule(1, {"starttls": "require"})))
    assert both.decide("192.0.2.1", MX).rule == "inbound[1] (g.toml:1), inbound[0] (g.toml:0)"
    denied = InboundPolicy((rule(0, {"minimum": "TLSv1.3"}), rule(1, {"starttls": "deny"})))
    assert denied.decide("192.0.2.1", MX).rule == "inbound[1] (g.toml:1)"


def test_rule_that_asks_for_a_certificate_is_told_from_the_one_about_tls() -> None:
    """`wanted=offer rule=relay[0]` would say that a relay rule offers STARTTLS; it asks for a certificate."""
    relay = InboundRule(Source("relay[0]"), {"client_certificate": "ask"})
    asking = InboundPolicy((relay,)).decide("192.0.2.1", MX)
    assert (asking.wanted, asking.rule, asking.asked_by) == ("offer", "listener", "relay[0]")
    both = InboundPolicy((rule(1, {"starttls": "require", "client_certificate": "require"}), relay))
    assert both.decide("192.0.2.1", MX).rule == both.decide("192.0.2.1", MX).asked_by == "inbound[1] (g.toml:1)"
    denied = InboundPolicy((rule(0, {"starttls": "deny"}), relay)).decide("192.0.2.1", MX)
    assert (denied.rule, denied.asked_by) == ("inbound[0] (g.toml:0)", "")
    assert InboundPolicy((rule(0, {"client_certificate": "none"}),)).decide("192.0.2.1", MX).asked_by == ""
    usual = InboundPolicy((), Handshake(client_certificate="ask"), Source("tls", "g.toml:9"))
    assert usual.decide("192.0.2.1", MX).asked_by == "tls (g.toml:9)"


def test_every_handshake_that_can_come_about_is_known_before() -> None:
    """Their contexts are made before the fork: nothing is missing, and what no address can meet is not made."""
    found = POLICY.handshakes([MX, POP3])
    assert set(found) == {Handshake(), Handshake("TLSv1.3"), Handshake(maximum="TLSv1.2", resumption=False)}
    apart = InboundPolicy(
        (rule(0, {"minimum": "TLSv1.3"}, "10.0.0.0/8"), rule(1, {"maximum": "TLSv1.2"}, "192.0.2.0/24"))
    )
    assert all(handshake.possible for handshake in apart.handshakes([MX]))
    assert InboundPolicy((rule(0, {"starttls": "deny"}),)).handshakes([MX]) == {}


def test_rules_that_exclude_each_other_are_found_with_an_address() -> None:
    """Minimum and maximum may come from two rules, and meet at some address."""
    crossed = InboundPolicy(
        (rule(0, {"minimum": "TLSv1.3"}, "10.0.0.0/8"), rule(1, {"maximum": "TLSv1.2"}, "10.1.0.0/16"))
    )
    ((handshake, decision),) = [each for each in crossed.handshakes([MX]).items() if not each[0].possible]
    assert handshake == Handshake("TLSv1.3", "TLSv1.2")
    assert decision.facts.address == "10.1.0.0"
    assert POLICY.decide("10.0.1.1", MX).handshake.possible


def test_session_resumes_unless_that_is_off_or_a_certificate_is_asked_for() -> None:
    """After a resumption there would be no certificate to judge."""
    assert Handshake().resumes
    assert not Handshake(resumption=False).resumes
    assert not Handshake(client_certificate="ask").resumes
    assert not Handshake(client_certificate="require").resumes


def test_conditions_say_what_was_found() -> None:
    """In words that name the address, the listener and the list, whether it is in it or not."""
    policy = InboundPolicy((rule(0, {"starttls": "deny"}, "10.0.0.0/8", "mx", "10.0.0.9"),))

    def found(address: str, ground: Ground) -> list[tuple[str, bool]]:
        return [(each.text, each.met) for each in policy.decide(address, ground).decision.weighed[0].conditions]

    assert found("10.0.0.1", MX) == [
        ("10.0.0.1 is in from", True),
        ("listener mx is in listeners", True),
        ("10.0.0.1 is not in except", True),
    ]
    assert found("10.0.0.9", POP3)[1:] == [
        ("listener pop3 is not in listeners", False),
        ("10.0.0.9 is in except", False),
    ]
    assert found("192.0.2.1", MX)[0] == ("192.0.2.1 is not in from", False)
