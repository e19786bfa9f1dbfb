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
    policy: InboundPolicy, starttls: Starttls, *, implicit: bool = False, protocol: str = "smtp", gate: str = ""
) -> dict[str, str]:
    """What will happen to a client at a listener."""
    decision = policy.decide("192.0.2.1", Ground("mx", starttls, implicit, HERE))
    return dict(explain_inbound(decision, protocol=protocol, gate=gate).outlook)


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


THROUGH = "the server behind gets what it says"


@pytest.mark.parametrize(
    ("protocol", "denied", "offered", "required"),
    [
        ("smtp", THROUGH, THROUGH, "530 5.7.0: nothing but NOOP, EHLO, QUIT and STARTTLS"),
        ("pop3", THROUGH, THROUGH, "-ERR [AUTH] to every login"),
        ("imap", THROUGH, THROUGH, "NO [PRIVACYREQUIRED] to every login"),
        ("tls", "the connection is closed", "refused: TLS comes first", "refused: TLS comes first"),
    ],
)
def test_gate_passes_on_what_a_server_would_answer(protocol: str, denied: str, offered: str, required: str) -> None:
    """The server behind gets it; a protocol that the gate does not read goes through inside TLS only."""
    for starttls, then in (("deny", denied), ("offer", offered), ("require", required)):
        found = outlook(InboundPolicy(), starttls, protocol=protocol, gate="terminate")  # type: ignore[arg-type]
        assert found["the client stays in the clear"] == then
    assert found["the client speaks TLSv1.2 to the newest"] == f"{THROUGH}, over a connection of its own"
    assert THROUGH not in outlook(InboundPolicy(), "deny", protocol=protocol).values()


@pytest.mark.parametrize(("mode", "note"), [("terminate", ""), ("pass", "the server behind"), ("refuse", "hidden")])
def test_gate_of_another_mode_has_a_note(mode: str, note: str) -> None:
    """Where the rules are not what decides about TLS, the explanation says so."""
    decision = InboundPolicy().decide("192.0.2.1", Ground("gate", "offer", False, HERE))
    notes = explain_inbound(decision, protocol="smtp", gate=mode).notes
    assert len(notes) == bool(note)
    assert all(f'mode = "{mode}"' in each and note in each for each in notes)


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


def test_port_of_a_rule_is_told() -> None:
    """It is nowhere else to be seen: the question is about a domain."""
    policy = OutboundPolicy((OutboundRule(Source("outbound[0]"), {"port": 2525}),))
    assert "port 2525" in explain_outbound(policy.decide(Facts("example.com"))).notes
    assert not any("port" in note for note in explain_outbound(OutboundPolicy().decide(Facts("example.com"))).notes)


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


def test_certificate_that_cannot_be_checked_now_may_come_again() -> None:
    """A revocation list of ours has expired: that is no reason to refuse mail for good, where certificates count."""
    unchecked = Shown("untrusted", "revocation-unknown: CRL has expired")
    by_certificate = RelayRule(Source("relay[0]"), mailboxes=frozenset({"a@b.example"}))
    by_address = RelayRule(Source("relay[0]"), AddressList(["10.0.0.1"]))
    for rule, shown, code in (
        (by_certificate, unchecked, "454 4.7.0"),
        (by_certificate, Shown("untrusted", "expired: long ago"), "550 5.7.1"),
        (by_certificate, None, "550 5.7.1"),
        (by_address, unchecked, "550 5.7.1"),
    ):
        explanation = explain_relay(RelayPolicy((rule,)).decide("192.0.2.1", "mx", shown))
        assert dict(explanation.outlook)["a recipient in another domain"].startswith(code)


@pytest.mark.parametrize(("domains", "named"), [(4, "d0, d1, d2, d3"), (5, "d0, d1, d2, d3, …")])
def test_domains_that_are_relayed_for_everybody_are_named(domains: int, named: str) -> None:
    """Whoever may not relay may still send to these: the first four by name."""
    relayed = tuple(f"d{number}" for number in range(domains))
    explanation = explain_relay(RelayPolicy().decide("192.0.2.1", "mx"), relayed=relayed)
    assert explanation.outlook[1].when == f"a recipient in relay_domains ({named})"
    assert explanation.outlook[1].then.startswith("250")
    assert explanation.outlook[2].then.startswith("550 5.7.1")


def test_rule_that_came_early_enough_is_not_listed_twice() -> None:
    """A rule that decides is not one that came close."""
    policy = InboundPolicy((InboundRule(Source("inbound[0]"), {"starttls": "deny"}),))
    text = "\n".join(
        explain_inbound(policy.decide("192.0.2.1", Ground("mx", "offer", False, HERE)), protocol="smtp").lines()
    )
    assert text.count("inbound[0]") == 3  # who decided, the setting, the rule
