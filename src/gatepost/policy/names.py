"""Lists of domains and host names, as rules write them.

``example.com`` is that name, ``.example.com`` every name below it, ``*`` every name. Names are compared in lower case,
as A-labels where the mail system has them so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, final


@final
class NameList:
    """An immutable list of names.

    :param entries: see the module's text.
    """

    __slots__ = ("_exact", "_parents", "_universal", "entries")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self.entries: Final = tuple(entry.lower() for entry in entries)
        self._exact: Final = frozenset(entry for entry in self.entries if not entry.startswith("."))
        self._parents: Final = tuple(entry for entry in self.entries if entry.startswith("."))
        self._universal: Final = "*" in self._exact

    def matches(self, name: str) -> bool:
        """Whether the name is in the list; the empty name never is."""
        text = name.lower().removesuffix(".")
        if not text:
            return False
        return self._universal or text in self._exact or any(text.endswith(parent) for parent in self._parents)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NameList) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __repr__(self) -> str:
        return f"NameList({list(self.entries)!r})"
