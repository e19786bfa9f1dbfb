"""A ``gatepost.toml`` while it is being written: live keys, commented ones, and what needs the operator's eye.

A key goes into the document only when the schema takes it. What it refuses becomes a comment with the reason, so that
the document always loads, and what a later schema takes comes out live by itself. A rule one of whose conditions is
refused is a comment as a whole: without the condition it would match more than it did.
"""

from __future__ import annotations

import functools
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gatepost.config.combinations import impossible
from gatepost.config.problems import Problem
from gatepost.config.routing import Route
from gatepost.config.schema import TLS, Certificate, Config, Delivery, Inbound, Limits, Listener, Outbound, Relay
from gatepost.config.show import toml_value

Scalar: TypeAlias = str | int | bool

_PLAIN: Final[Mapping[str, type[BaseModel]]] = {"": Config, "tls": TLS, "limits": Limits, "delivery": Delivery}
_LISTS: Final[Mapping[str, type[BaseModel]]] = {
    "certificate": Certificate, "listener": Listener, "inbound": Inbound, "outbound": Outbound, "relay": Relay,
    "route": Route,
}  # fmt: skip
_ORDER: Final = ("", "tls", "certificate", "listener", "inbound", "outbound", "relay", "route", "limits", "delivery")
_DISTINCT: Final = frozenset({"listener", "certificate"})
_CONDITIONS: Final = frozenset({"from", "except", "listeners", "to", "mx", "server"})
_WIDTH: Final = 120


class Sourced(NamedTuple):
    """A value with the place it came from: ``main.cf:12``; a list has a place for each entry."""

    value: Scalar | tuple[Sourced, ...]
    place: str = ""


def listed(entries: Iterable[Sourced]) -> Sourced:
    """A list, each entry once, with its first place."""
    first: dict[Scalar | tuple[Sourced, ...], Sourced] = {}
    for entry in entries:
        first.setdefault(entry.value, entry)
    return Sourced(tuple(first.values()))


@final
class Document:
    """One document.

    :param made_by: the command that makes it.
    :param origin: the file or directory that it is made from.
    """

    __slots__ = ("_lines", "_live", "_made_by", "_origin", "notices")

    def __init__(self, made_by: str, origin: str) -> None:
        self._made_by = made_by
        self._origin = origin
        self._lines: dict[str, list[str]] = {table: [] for table in _ORDER}
        self._live: dict[str, Any] = {}
        self.notices: list[str] = []

    @property
    def live(self) -> Mapping[str, Any]:
        """The tables that the document sets."""
        return self._live

    def notice(self, place: str, text: str) -> None:
        """Say something that the operator has to know: at the head of the document, and on standard error."""
        line = printable(f"{place}: {text}" if place else text)
        if line not in self.notices:
            self.notices.append(line)

    def remark(self, table: str, text: str) -> None:
        """A comment among the lines of a table."""
        self._lines[table] += _comment(text)

    def outcome(self, table: str, place: str, text: str) -> None:
        """A comment about a setting that needs no line: gatepost does it, or has it otherwise."""
        self.remark(table, f"{place}: {text}")

    def set(self, table: str, key: str, value: Sourced) -> bool:
        """Set a key of a plain table.

        :return: False when the schema refuses it: it is a comment then, and a notice says why.
        """
        place = _place(value)
        value, dropped = self._sift(_PLAIN[table], key, value)
        reason = _refused(_PLAIN[table], key, value) if value.value != () else "nothing of it can be used"
        inner = {**self._live.get(table, {}), key: _bare(value)} if table else {}
        candidate = {**self._live, table: inner} if table else {**self._live, key: _bare(value)}
        reason = reason or _impossible(candidate)
        if reason:
            self.withhold(table, [f"{key} = {toml_value(_bare(value))}"] if value.value != () else [], place, reason)
            return False
        self._live = candidate
        self._lines[table] += _rendered(key, value, dropped)
        return True

    def add(self, table: str, entry: Mapping[str, Sourced], *, remark: str = "") -> bool:
        """Add an entry to a list of tables.

        :param remark: a comment before it.
        :return: False when the whole entry is a comment, or nothing was left of it.
        """
        model = _LISTS[table]
        kept: dict[str, Sourced] = {}
        lines: list[str] = []
        wrong = ""
        for key, given in entry.items():
            value, dropped = self._sift(model, key, given)
            refused = _refused(model, key, value) if value.value != () else "nothing of it can be used"
            if refused and (key in _CONDITIONS or len(entry) == 1):
                wrong = wrong or refused
                lines += _rendered(key, given, [])
            elif refused:
                self.notice(_place(value), f"{key} is left out: {refused}")
                lines += _comment(f"{key} = {toml_value(_bare(value))}: {refused}")
            else:
                kept[key] = value
                lines += _rendered(key, value, dropped)
        names = {field.alias or name for name, field in model.model_fields.items() if field.is_required()}
        if not wrong and (missing := sorted(names - kept.keys())):
            wrong = f"nothing of {', '.join(missing)} can be used"
        bare = {key: _bare(value) for key, value in kept.items()}
        before = self._live.get(table, [])
        if not wrong:  # rules do not contradict each other, so one is looked at alone
            beside = before if table in _DISTINCT else []
            wrong = _impossible({**self._live, table: [*beside, bare]})
        if wrong:
            body = [line.removeprefix("# ") for line in (*_comment(remark), f"[[{table}]]", *lines)]
            self.withhold(table, body, _place(*entry.values()), wrong)
            return False
        self._live.setdefault(table, []).append(bare)
        self._lines[table] += ["", *_comment(remark), f"[[{table}]]", *lines]
        return True

    def withhold(self, table: str, lines: Sequence[str], place: str, reason: str) -> None:
        """Lines that would be written if they could; a notice says why they are comments."""
        self.notice(place, reason)
        self._lines[table] += ["", *_comment(f"Not in effect: {reason}"), *(f"# {printable(line)}" for line in lines)]

    def text(self) -> str:
        """The document."""
        head = [
            f"# Made by `{printable(self._made_by)}` from {printable(self._origin)}.",
            "# Behind each line stands the place that it came from. `gatepost config check` says whether it loads, and",
            "# `gatepost explain` what it means for a client, a server or a domain.",
        ]
        if self.notices:
            head += ["#", "# To be looked at:"]
            for line in self.notices:
                head += textwrap.wrap(
                    line, _WIDTH, initial_indent="#   ", subsequent_indent="#     ", break_on_hyphens=False
                )
        parts = [head]
        for table in _ORDER:
            lines = self._lines[table]
            if not lines:
                continue
            heading = [f"[{table}]"] if table in _PLAIN and table else []
            parts.append([*heading, *(lines[1:] if lines[0] == "" else lines)])
        return "\n\n".join("\n".join(part) for part in parts) + "\n"

    def _sift(self, model: type[BaseModel], key: str, value: Sourced) -> tuple[Sourced, list[Sourced]]:
        """The entries of a list that the schema takes, and the others. An exclusion is never dropped: the list would
        name more than it did."""
        if not isinstance(value.value, tuple) or not value.value or key == "except":
            return value, []
        good: list[Sourced] = []
        bad: list[Sourced] = []
        for entry in value.value:
            # An exclusion alone is refused for being alone, so each is tried beside an entry for everybody.
            excluding = isinstance(entry.value, str) and entry.value.startswith("!")
            trial = (Sourced("*"), entry) if excluding else (entry,)
            reason = _refused(model, key, Sourced(trial))
            if reason and not excluding and len(value.value) > 1:
                bad.append(Sourced(entry.value, entry.place))
                self.notice(entry.place, f"left out of {key}: {reason}")
            else:
                good.append(entry)
        return Sourced(tuple(good), value.place), bad


