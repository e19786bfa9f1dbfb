"""What a client is offered: STARTTLS by its address and the listener it came to, and how TLS is spoken with it.

The protocol does not matter here: SMTP, submission and POP3 ask the same question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, cast, final

from gatepost.policy.addresses import AddressList
from gatepost.policy.rules import Condition, Decision, Setting, Source, decide

Starttls: TypeAlias = Literal["offer", "require", "deny"]

Asked: TypeAlias = Literal["none", "ask", "require"]

KEYS: Final = ("starttls", "minimum", "maximum", "ciphers", "suites", "resumption", "client_certificate")
VERSIONS: Final = ("TLSv1.2", "TLSv1.3")
_TLS_KEYS: Final = frozenset(KEYS[1:])
_OF_TLS: Final = tuple(key for key in KEYS if key != "client_certificate")


class Facts(NamedTuple):
    """What is known of a client before it speaks.

    :param address: its IP address.
    :param listener: the name of the listener it came to.
    """

    address: str
    listener: str


@final
@dataclass(frozen=True, slots=True)
class InboundRule:
    """One ``[[inbound]]`` entry.

    :param settings: the keys of ``KEYS`` that it sets.
    :param addresses: ``from``; None is everybody.
    :param listeners: None is every listener.
    :param exempt: ``except``: who is in here is not matched.
    """

    source: Source
    settings: Mapping[str, object]
    addresses: AddressList | None = None
    listeners: frozenset[str] | None = None
    exempt: AddressList | None = None

    def conditions(self, facts: Facts, /) -> tuple[Condition, ...]:
        """What is found about each condition."""
        found: list[Condition] = []
        if self.addresses is not None:
            found.append(listed("from", self.addresses, facts.address))
        if self.listeners is not None:
            met = facts.listener in self.listeners
            found.append(Condition("listeners", met, f"listener {facts.listener} is {_in(met)} listeners"))
        if self.exempt is not None:
            met = not self.exempt.matches(facts.address)
            found.append(Condition("except", met, f"{facts.address} is {_in(not met)} except"))
        return tuple(found)


class Handshake(NamedTuple):
    """How TLS is spoken. Each distinct value needs TLS contexts of its own, which are made before the fork.

    :param client_certificate: whether the client is asked for one; sessions with one that is asked do not resume.
    """

    minimum: str = "TLSv1.2"
    maximum: str | None = None
    ciphers: str | None = None
    suites: str | None = None
    resumption: bool = True
    client_certificate: Asked = "none"

    @property
    def resumes(self) -> bool:
        """Whether a session can be resumed."""
        return self.resumption and self.client_certificate == "none"

    @property
    def possible(self) -> bool:
        """Whether the versions leave anything to speak."""
        return self.maximum is None or VERSIONS.index(self.minimum) <= VERSIONS.index(self.maximum)


class Ground(NamedTuple):
    """What holds at a listener where no rule says otherwise.

    :param starttls: the listener's own word.
    :param implicit: whether TLS begins with the first octet.
    :param source: where the listener stands.
    """

    listener: str
    starttls: Starttls
    implicit: bool
    source: Source


@final
@dataclass(frozen=True, slots=True)
class InboundDecision:
    """What a client is offered, and why.

    :param handshake: how TLS is spoken with it.
    :param decision: every key with its source, and every rule.
    """

    facts: Facts
    ground: Ground
    starttls: Starttls
    handshake: Handshake
    decision: Decision

    @property
    def refused(self) -> bool:
        """Whether the connection itself is refused: TLS is denied where there is nothing but TLS."""
        return self.ground.implicit and self.starttls == "deny"

    @property
    def wanted(self) -> str:
        """The decision in one word: ``offer``, ``require`` or ``deny``; ``implicit`` where TLS comes first."""
        return "implicit" if self.ground.implicit and self.starttls != "deny" else self.starttls

    @property
    def rule(self) -> str:
        """The rules that decided how TLS is had, the one for STARTTLS first; ``listener`` where none did.

        That a client is asked for a certificate is another matter: see ``asked_by``.
        """
        settings = self.decision.settings
        keys = ("starttls",) if self.starttls == "deny" else _OF_TLS
        sources = {settings[key].source for key in keys}
        deciding = [source for source in self.decision.deciding if source in sources]
        first = settings["starttls"].source
        if first in deciding:
            deciding.insert(0, first)
        return ", ".join(map(str, dict.fromkeys(deciding))) or "listener"

    @property
    def asked_by(self) -> str:
        """What has the client asked for a certificate: an ``[[inbound]]`` or a ``[[relay]]`` rule, or ``tls``.

        Empty where nobody asks.
        """
        if self.starttls == "deny" or self.handshake.client_certificate == "none":
            return ""
        return str(self.decision.settings["client_certificate"].source)


_AS_BUILT: Final = Handshake()
_TLS: Final = Source("tls")


@final
@dataclass(frozen=True, slots=True)
class InboundPolicy:
    """All that decides about clients.

    :param rules: in their order.
    :param handshake: what ``[tls]`` says.
    :param tls: where ``[tls]`` stands.
    """

    rules: Sequence[InboundRule] = ()
    handshake: Handshake = _AS_BUILT
    tls: Source = _TLS

    def decide(self, address: str, ground: Ground) -> InboundDecision:
        """What a client at this address is offered at this listener."""
        facts = Facts(address, ground.listener)
        defaults: dict[str, Setting] = {"starttls": Setting(ground.starttls, ground.source)}
        for key, value in self.handshake._asdict().items():
            defaults[key] = Setting(value, self.tls)
        decision = decide(self.rules, facts, defaults)
        handshake = Handshake(
            cast(str, decision.value("minimum")),
            cast("str | None", decision.value("maximum")),
            cast("str | None", decision.value("ciphers")),
            cast("str | None", decision.value("suites")),
            cast(bool, decision.value("resumption")),
            cast(Asked, decision.value("client_certificate")),
        )
        return InboundDecision(facts, ground, cast(Starttls, decision.value("starttls")), handshake, decision)

    def handshakes(self, grounds: Iterable[Ground]) -> dict[Handshake, InboundDecision]:
        """Every way in which TLS can come to be spoken, each with a decision that leads to it.

        Decided for one address between each two edges of the lists, so nothing is left out and nothing is guessed.
        """
        rules = [rule for rule in self.rules if _TLS_KEYS & rule.settings.keys()]
        if not rules:
            return {}
        lists = [addresses for rule in rules for addresses in (rule.addresses, rule.exempt) if addresses is not None]
        samples = dict.fromkeys(["0.0.0.0", "::", *(edge for addresses in lists for edge in addresses.edges())])
        speaking = InboundPolicy(rules, self.handshake, self.tls)
        found: dict[Handshake, InboundDecision] = {}
        for ground in grounds:
            for address in samples:
                decision = speaking.decide(address, ground)
                found.setdefault(decision.handshake, decision)
        return found


def listed(key: str, addresses: AddressList, address: str) -> Condition:
    """Whether an address is in the list of a key."""
    met = addresses.matches(address)
    return Condition(key, met, f"{address} is {_in(met)} {key}")


def _in(met: bool) -> str:
    return "in" if met else "not in"
