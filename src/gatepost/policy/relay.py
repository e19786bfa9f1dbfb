"""Who may send through us to domains that are not ours, without a login. Nobody, where no rule says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from gatepost.policy.addresses import AddressList
from gatepost.policy.inbound import Facts, listed
from gatepost.policy.rules import Condition, Decision, Setting, Source, decide

KEY: Final = "relay"
_NOBODY: Final = {KEY: Setting(False, Source("default"))}
_ALLOWS: Final = {KEY: True}


@final
@dataclass(frozen=True, slots=True)
class RelayRule:
    """One ``[[relay]]`` entry: whoever it matches may relay.

    :param addresses: ``from``.
    :param listeners: None is every listener that takes mail from servers.
    """

    source: Source
    addresses: AddressList
    listeners: frozenset[str] | None = None

    @property
    def settings(self) -> dict[str, bool]:
        """A rule can only allow."""
        return _ALLOWS

    def conditions(self, facts: Facts, /) -> tuple[Condition, ...]:
        """What is found about each condition."""
        found = listed("from", self.addresses, facts.address)
        if self.listeners is None:
            return (found,)
        met = facts.listener in self.listeners
        text = f"listener {facts.listener} is {'in' if met else 'not in'} listeners"
        return (found, Condition("listeners", met, text))


@final
@dataclass(frozen=True, slots=True)
class RelayDecision:
    """Whether a client may relay, and why."""

    facts: Facts
    allowed: bool
    decision: Decision

    @property
    def rule(self) -> str:
        """The rule that allows it; empty when none does."""
        return str(self.decision.settings[KEY].source) if self.allowed else ""


@final
@dataclass(frozen=True, slots=True)
class RelayPolicy:
    """All relay rules, in their order."""

    rules: Sequence[RelayRule] = ()

    def decide(self, address: str, listener: str) -> RelayDecision:
        """Whether a client at this address may relay at this listener."""
        facts = Facts(address, listener)
        decision = decide(self.rules, facts, _NOBODY)
        return RelayDecision(facts, decision.value(KEY) is True, decision)
