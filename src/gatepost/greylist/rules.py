"""The rules before greylisting: who is put off, who is not, and who is refused. The first that matches decides.

Some facts cost something to find out: DNS is asked for the names of an address, or for what a domain says of it (SPF),
only when a rule that goes by them matches in everything else, and no rule before it decides. ``GreylistPolicy.wanted``
says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, cast, final

from gatepost.greylist.facts import Facts
from gatepost.greylist.mailboxes import MailboxList
from gatepost.policy.addresses import AddressList
from gatepost.policy.inbound import listed
from gatepost.policy.names import NameList
from gatepost.policy.rules import Condition, Decision, Setting, Source, decide

Action: TypeAlias = Literal["skip", "delay", "refuse"]

UNWANTED: Final = "Your mail is not wanted here"
CLIENT_NAMES: Final = "client_names"
VOUCHED_BY: Final = "spf"
_DEFAULT: Final = Source("default")


class Course(NamedTuple):
    """What is done.

    :param action: let in at once, put off, or refuse.
    :param delay: seconds, for ``delay``.
    :param text: what ``refuse`` says.
    :param by_domain: whether the sender's domain stands for the client in place of its network: it has vouched for it.
    """

    action: Action
    delay: float
    text: str = UNWANTED
    by_domain: bool = False

    @property
    def settings(self) -> dict[str, object]:
        """By the names that people see."""
        return {"action": self.action, "delay": self.delay, "text": self.text, "client": self.by_domain}


@final
@dataclass(frozen=True, slots=True)
class GreylistRule:
    """One ``[[greylist_rule]]`` entry; a condition that is None is met by everybody."""

    source: Source
    course: Course
    addresses: AddressList | None = None
    exempt: AddressList | None = None
    listeners: frozenset[str] | None = None
    client_names: NameList | None = None
    countries: frozenset[str] | None = None
    senders: MailboxList | None = None
    recipients: MailboxList | None = None
    authenticated: bool | None = None
    tls: bool | None = None
    certificate_names: NameList | None = None
    fingerprints: frozenset[str] | None = None
    spf: frozenset[str] | None = None

    @property
    def settings(self) -> dict[str, object]:
        """All keys at once: rules do not compose here, the first that matches decides everything."""
        return self.course.settings

    def conditions(self, facts: Facts, /) -> tuple[Condition, ...]:
        """What is found about each condition."""
        return (*self._of_client(facts), *self._of_mail(facts), *self._of_tls(facts), *self._of_dns(facts))

    def _of_client(self, facts: Facts) -> Iterator[Condition]:
        if self.addresses is not None:
            yield listed("from", self.addresses, facts.address)
        if self.exempt is not None:
            met = not self.exempt.matches(facts.address)
            yield Condition("except", met, f"{facts.address} is {_in(not met)} except")
        if self.listeners is not None:
            met = facts.listener in self.listeners
            yield Condition("listeners", met, f"listener {facts.listener} is {_in(met)} listeners")
        if self.countries is not None:
            if facts.country is None:
                yield Condition("countries", False, "the client's country is not known", known=False)
            else:
                met = facts.country in self.countries
                yield Condition("countries", met, f"country {facts.country} is {_in(met)} countries")

    def _of_mail(self, facts: Facts) -> Iterator[Condition]:
        for key, mailboxes, path in (
            ("senders", self.senders, facts.sender),
            ("recipients", self.recipients, facts.recipient),
        ):
            if mailboxes is not None:
                met = mailboxes.matches(path)
                yield Condition(key, met, f"<{path}> is {_in(met)} {key}")
        if self.authenticated is not None:
            state = "has" if facts.authenticated else "has not"
            yield Condition("authenticated", facts.authenticated is self.authenticated, f"the client {state} logged in")

    def _of_tls(self, facts: Facts) -> Iterator[Condition]:
        if self.tls is not None:
            known = facts.tls is not None
            text = f"the mail comes {'inside TLS' if facts.tls else 'in the clear'}" if known else "TLS is not known"
            yield Condition("tls", facts.tls is self.tls, text, known)
        shown = facts.certificate
        if self.certificate_names is not None:
            wanted = self.certificate_names
            name = next((each for each in shown.names if wanted.matches(each)), "") if shown else ""
            text = f"the verified certificate is for {name}" if name else "no verified certificate for such a name"
            yield Condition("certificate_names", bool(name), text)
        if self.fingerprints is not None:
            found = shown is not None and not self.fingerprints.isdisjoint(shown.fingerprints)
            yield Condition(
                "certificate_fingerprint", found, f"the certificate is {_in(found)} certificate_fingerprint"
            )

    def _of_dns(self, facts: Facts) -> Iterator[Condition]:
        if self.client_names is not None:
            yield _named(self.client_names, facts.names)
        if self.spf is not None:
            if facts.spf is None:
                yield Condition(
                    VOUCHED_BY, False, f"what {facts.domain or 'its domain'} says by SPF is not known", known=False
                )
            else:
                met = facts.spf in self.spf
                yield Condition(VOUCHED_BY, met, f"SPF of {facts.domain}: {facts.spf}, which is {_in(met)} spf")


@final
@dataclass(frozen=True, slots=True)
class GreylistDecision:
    """What is done with one recipient of a mail, before what is remembered is asked; and why."""

    facts: Facts
    course: Course
    decision: Decision

    @property
    def domain(self) -> str:
        """The domain that stands for the client; empty where its network does."""
        return self.facts.domain if self.course.by_domain else ""

    @property
    def source(self) -> Source:
        """What decided."""
        return self.decision.settings["action"].source

    @property
    def rule(self) -> str:
        """The rule in words: ``greylist_rule[0] (FILE:LINE)``, or ``default``."""
        return str(self.source)


@final
@dataclass(frozen=True, slots=True)
class GreylistPolicy:
    """All rules, in their order, and what holds where none matches.

    :param delay: seconds, for mail that no rule matches.
    :param ground: where ``[greylist]`` stands.
    """

    rules: Sequence[GreylistRule] = ()
    delay: float = 300.0
    ground: Source = _DEFAULT

    @property
    def by_country(self) -> bool:
        """Whether a rule asks for the country."""
        return any(rule.countries is not None for rule in self.rules)

    @property
    def by_name(self) -> bool:
        """Whether a rule asks for names in DNS."""
        return any(rule.client_names is not None for rule in self.rules)

    @property
    def by_spf(self) -> bool:
        """Whether a rule asks what domains say by SPF."""
        return any(rule.spf is not None for rule in self.rules)

    @property
    def longest(self) -> float:
        """The longest delay, in seconds."""
        return max((self.delay, *(rule.course.delay for rule in self.rules)))

    def decide(self, facts: Facts) -> GreylistDecision:
        """What is done with a recipient.

        Mail without a sender is let in unless a rule says otherwise: it is reports, and the test calls by which other
        servers see whether an address of ours exists. Put off, they would hold up mail that we sent.
        """
        action: Action = "delay" if facts.sender else "skip"
        usual = Course(action, self.delay)
        source = self.ground if facts.sender else Source("null sender", self.ground.place)
        defaults = {key: Setting(value, source) for key, value in usual.settings.items()}
        decision = decide(self.rules, facts, defaults)
        course = Course(
            cast(Action, decision.value("action")),
            cast(float, decision.value("delay")),
            cast(str, decision.value("text")),
            cast(bool, decision.value("client")),
        )
        return GreylistDecision(facts, course, decision)

    def wanted(self, facts: Facts) -> str:
        """What would make a difference and DNS knows: ``client_names``, ``spf``; empty where it is not worth asking."""
        if not (self.by_name or self.by_spf):
            return ""
        for rule in self.rules:
            conditions = rule.conditions(facts)
            asked = [each.key for each in conditions if not each.known and each.key in (CLIENT_NAMES, VOUCHED_BY)]
            if all(each.met or each.key in asked for each in conditions):
                return asked[0] if asked else ""
        return ""


def _named(wanted: NameList, names: tuple[str, ...] | None) -> Condition:
    if names is None:
        return Condition(CLIENT_NAMES, False, "the client's name is not known", known=False)
    name = next((each for each in names if wanted.matches(each)), "")
    has = ", ".join(names[:4]) or "without a confirmed name"
    text = f"{name} is in client_names" if name else f"the client is {has}, which is not in client_names"
    return Condition(CLIENT_NAMES, bool(name), text)


def _in(met: bool) -> str:
    return "in" if met else "not in"
