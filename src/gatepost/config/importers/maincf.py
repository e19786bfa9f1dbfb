"""The syntax of Postfix's ``main.cf``: logical lines, ``$name`` in values, lists, and text tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, final

from gatepost.config.importers.document import Document
from gatepost.config.importers.texts import read_text
from gatepost.errors import ConfigError

_TEXT_LIMIT: Final = 1 << 20
_DEPTH: Final = 32
_STEPS: Final = 10_000  # references that one value may lead to
_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_TABLES: Final = frozenset({"hash", "btree", "lmdb", "dbm", "cdb", "texthash", "sdbm"})
_DEFAULTS: Final[Mapping[str, str]] = {
    "config_directory": "/etc/postfix", "data_directory": "/var/lib/postfix", "queue_directory": "/var/spool/postfix",
    "meta_directory": "/etc/postfix", "myorigin": "$myhostname", "process_id_directory": "pid",
    "mail_name": "Postfix", "default_database_type": "hash",
    "mydestination": "$myhostname, localhost.$mydomain, localhost",
}  # fmt: skip


class Parameter(NamedTuple):
    """A parameter's value, ``$name`` expanded, and where it stands."""

    value: str
    place: str

    @property
    def words(self) -> list[str]:
        """The value as a list, by commas and white space."""
        return [word for word in re.split(r"[,\s]+", self.value) if word]


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations (lines that begin with white space), each with the number of its first."""
    number, parts = 0, list[str]()
    for at, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and parts:
            parts.append(line.strip())
        else:
            if parts:
                yield number, " ".join(parts)
            number, parts = at, [line.strip()]
    if parts:
        yield number, " ".join(parts)


@final
class Parameters:
    """The parameters of a ``main.cf``.

    :param document: takes the notices about lines that cannot be read, or count for nothing.
    :param name: of the file, for places.
    """

    __slots__ = ("_document", "_mentioned", "_raw", "_steps", "_taken")

    def __init__(self, document: Document, text: str, name: str) -> None:
        self._document = document
        self._raw: dict[str, Parameter] = {}
        self._taken: set[str] = set()
        self._steps = 0
        self._mentioned: set[str] = set()
        for number, line in logical_lines(text):
            key, equals, value = line.partition("=")
            place = f"{name}:{number}"
            if not equals or not _NAME.fullmatch(key.strip()):
                document.notice(place, "is no parameter, and is not taken over")
                continue
            if key.strip() in self._raw:
                old = self._raw[key.strip()].place
                document.notice(old, f"{key.strip()} is set again at {place}, which is what counts")
            self._raw[key.strip()] = Parameter(value.strip(), place)
        for parameter in self._raw.values():
            self._mentioned.update(re.findall(r"\$[{(]?([A-Za-z0-9_]+)", parameter.value))

    def take(self, name: str) -> Parameter | None:
        """A parameter that is set; it is known from then on."""
        self._taken.add(name)
        raw = self._raw.get(name)
        return None if raw is None else Parameter(self.expand(raw.value, raw.place), raw.place)

    def rest(self) -> Iterator[tuple[str, Parameter, bool]]:
        """The parameters that nobody took, each with whether another one's value mentions it."""
        for name, parameter in self._raw.items():
            if name not in self._taken:
                yield name, parameter, name in self._mentioned

    def expand(self, text: str, place: str) -> str:
        """Put values in the place of ``$name``, ``${name}``, ``$(name)``, ``${name?text}`` and ``${name:text}``."""
        self._steps = 0
        try:
            expanded = self._expand(text, 0)
        except RecursionError:
            self._document.notice(place, "its value refers to itself, or to too much, and is taken as empty")
            return ""
        return expanded.strip()

    def _expand(self, text: str, depth: int) -> str:
        if depth > _DEPTH:
            raise RecursionError
        parts: list[str] = []
        size = at = 0
        while at < len(text):
            dollar = text.find("$", at)
            if dollar < 0:
                parts.append(text[at:])
                break
            value, end = self._reference(text, dollar + 1, depth)
            parts += text[at:dollar], value
            at = end
            size += len(value)
            if size > _TEXT_LIMIT:
                raise RecursionError
        return "".join(parts)

    def _reference(self, text: str, at: int, depth: int) -> tuple[str, int]:
        """The value of the reference behind a ``$``, and where the text goes on."""
        if text[at : at + 1] == "$":
            return "$", at + 1
        if text[at : at + 1] in ("{", "("):
            end = _closing(text, at)
            return self._braced(text[at + 1 : end], depth), end + 1
        found = _NAME.match(text, at)
        if found is None:
            return "$", at
        return self._value(found[0], depth), found.end()

    def _braced(self, inner: str, depth: int) -> str:
        found = _NAME.match(inner.strip())
        if found is None:
            return ""
        name, rest = found[0], inner.strip()[found.end() :].lstrip()
        value = self._value(name, depth)
        if rest[:1] not in ("?", ":"):
            return value
        text, other = _alternatives(rest[1:])
        if rest[0] == ":":
            return value or self._expand(text, depth + 1)
        return self._expand(text if value else other, depth + 1)

    def _value(self, name: str, depth: int) -> str:
        self._steps += 1
        if self._steps > _STEPS:
            raise RecursionError
        if name in self._raw:
            return self._expand(self._raw[name].value, depth + 1)
        if name == "mydomain":
            return self._value("myhostname", depth + 1).partition(".")[2] or "localdomain"
        return self._expand(_DEFAULTS.get(name, ""), depth + 1)


