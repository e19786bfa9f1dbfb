"""How a server is approached: by the destination, the host's name and its address.

Asked once for each address that is about to be connected to, when all three are known. ``gatepost explain`` may ask
with less: a condition on what is not known is not met, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast, final

from gatepost.policy.addresses import AddressList
from gatepost.policy.levels import Level, raised
from gatepost.policy.names import NameList
from gatepost.policy.rules import Condition, Decision, Setting, Source, decide

KEYS: Final = (
    "level", "ca", "crl", "fingerprints", "names", "ciphers", "suites", "minimum", "maximum", "client_certificate",
    "port", "implicit",
)  # fmt: skip

SUBMISSIONS_PORT: Final = 465
"""Where implicit TLS is spoken when no port is set (RFC 8314 §3.3)."""


class Facts(NamedTuple):
    """What is known of a server before it is connected to. What is not known is empty.

    :param destination: the domain of the mail, in lower case; the name of the smarthost or of a route's host where
        that takes the mail.
    :param host: the host's name: an MX, the smarthost, a route's host, or the domain itself.
    :param address: its IP address.
    :param login: whether we log in there.
    :param routed: whether a route sent the mail here: what is set for the smarthost is not for this server.
    :param named: whether that route has host and port.
    """

    destination: str
    host: str = ""
    address: str = ""
    login: bool = False
    routed: bool = False
    named: bool = False


@final
@dataclass(frozen=True, slots=True)
class OutboundRule:
    """One ``[[outbound]]`` entry.

    :param settings: the keys of ``KEYS`` that it sets.
    :param to: destinations; None is every one.
    :param mx: host names; None is every one.
    :param server: addresses; None is every one.
    :param exempt_addresses: the addresses of ``except``.
    :param exempt_names: the names of ``except``, of destinations or hosts.
    """

    source: Source
    settings: Mapping[str, object]
    to: NameList | None = None
    mx: NameList | None = None
    server: AddressList | None = None
    exempt_addresses: AddressList | None = None
    exempt_names: NameList | None = None

    def conditions(self, facts: Facts, /) -> tuple[Condition, ...]:
        """What is found about each condition."""
        found: list[Condition] = []
        if self.to is not None:
            found.append(_listed("to", facts.destination, self.to.matches(facts.destination), "the destination"))
        if self.mx is not None:
            found.append(_listed("mx", facts.host, self.mx.matches(facts.host), "the host's name (--mx)"))
        if self.server is not None:
            met = self.server.matches(facts.address)
            found.append(_listed("server", facts.address, met, "the server's address (--ip)"))
        if self.exempt_addresses is not None or self.exempt_names is not None:
            found.append(self._exempt(facts))
        return tuple(found)

    def _exempt(self, facts: Facts) -> Condition:
        if self.exempt_names is not None:
            for name in (facts.destination, facts.host):
                if self.exempt_names.matches(name):
                    return Condition("except", False, f"{name} is in except")
        if self.exempt_addresses is not None and self.exempt_addresses.matches(facts.address):
            return Condition("except", False, f"{facts.address} is in except")
        return Condition("except", True, "nothing known is in except")


class ClientHandshake(NamedTuple):
    """What needs a TLS context of its own: whom we trust, what we show, how TLS is spoken.

    :param ca: a file of authorities, or None for those of the configuration.
    :param client_certificate: a file with the certificate and key to show, or None.
    :param crl: a file of revocation lists that must cover what the authorities vouch for, or None.
    """

    ca: str | None = None
    client_certificate: str | None = None
    minimum: str = "TLSv1.2"
    maximum: str | None = None
    ciphers: str | None = None
    suites: str | None = None
    crl: str | None = None


@final
@dataclass(frozen=True, slots=True)
class OutboundDecision:
    """How a server is approached, and why.

    :param level: what is done, after ``raised``.
    :param port: the port to connect to, or None for the route's.
    :param names: the names of which the certificate must have one, at ``verify`` and ``secure``; none at other levels.
        One that begins with a dot stands for every name below it.
    :param fingerprints: SHA-256, in lower-case hexadecimal, of certificates or public keys.
    """

    facts: Facts
    level: Level
    handshake: ClientHandshake
    port: int | None
    implicit: bool
    names: tuple[str, ...]
    fingerprints: tuple[str, ...]
    decision: Decision

    @property
    def source(self) -> Source:
        """What decided the level."""
        return self.decision.settings["level"].source

    @property
    def rule(self) -> str:
        """What decided the level, and the other rules that decided something."""
        return ", ".join(map(str, dict.fromkeys((self.source, *self.decision.deciding))))

    @property
    def note(self) -> str:
        """Why the level is not the one that was set; usually empty."""
        if self.level == self.decision.value("level"):
            return ""
        return f"{self.decision.value('level')} was raised to {self.level}: " + (
            "a password never travels in the clear" if self.facts.login else "TLS begins with the first octet"
        )


_DEFAULT: Final = Source("default")
_AS_BUILT: Final = ClientHandshake()


@final
@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """All that decides about servers.

    :param rules: in their order.
    :param level: what holds where no rule sets a level; ``level_source`` says where it stands.
    :param handshake: what ``[tls]`` and ``[delivery]`` say.
    :param implicit: whether a smarthost is approached with implicit TLS.
    """

    rules: Sequence[OutboundRule] = ()
    level: Level = "may"
    level_source: Source = _DEFAULT
    handshake: ClientHandshake = _AS_BUILT
    implicit: bool = False

    def decide(self, facts: Facts) -> OutboundDecision:
        """How this server is approached."""
        rest = Source("tls")
        defaults: dict[str, Setting] = {
            "level": Setting(self.level, self.level_source),
            "implicit": Setting(self.implicit and not facts.routed, Source("delivery")),
            **{key: Setting(value, rest) for key, value in self.handshake._asdict().items()},
        }
        decision = decide(self.rules, facts, defaults)
        handshake = ClientHandshake(
            *(cast("str | None", decision.value(key)) for key in ClientHandshake._fields)  # type: ignore[arg-type]
        )
        implicit = bool(decision.value("implicit"))
        level = raised(cast(Level, decision.value("level")), login=facts.login, implicit=implicit)
        port = cast("int | None", decision.value("port"))
        if port is None and implicit and not facts.named and (facts.routed or not self.implicit):
            port = SUBMISSIONS_PORT
        return OutboundDecision(
            facts, level, handshake, port, implicit, self._names(level, facts, decision),
            cast("tuple[str, ...]", decision.value("fingerprints") or ()), decision,
        )  # fmt: skip

    def _names(self, level: Level, facts: Facts, decision: Decision) -> tuple[str, ...]:
        """The reference names: those of a rule, else what the level goes by (Postfix's ``hostname``; ``nexthop,
        dot-nexthop``)."""
        if level not in ("verify", "secure"):
            return ()
        named = cast("tuple[str, ...]", decision.value("names") or ())
        if named:
            return named
        if level == "verify":
            return (facts.host,) if facts.host else ()
        if facts.destination.startswith("["):  # an address literal: its address must be in the certificate
            return (facts.host or facts.address,)
        return (facts.destination, f".{facts.destination}")


def _listed(key: str, value: str, met: bool, unknown: str) -> Condition:
    if not value:
        return Condition(key, False, f"{unknown} is not known", False)
    return Condition(key, met, f"{value} is {'in' if met else 'not in'} {key}")
