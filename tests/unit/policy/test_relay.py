"""Who may relay, as decisions."""

from __future__ import annotations

from gatepost.policy.addresses import AddressList
from gatepost.policy.relay import RelayPolicy, RelayRule
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
