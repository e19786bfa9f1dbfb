"""Which way mail for a destination goes: by the domain of the recipient. The first route that matches counts.

A route names a host, or ``mx``: then the domain's own mail exchangers, as an exception from a later, wider route or
from the smarthost. What no route matches goes to the smarthost, or where there is none to the mail exchangers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, final

from gatepost.policy.names import NameList
from gatepost.policy.rules import Condition, Decision, Setting, Source, decide

KEY: Final = "via"
MX: Final = "mx"

Kind: TypeAlias = Literal["mx", "route", "smarthost"]


class Endpoint(NamedTuple):
    """A host and its TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Way(NamedTuple):
    """The way that mail goes. Mail that goes the same way waits in one line, and shares sessions.

    :param kind: ``route`` and ``smarthost`` go to ``endpoint``, ``mx`` to the mail exchangers of ``destination``.
    :param destination: the domain of the mail, or an address literal; empty where an endpoint is named.
    :param endpoint: the host that takes the mail; None for ``mx``.
    :param exempt: whether a route said ``mx``: the smarthost, and what is set for it, has no part in it.
    """

    kind: Kind
    destination: str = ""
    endpoint: Endpoint | None = None
    exempt: bool = False

    @property
    def name(self) -> str:
        """The destination, or the endpoint."""
        return self.destination or str(self.endpoint)


@final
@dataclass(frozen=True, slots=True)
class RouteRule:
    """One ``[[route]]`` entry.

    :param to: the domains.
    :param via: the host that takes their mail; None for their mail exchangers.
    """

    source: Source
    to: NameList
    via: Endpoint | None

    @property
    def settings(self) -> dict[str, object]:
        """The way."""
        return {KEY: self.via}

    def conditions(self, destination: str, /) -> tuple[Condition, ...]:
        """What is found about ``to``. An address literal is no domain: ``*`` alone matches it."""
        met = self.to.matches(destination)
        return (Condition("to", met, f"{destination} is {'in' if met else 'not in'} to"),)


@final
@dataclass(frozen=True, slots=True)
class RouteDecision:
    """The way of mail for a destination, and why.

    :param rule: what decided; ``default`` where the mail exchangers are asked because nothing else is set.
    """

    way: Way
    rule: Source
    decision: Decision


_DEFAULT: Final = Source("default")
_SMARTHOST: Final = Source("delivery.smarthost")


@final
@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """All routes, in their order.

    :param smarthost: what takes the mail that no route matches; None for the mail exchangers.
    :param source: where the smarthost is set.
    """

    rules: Sequence[RouteRule] = ()
    smarthost: Endpoint | None = None
    source: Source = _SMARTHOST

    def decide(self, destination: str) -> RouteDecision:
        """Which way mail goes.

        :param destination: a domain as A-labels, or an address literal.
        """
        default = Setting(self.smarthost, _DEFAULT if self.smarthost is None else self.source)
        decision = decide(self.rules, destination, {KEY: default})
        setting = decision.settings[KEY]
        endpoint = setting.value
        if setting is default:
            kind: Kind = "mx" if self.smarthost is None else "smarthost"
            way = Way(kind, "" if self.smarthost else destination, self.smarthost)
        elif isinstance(endpoint, Endpoint):
            way = Way("route", "", endpoint)
        else:
            way = Way("mx", destination, exempt=True)
        return RouteDecision(way, setting.source, decision)
