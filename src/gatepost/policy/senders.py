"""Senders that are refused: addresses, domains, and domains with all below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final


@final
class SenderList:
    """An immutable list of senders.

    ``ann@example.org`` is that address, ``@example.org`` every address of that domain, ``.example.org`` every address
    of a domain below it. Letter case never counts, in local parts neither: capitals let nobody in.

    :param entries: domains in lower case and as A-labels.
    """

    __slots__ = ("_addresses", "_domains", "_parents", "entries")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self.entries: Final = tuple(entry.casefold() for entry in entries)
        self._parents: Final = frozenset(entry for entry in self.entries if entry.startswith("."))
        self._domains: Final = frozenset(entry for entry in self.entries if entry.startswith("@"))
        self._addresses: Final = frozenset(self.entries) - self._parents - self._domains

    def match(self, local: str, domain: str) -> str:
        """The entry that has an address; empty when none has.

        :param local: the local part, unquoted.
        :param domain: the domain as A-labels, without a trailing dot.
        """
        name = domain.lower()
        for entry, known in ((f"{local.casefold()}@{name}", self._addresses), (f"@{name}", self._domains)):
            if entry in known:
                return entry
        at = name.find(".") if self._parents else -1
        while at >= 0:
            if name[at:] in self._parents:
                return name[at:]
            at = name.find(".", at + 1)
        return ""

    def __bool__(self) -> bool:
        return bool(self.entries)
