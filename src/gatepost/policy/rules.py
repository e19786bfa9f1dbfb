"""What all rules have in common: the first rule that matches *and sets a key* decides that key.

Rules therefore compose: one may set the level for a network, a later one the ciphers for everybody. A key that no rule
sets has its default, which has a source too. A ``Decision`` holds every rule with what was found about each of its
conditions: that is what decided, and it is what ``gatepost explain`` prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar, final

F_contra = TypeVar("F_contra", contravariant=True)
F = TypeVar("F")


class Source(NamedTuple):
    """Where a value comes from.

    :param name: as the configuration has it: ``inbound[0]``, ``listener[1]``, ``tls``, or ``default``.
    :param place: ``FILE:LINE``, or empty where nothing stands in a file.
    """

    name: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.place})" if self.place else self.name


class Condition(NamedTuple):
    """One condition of a rule, and whether the facts meet it.

    :param key: the key of the rule.
    :param met: whether they do.
    :param text: what was found, in words: ``192.0.2.7 is in from``.
    :param known: whether the facts say anything about it; where they do not, it is not met.
    :param near: not met, though the facts are of the kind that it asks for: a certificate, but another one.
    """

    key: str
    met: bool
    text: str
    known: bool = True
    near: bool = False


class Rule(Protocol[F_contra]):
    """One rule of a table.

    ``settings`` are the keys that it sets, by name; ``conditions`` says for each of its conditions whether it is met.
    A rule without conditions matches always.
    """

    @property
    def source(self) -> Source: ...
    @property
    def settings(self) -> Mapping[str, object]: ...
    def conditions(self, facts: F_contra, /) -> tuple[Condition, ...]: ...


@final
@dataclass(frozen=True, slots=True)
class Weighed:
    """A rule, held against the facts.

    :param conditions: what was found about each of its conditions.
    :param decides: the keys that it decides: it matches, sets them, and no rule before it did both.
    :param late: the keys that it sets and would have decided, had an earlier rule not.
    """

    source: Source
    conditions: tuple[Condition, ...]
    decides: tuple[str, ...] = ()
    late: tuple[str, ...] = ()

    @property
    def matches(self) -> bool:
        """Whether every condition is met."""
        return all(condition.met for condition in self.conditions)

    @property
    def close(self) -> bool:
        """Whether it came close: it matches but came too late, or some of its conditions are met, nearly met or not
        known, and others are not. (That nothing is excepted brings no rule closer.)
        """
        if self.matches:
            return not self.decides
        return any((each.met and each.key != "except") or each.near or not each.known for each in self.conditions)

    @property
    def why(self) -> str:
        """Why it does not decide, or what it matched by."""
        if not self.matches:
            return "; ".join(condition.text for condition in self.conditions if not condition.met)
        if self.late and not self.decides:
            return f"matches, but an earlier rule decides {', '.join(self.late)}"
        return "; ".join(condition.text for condition in self.conditions) or "it has no conditions"


class Setting(NamedTuple):
    """A key's value, and where it comes from."""

    value: object
    source: Source


@final
@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and everything that led to it.

    :param settings: each key with its value and source.
    :param weighed: every rule in its order.
    """

    settings: Mapping[str, Setting]
    weighed: tuple[Weighed, ...]

    def value(self, key: str) -> object:
        """The value of a key; None when nothing sets it."""
        setting = self.settings.get(key)
        return None if setting is None else setting.value

    @property
    def deciding(self) -> tuple[Source, ...]:
        """The rules that decide a key, in their order."""
        return tuple(weighed.source for weighed in self.weighed if weighed.decides)


def decide(rules: Sequence[Rule[F]], facts: F, defaults: Mapping[str, Setting]) -> Decision:
    """Hold the rules against the facts.

    :param rules: in their order.
    :param defaults: the keys that may be decided, each with what holds when no rule sets it.
    """
    settings: dict[str, Setting] = {}
    weighed: list[Weighed] = []
    for rule in rules:
        conditions = rule.conditions(facts)
        decides: list[str] = []
        late: list[str] = []
        if all(condition.met for condition in conditions):
            for key, value in rule.settings.items():
                if key in settings:
                    late.append(key)
                else:
                    settings[key] = Setting(value, rule.source)
                    decides.append(key)
        weighed.append(Weighed(rule.source, conditions, tuple(decides), tuple(late)))
    return Decision({**defaults, **settings}, tuple(weighed))
