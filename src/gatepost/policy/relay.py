"""Who may send through us to domains that are not ours, without a login. Nobody, where no rule says so.

A rule goes by the client's address, by its certificate, or by both. What a certificate is worth was found before, by
the handshake: a mail address counts in one that verified, a fingerprint in one whose fingerprint is listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from gatepost.policy.addresses import AddressList
from gatepost.policy.inbound import listed
from gatepost.policy.rules import Condition, Decision, Setting, Source, decide
from gatepost.wire.upgrade import UNCHECKED

KEY: Final = "relay"
PROVED: Final = frozenset({"trusted", "pinned"})
"""What a verdict on a client's certificate must be for it to prove anything: see ``wire.upgrade.Verification``."""

_NOBODY: Final = {KEY: Setting(False, Source("default"))}
_ALLOWS: Final = {KEY: True}


class Shown(NamedTuple):
    """The certificate that a client showed in the handshake.

    :param status: the verdict: ``none``, ``untrusted``, ``trusted`` or ``pinned``.
    :param reason: why it is ``untrusted``.
    :param mailboxes: the mail addresses in it.
    :param fingerprints: the SHA-256 of it and of its public key.
    """

    status: str
    reason: str = ""
    mailboxes: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()

    @property
    def unchecked(self) -> bool:
        """Whether nothing is wrong with it but that a revocation list of ours is missing or out of date."""
        return self.reason.startswith(UNCHECKED)


NOTHING: Final = Shown("none")


class Facts(NamedTuple):
    """What is known of a client that wants to relay.

    :param address: its IP address; empty when it is not known.
    :param listener: the name of the listener it came to.
    :param shown: its certificate; None when nothing is known of one, as in the clear.
    """

    address: str
    listener: str
    shown: Shown | None = None


@final
@dataclass(frozen=True, slots=True)
class RelayRule:
    """One ``[[relay]]`` entry: whoever meets all of its conditions may relay.

    :param addresses: ``from``; None is everybody, in a rule by certificate.
    :param listeners: None is every listener that takes mail from servers.
    :param mailboxes: ``certificate_email``, in the form that is compared.
    :param fingerprints: ``certificate_fingerprint``.
    """

    source: Source
    addresses: AddressList | None = None
    listeners: frozenset[str] | None = None
    mailboxes: frozenset[str] | None = None
    fingerprints: frozenset[str] | None = None

    @property
    def settings(self) -> dict[str, bool]:
        """A rule can only allow."""
        return _ALLOWS

    @property
    def certified(self) -> bool:
        """Whether it goes by a certificate."""
        return self.mailboxes is not None or self.fingerprints is not None

    def conditions(self, facts: Facts, /) -> tuple[Condition, ...]:
        """What is found about each condition."""
        found = [*self._where(facts)]
        if self.mailboxes is not None:
            found.append(_by_mailbox(self.mailboxes, facts.shown))
        if self.fingerprints is not None:
            found.append(_by_fingerprint(self.fingerprints, facts.shown))
        # A rule without a condition matches always: one that says nothing of who may relay lets nobody.
        return tuple(found) or (Condition("from", False, "the rule does not say who"),)

    def _where(self, facts: Facts) -> Iterator[Condition]:
        if self.addresses is not None:
            if facts.address:
                yield listed("from", self.addresses, facts.address)
            else:
                yield Condition("from", False, "the client's address is not known", known=False)
        if self.listeners is not None:
            met = facts.listener in self.listeners
            yield Condition("listeners", met, f"listener {facts.listener} is {'in' if met else 'not in'} listeners")


def _by_mailbox(wanted: frozenset[str], shown: Shown | None) -> Condition:
    key = "certificate_email"
    if shown is None or shown.status == "none":
        return _absent(key, shown)
    if shown.status != "trusted":
        # What is written in a certificate counts only when its authority is believed, fingerprint or not.
        reason = shown.reason or "it does not verify with client_ca"
        return Condition(key, False, f"the certificate proves no mail address: {reason}", near=True)
    found = next((mailbox for mailbox in shown.mailboxes if mailbox in wanted), None)
    if found is not None:
        return Condition(key, True, f"the certificate is for {found}")
    has = ", ".join(shown.mailboxes[:4]) or "no mail address"
    return Condition(key, False, f"the certificate is for {has}, which is not in certificate_email", near=True)


def _by_fingerprint(wanted: frozenset[str], shown: Shown | None) -> Condition:
    key = "certificate_fingerprint"
    if shown is None or shown.status == "none":
        return _absent(key, shown)
    if shown.status not in PROVED:
        return Condition(key, False, f"the certificate proves nothing: {shown.reason}", near=True)
    found = next((each for each in shown.fingerprints if each in wanted), None)
    if found is not None:
        return Condition(key, True, f"{found} is in certificate_fingerprint")
    text = "the certificate's SHA-256 and its key's are not in certificate_fingerprint"
    return Condition(key, False, text, near=True)


def _absent(key: str, shown: Shown | None) -> Condition:
    text = "the client's certificate is not known" if shown is None else "the client showed no certificate"
    return Condition(key, False, text, known=shown is not None)


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

    @property
    def certified(self) -> bool:
        """Whether a certificate can make a difference."""
        return any(rule.certified for rule in self.rules)

    def decide(self, address: str, listener: str, shown: Shown | None = None) -> RelayDecision:
        """Whether a client at this address, with this certificate, may relay at this listener."""
        facts = Facts(address, listener, shown)
        decision = decide(self.rules, facts, _NOBODY)
        return RelayDecision(facts, decision.value(KEY) is True, decision)
