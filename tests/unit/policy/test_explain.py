"""Decisions in words."""

from __future__ import annotations

import json

import pytest

from gatepost.policy.addresses import AddressList
from gatepost.policy.explain import explain_inbound, explain_outbound, explain_relay
from gatepost.policy.inbound import Ground, Handshake, InboundPolicy, InboundRule, Starttls
from gatepost.policy.levels import DEMANDS, Answer, Fate, Level, foresee
from gatepost.policy.names import NameList
from gatepost.policy.outbound import Facts, OutboundPolicy, OutboundRule
from gatepost.policy.relay import RelayPolicy, RelayRule, Shown
from gatepost.policy.rules import Source

HERE = Source("listener[0]", "g.toml:1")


def outlook(
    policy: InboundPolicy, starttls: Starttls, *, implicit: bool = False, protocol: str = "smtp"
) -> dict[str, str]:
    """What will happen to a client at a listener."""
    decision = policy.decide("192.0.2.1", Ground("mx", starttls, implicit, HERE))
    return dict(explain_inbound(decision, protocol=protocol).outlook)


def test_inbound_outlook_follows_the_decision() -> None:
    """What the client will see is what the engines say."""
    none = InboundPolicy()
    assert outlook(none, "offer")["the client stays in the clear"] == "mail is taken"
    assert outlook(none, "require")["the client stays in the clear"].startswith("530 5.7.0")
    assert outlook(none, "offer", protocol="submission")["the client stays in the clear"].startswith("530 5.7.0")
    assert outlook(none, "deny")["the client asks for STARTTLS"].startswith("502 5.5.1")
    assert outlook(none, "deny", protocol="submission")["the client stays in the clear"].startswith("530 5.7.0")
    assert outlook(none, "deny", implicit=True) == {
        "the client connects": "closed without a word; the log has the rule"
    }
    assert "the client stays in the clear" not in outlook(none, "offer", implicit=True)
    limited = InboundPolicy((), Handshake("TLSv1.2", "TLSv1.2", resumption=False))
    assert outlook(limited, "offer")["the client speaks TLSv1.2"] == "mail is taken over TLS"
    assert outlook(limited, "offer")["the client comes back with a session"] == "a full handshake each time"


def test_inbound_outlook_says_what_becomes_of_certificates() -> None:
    """Where one is asked for; required, what a client without hears, and that the clear is another way in."""
    asked = InboundPolicy((), Handshake(client_certificate="ask"))
    assert outlook(asked, "offer")["the client shows a certificate"].startswith("judged behind the handshake")
    assert outlook(asked, "offer")["the client comes back with a session"] == "a full handshake each time"
    assert "the client shows a certificate" not in outlook(InboundPolicy(), "offer")
    required = InboundPolicy((), Handshake(client_certificate="require"))
    unproved = "the client shows none that proves anything"
    assert outlook(required, "offer")[unproved].startswith("554 5.7.0 to MAIL; 454 4.7.0 ")
    assert outlook(required, "offer", protocol="submission")[unproved].startswith("554 5.7.0 to AUTH and MAIL")
    assert outlook(required, "offer", protocol="pop3")[unproved] == "-ERR to every login"
    for starttls, notes in (("offer", 1), ("require", 0)):
        decision = required.decide("192.0.2.1", Ground("mx", starttls, False, HERE))  # type: ignore[arg-type]
        assert len(explain_inbound(decision, protocol="smtp").notes) == notes


def test_pop3_outlook_speaks_of_pop3() -> None:
    """STLS, -ERR and logins."""
    found = outlook(InboundPolicy(), "deny", protocol="pop3")
    assert found["the client asks for STLS"].startswith("-ERR")
    assert outlook(InboundPolicy(), "offer", protocol="pop3")["the client stays in the clear"].startswith("-ERR")
    decision = InboundPolicy().decide("192.0.2.1", Ground("pop3", "offer", False, HERE))
    assert explain_inbound(decision, protocol="pop3").verdict == "offer: STLS is offered"


def test_versions_that_exclude_each_other_are_said_so() -> None:
    """TLS is refused for now, and the explanation has a note."""
    crossed = InboundPolicy((), Handshake("TLSv1.3", "TLSv1.2"))
    assert outlook(crossed, "offer")["the client asks for TLS"].startswith("454")
    assert outlook(crossed, "offer", implicit=True)["the client asks for TLS"] == "closed without a word"
    explanation = explain_inbound(crossed.decide("192.0.2.1", Ground("mx", "offer", False, HERE)), protocol="smtp")
    assert explanation.notes == ("TLS cannot be spoken: TLSv1.2 is older than the minimum",)