def _closing(text: str, at: int) -> int:
    """Where the bracket at ``at`` is closed; the end of the text when it is not."""
    left, right = text[at], {"{": "}", "(": ")"}[text[at]]
    level = 0
    for index in range(at, len(text)):
        level += (text[index] == left) - (text[index] == right)
        if level == 0:
            return index
    return len(text)


def _alternatives(text: str) -> tuple[str, str]:
    """``{one}:{other}``, ``{one}`` or ``one``."""
    text = text.strip()
    if not text.startswith("{"):
        return text, ""
    end = _closing(text, 0)
    rest = text[end + 1 :].strip().removeprefix(":").strip()
    return text[1:end].strip(), rest[1 : _closing(rest, 0)].strip() if rest.startswith("{") else rest


class Entry(NamedTuple):
    """One line of a table."""

    key: str
    value: str
    place: str


def table_names(value: str) -> list[str]:
    """The tables of a ``*_maps`` value; an ``inline:{…}`` with all its text."""
    names: list[str] = []
    at = 0
    while at < len(value):
        if value[at] in ", \t":
            at += 1
            continue
        end = at
        while end < len(value) and value[end] not in ", \t":
            end = _closing(value, end) + 1 if value[end] == "{" else end + 1
        names.append(value[at:end])
        at = end
    return names


def table_entries(document: Document, name: str, place: str, base: Path) -> list[Entry]:
    """The entries of a table; of one that is compiled, those of its source text. What cannot be read is named.

    :param base: the directory that relative names are relative to.
    """
    kind, colon, rest = name.partition(":")
    if kind == "inline" and rest.strip().startswith("{"):
        return list(_inline(document, rest.strip(), place))
    if not colon or kind not in _TABLES:
        document.notice(place, f"the table {name} is not taken over: only inline and text tables can be read")
        return []
    path = base / rest
    try:
        text = read_text(path)
    except ConfigError as error:
        document.notice(place, f"the table {name} is not taken over: {error.message}")
        return []
    found: list[Entry] = []
    for number, line in logical_lines(text):
        key, *value = line.split(None, 1)
        found.append(Entry(key, value[0].strip() if value else "", f"{path.name}:{number}"))
    return found


def _inline(document: Document, text: str, place: str) -> Iterator[Entry]:
    """``{ key=value, { key = value with blanks } }``."""
    for item in table_names(text[1 : _closing(text, 0)]):
        inner = item[1 : _closing(item, 0)] if item.startswith("{") else item
        key, equals, value = inner.partition("=")
        if equals:
            yield Entry(key.strip(), value.strip(), place)
        else:
            document.notice(place, f"{item} is no entry of an inline table, and is not taken over")
