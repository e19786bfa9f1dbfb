"""Where in a TOML file each key stands.

``tomllib`` gives values without their places. This reads the same text once more for the places alone. It runs only on
text that ``tomllib`` has accepted, so it checks nothing; it follows the grammar of TOML 1.0 as far as places need it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Final, TypeAlias

Key: TypeAlias = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART: Final = re.compile(r'[ \t]*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|\'([^\']*)\')[ \t]*')
_STRING: Final = re.compile(
    r"""
      \"{3} (?:[^\\]|\\.)*? \"{3,5}  # multi-line basic
    | '{3} .*? '{3,5}                 # multi-line literal
    | \" (?:[^"\\]|\\.)* \"           # basic
    | ' [^']* '                       # literal
    """,
    re.DOTALL | re.VERBOSE,
)
_EQUALS: Final = re.compile(r"[ \t]*=[ \t]*")
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> dict[Key, int]:
    """The line, from 1, of every table, key and element of a list in a valid TOML text."""
    return _Reader(text).read()


class _Reader:
    __slots__ = ("_arrays", "_counted", "_line_now", "_lines", "_position", "_text")

    def __init__(self, text: str) -> None:
        self._text: Final = text
        self._position = self._counted = 0
        self._line_now = 1  # the line of position _counted
        self._lines: Final[dict[Key, int]] = {}
        self._arrays: Final[dict[Key, int]] = {}  # how many elements each array of tables has so far

    def read(self) -> dict[Key, int]:
        table: Key = ()
        while self._skip(_BLANK) < len(self._text):
            line = self._line()
            if self._text.startswith("[", self._position):
                table = self._header()
                self._lines.setdefault(table, line)
            else:
                self._pair(table)
        return self._lines

    def _line(self) -> int:
        self._line_now += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._line_now

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._position)
        self._position = match.end() if match else self._position + 1
        return self._position

    def _header(self) -> Key:
        """``[a.b]`` or ``[[a.b]]``: the table's key, with the number of the element for arrays of tables."""
        array = self._text.startswith("[[", self._position)
        self._position += 2 if array else 1
        names = self._dotted()
        self._position += 2 if array else 1
        key: Key = ()
        for name in names[:-1]:
            key = (*key, name)
            if key in self._arrays:
                key = (*key, self._arrays[key] - 1)
        key = (*key, names[-1])
        if array:
            self._lines.setdefault(key, self._line())
            self._arrays[key] = self._arrays.get(key, 0) + 1
            key = (*key, self._arrays[key] - 1)
        return key

    def _dotted(self) -> list[str]:
        names = []
        while match := _KEY_PART.match(self._text, self._position):
            bare, quoted, literal = match.groups()
            if quoted is not None and "\\" in quoted:
                quoted = tomllib.loads(f'name = "{quoted}"')["name"]
            names.append(next(part for part in (bare, quoted, literal) if part is not None))
            self._position = match.end()
            if not self._text.startswith(".", self._position):
                break
            self._position += 1
        return names

    def _pair(self, table: Key) -> None:
        """``a.b = value``."""
        line = self._line()
        key = table
        for name in self._dotted():
            key = (*key, name)
            self._lines.setdefault(key, line)
        self._skip(_EQUALS)
        self._value(key)

    def _value(self, key: Key) -> None:
        opening = self._text[self._position : self._position + 1]
        if opening == "[":
            self._list("]", lambda index: self._element((*key, index)))
        elif opening == "{":
            self._list("}", lambda _: self._pair(key))
        elif opening in ("'", '"'):
            self._skip(_STRING)
        else:
            self._skip(_SCALAR)

    def _element(self, key: Key) -> None:
        self._lines[key] = self._line()
        self._value(key)

    def _list(self, closing: str, item: Callable[[int], None]) -> None:
        self._position += 1
        index = 0
        while self._skip(_BLANK) < len(self._text) and not self._text.startswith(closing, self._position):
            if self._text.startswith(",", self._position):
                self._position += 1
                continue
            item(index)
            index += 1
        self._position += 1
