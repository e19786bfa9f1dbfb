"""Who may relay, as decisions."""

from __future__ import annotations

from gatepost.policy.addresses import AddressList
from gatepost.policy.relay import NOTHING, RelayPolicy, RelayRule, Shown
from gatepost.policy.rules import Source

POLICY = RelayPolicy(
    (
        RelayRule(Source("relay[0]", "g.toml:3"), AddressList(["10.0.0.0/8", "!10.9.9.9"])),
        RelayRule(Source("relay[1]"), AddressList(["192.0.2.1"]), frozenset({"inside"})),
    )
)


def test_nobody_relays_by_default() -> None:
    """Loopback included."""
    decision = RelayPolicy().decide("127.0.0.1", "mx")
    assert (decision.allowed, decision.rule) == (False, "")


def test_rules_let_addresses_relay_at_listeners() -> None:
    """With the rule that does."""
    assert POLICY.decide("10.1.1.1", "mx").rule == "relay[0] (g.toml:3)"
    assert not POLICY.decide("10.9.9.9", "mx").allowed
    assert not POLICY.decide("192.0.2.1", "mx").allowed
    assert POLICY.decide("192.0.2.1", "inside").allowed
    assert POLICY.decide("192.0.2.1", "mx").decision.weighed[1].close


ANN = Shown("trusted", "", ("ann@example.org",), ("ab" * 32, "cd" * 32))
CERTIFIED = RelayPolicy(
    (
        RelayRule(Source("relay[0]"), mailboxes=frozenset({"ann@example.org"})),
        RelayRule(Source("relay[1]"), AddressList(["10.0.0.0/8"]), fingerprints=frozenset({"cd" * 32})),
        RelayRule(
            Source("relay[2]"),
            listeners=frozenset({"inside"}),
            mailboxes=frozenset({"bob@example.org"}),
            fingerprints=frozenset({"ab" * 32}),
        ),
    )
)


def test_certificate_that_verified_relays_by_its_address() -> None:
    """From anywhere, where the rule says nothing of addresses."""
    assert CERTIFIED.certified and not POLICY.certified
    assert CERTIFIED.decide("192.0.2.1", "mx", ANN).rule == "relay[0]"
    assert not CERTIFIED.decide("192.0.2.1", "mx").allowed
    assert not CERTIFIED.decide("192.0.2.1", "mx", NOTHING).allowed


def test_address_in_a_certificate_counts_only_when_it_verified() -> None:
    """A fingerprint says that the certificate is known, not that what it says is true."""
    for status in ("untrusted", "pinned", "none", ""):
        assert not CERTIFIED.decide("192.0.2.1", "mx", ANN._replace(status=status)).allowed


def test_fingerprint_counts_of_the_certificate_or_its_key() -> None:
    """Also when nobody vouches for it, and only in a certificate that is in order otherwise."""
    known = ANN._replace(status="pinned", mailboxes=())
    assert CERTIFIED.decide("10.0.0.1", "mx", known).rule == "relay[1]"
    assert CERTIFIED.decide("10.0.0.1", "mx", known._replace(fingerprints=("cd" * 32,))).allowed
    assert not CERTIFIED.decide("10.0.0.1", "mx", known._replace(fingerprints=("ef" * 32,))).allowed
    assert not CERTIFIED.decide("10.0.0.1", "mx", known._replace(status="untrusted")).allowed
    assert not CERTIFIED.decide("192.0.2.1", "mx", known).allowed


def test_every_condition_of_a_rule_must_be_met() -> None:
    """Address, fingerprint and listener."""
    bob = ANN._replace(mailboxes=("x@example.org", "bob@example.org"))
    assert CERTIFIED.decide("192.0.2.1", "inside", bob).rule == "relay[2]"
    assert not CERTIFIED.decide("192.0.2.1", "mx", bob).allowed
    assert not CERTIFIED.decide("192.0.2.1", "inside", bob._replace(fingerprints=("cd" * 32,))).allowed


def test_reasons_are_those_of_the_certificate() -> None:
    """What was found about each condition is what the operator reads."""
    refused = ANN._replace(status="untrusted", reason="expired: in May")
    texts = [weighed.why for weighed in CERTIFIED.decide("10.0.0.1", "mx", refused).decision.weighed]
    assert texts[0] == "the certificate proves no mail address: expired: in May"
    assert texts[1] == "the certificate proves nothing: expired: in May"
    other = CERTIFIED.decide("192.0.2.1", "mx", ANN._replace(mailboxes=("eve@example.org",))).decision.weighed[0]
    assert other.close and other.why == "the certificate is for eve@example.org, which is not in certificate_email"
    unasked = CERTIFIED.decide("10.0.0.1", "mx").decision.weighed[0]
    assert unasked.close and unasked.why == "the client's certificate is not known"
    assert CERTIFIED.decide("10.0.0.1", "mx", NOTHING).decision.weighed[0].why == "the client showed no certificate"


def test_address_that_is_not_known_meets_no_condition() -> None:
    """A certificate alone may be asked about."""
    assert CERTIFIED.decide("", "mx", ANN).allowed
    rule = CERTIFIED.decide("", "mx", ANN._replace(status="pinned")).decision.weighed[1]
    assert rule.close and "the client's address is not known" in rule.why


def test_rule_that_says_nothing_lets_nobody() -> None:
    """No condition is no permission."""
    assert not RelayPolicy((RelayRule(Source("relay[0]")),)).decide("127.0.0.1", "mx", ANN).allowed


def test_policy_knows_whether_certificates_can_make_a_difference() -> None:
    """Clients are asked for one only where some rule goes by it, by either of its kinds."""
    assert not RelayPolicy().certified
    assert not POLICY.certified
    assert RelayPolicy((*POLICY.rules, RelayRule(Source("a"), mailboxes=frozenset({"a@b.example"})))).certified
    assert RelayPolicy((RelayRule(Source("b"), fingerprints=frozenset({"ab" * 32})), *POLICY.rules)).certified


def test_fingerprint_says_why_a_certificate_does_not_count() -> None:
    """None was shown, it proves nothing, or it is another one; and whether the rule came close."""
    policy = RelayPolicy((RelayRule(Source("relay[0]"), fingerprints=frozenset({"ab" * 32})),))
    for shown, text, close in (
        (None, "the client's certificate is not known", True),
        (NOTHING, "the client showed no certificate", False),
        (Shown("untrusted", "expired: long ago"), "the certificate proves nothing: expired: long ago", True),
        (Shown("pinned", "", (), ("cd" * 32,)), "the certificate's SHA-256 and its key's are not in", True),
    ):
        weighed = policy.decide("192.0.2.1", "mx", shown).decision.weighed[0]
        assert weighed.why.startswith(text)
        assert weighed.close is close