@pytest.mark.parametrize("level", DEMANDS)
def test_outbound_outlook_is_what_the_level_foresees(level: Level) -> None:
    """Every answer that can come about at that level, none twice."""
    decision = OutboundPolicy((), level).decide(Facts("example.com", "mx.example.com", "192.0.2.1"))
    found = dict(explain_outbound(decision).outlook)
    for answer in Answer:
        if f"the server {answer.value}" not in found:
            assert answer in (Answer.RIGHT_PIN, Answer.WRONG_PIN) and level != "fingerprint"
            continue
        foreseen, said = foresee(level, answer), found[f"the server {answer.value}"]
        if level == "fingerprint" and answer is Answer.RIGHT_PIN:
            assert said.startswith("deferred")  # nothing is pinned here
        elif foreseen.fate is Fate.WAITS:
            assert said == f"deferred ({foreseen.enhanced}), never sent in less"
        else:
            assert said == foreseen.fate.value


def test_implicit_tls_has_no_starttls_to_refuse() -> None:
    """Answers that cannot come about are left out."""
    found = explain_outbound(OutboundPolicy((), implicit=True).decide(Facts("relay.example"))).outlook
    assert not any("STARTTLS" in when for when, _ in found)


def test_explanation_tells_the_rule_its_place_and_those_that_came_close() -> None:
    """As lines for people and as plain values for programs, with the same content."""
    policy = OutboundPolicy(
        (
            OutboundRule(Source("outbound[0]", "g.toml:4"), {"level": "secure"}, to=NameList(["example.com"])),
            OutboundRule(Source("outbound[1]", "g.toml:8"), {"level": "none"}, server=AddressList(["10.0.0.0/8"])),
            OutboundRule(Source("outbound[2]", "g.toml:9"), {"level": "may"}, to=NameList(["example.net"])),
        )
    )
    explanation = explain_outbound(policy.decide(Facts("example.com")))
    lines = list(explanation.lines())
    assert lines[0].startswith("destination example.com: secure: TLS always")
    assert "  by outbound[0] (g.toml:4)" in lines
    assert "    outbound[0] (g.toml:4) [level]: example.com is in to" in lines
    assert "    outbound[1] (g.toml:8): the server's address (--ip) is not known" in lines
    assert "  1 other rule does not apply (-v lists them)" in lines
    assert "    outbound[2] (g.toml:9): example.com is not in to" in list(explanation.lines(every_rule=True))
    plain = json.loads(json.dumps(explanation.plain()))
    assert plain["settings"]["level"] == {"value": "secure", "rule": "outbound[0]", "place": "g.toml:4"}
    assert [rule["close"] for rule in plain["rules"]] == [False, True, False]
    assert plain["notes"][0].startswith("the host is not known (--mx) and the address is not known (--ip)")


def test_fingerprint_without_pins_will_take_no_certificate() -> None:
    """Said before the mail waits."""
    explanation = explain_outbound(OutboundPolicy((), "fingerprint").decide(Facts("example.com")))
    assert "pinned: nothing, so no certificate will do" in explanation.notes
    assert not any(then.startswith("delivered") for _, then in explanation.outlook)


def test_relay_is_explained_with_what_a_recipient_is_answered() -> None:
    """Allowed by a rule, or by none refused."""
    policy = RelayPolicy((RelayRule(Source("relay[0]", "g.toml:3"), AddressList(["10.0.0.1"])),))
    allowed, refused = (explain_relay(policy.decide(address, "mx")) for address in ("10.0.0.1", "10.0.0.2"))
    assert (allowed.rule, refused.rule) == ("relay[0] (g.toml:3)", "default: nobody relays")
    assert dict(refused.outlook)["a recipient in another domain"] == "550 5.7.1 Relaying denied"
    assert dict(allowed.outlook)["a recipient in another domain"].startswith("250")


def test_relay_by_certificate_is_explained_with_the_certificate() -> None:
    """Why it counts or not, and that the clear knows no certificates."""
    policy = RelayPolicy((RelayRule(Source("relay[0]", "g.toml:3"), mailboxes=frozenset({"a@b.example"})),))
    proved = policy.decide("192.0.2.1", "mx", Shown("trusted", "", ("a@b.example",), ("ab",)))
    explanation = explain_relay(proved, certificate="client.pem", notes=("a note",))
    assert explanation.question["certificate"] == "client.pem"
    assert explanation.notes == ("a note",)
    assert "the client stays in the clear" in dict(explanation.outlook)
    refused = explain_relay(policy.decide("192.0.2.1", "mx", Shown("untrusted", "expired: long ago")))
    assert "the client stays in the clear" not in dict(refused.outlook)
    assert any("expired: long ago" in line for line in refused.lines(every_rule=True))


def test_rule_that_came_early_enough_is_not_listed_twice() -> None:
    """A rule that decides is not one that came close."""
    policy = InboundPolicy((InboundRule(Source("inbound[0]"), {"starttls": "deny"}),))
    text = "\n".join(
        explain_inbound(policy.decide("192.0.2.1", Ground("mx", "offer", False, HERE)), protocol="smtp").lines()
    )
    assert text.count("inbound[0]") == 3  # who decided, the setting, the rule