def printable(text: str) -> str:
    """Text of the old files, safe in a comment and on a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _impossible(candidate: Mapping[str, Any]) -> str:
    return "; ".join(map(_words, impossible(candidate)))


def _words(problem: Problem) -> str:
    return f"{problem.key[-1]}: {problem.text}" if isinstance(problem.key[-1], str) else problem.text


def _refused(model: type[BaseModel], key: str, value: Sourced) -> str:
    """Why the schema refuses a value for a key; empty when it takes it."""
    bare = _bare(value)
    try:
        json.dumps(bare, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "it is not UTF-8"
    adapter = _adapter(model, key)
    if adapter is None:
        return "this version has no such key"
    try:
        adapter.validate_python(tuple(bare) if isinstance(bare, list) else bare)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        return str(found.get("ctx", {}).get("error", found["msg"]))
    return ""


@functools.cache
def _adapter(model: type[BaseModel], key: str) -> TypeAdapter[Any] | None:
    """What checks the values of one key as the schema does, without the rest of the table."""
    field = next((field for name, field in model.model_fields.items() if (field.alias or name) == key), None)
    if field is None:
        return None
    config = ConfigDict(arbitrary_types_allowed=True, str_max_length=4096)
    return TypeAdapter(field.rebuild_annotation(), config=config)


def _bare(value: Sourced) -> Any:
    return [_bare(entry) for entry in value.value] if isinstance(value.value, tuple) else value.value


def _place(*values: Sourced) -> str:
    """The places of values, each once."""
    places: dict[str, None] = {}
    for value in values:
        inner = [entry.place for entry in value.value] if isinstance(value.value, tuple) else []
        places.update(dict.fromkeys(filter(None, [value.place, *inner])))
    shown = list(places)
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _rendered(key: str, value: Sourced, dropped: Sequence[Sourced]) -> list[str]:
    """A key in one line, or a list with an entry a line when the entries have places of their own."""
    line = f"{key} = {toml_value(_bare(value))}"
    places = _place(value)
    several = isinstance(value.value, tuple) and len(value.value) > 1 and (", " in places or len(line) > 80)
    if not dropped and not several:
        return [line + _behind(places)]
    assert isinstance(value.value, tuple)
    return [
        f"{key} = [",
        *(f"    {toml_value(_bare(entry))},{_behind(entry.place or value.place)}" for entry in value.value),
        *(f"    # {printable(str(entry.value))}: left out{_behind(entry.place)}" for entry in dropped),
        "]",
    ]


def _behind(place: str) -> str:
    return f"  # {printable(place)}" if place else ""


def _comment(text: str) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(
        printable(text), _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    ) or ["#"]
