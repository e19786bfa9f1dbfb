"""Lists of mailboxes, as rules write them: mailboxes, domains, users of every domain, and the null path.

Compared in lower case, local parts too: RFC 5321 §2.4 lets a local part be case-sensitive, but nobody who writes a rule
means that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from gatepost.greylist.facts import NULL_PATH
from gatepost.policy.names import NameList


@final
class MailboxList:
    """An immutable list of mailboxes.

    :param entries: ``user@example.com``, ``example.com``, ``.example.com``, ``user@``, ``<>`` or ``*``, which does not
        include ``<>``.
    """

    __slots__ = ("_domains", "_mailboxes", "_null", "_users", "entries")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self.entries: Final = tuple(entry.lower() for entry in entries)
        whole = [entry for entry in self.entries if "@" in entry]
        self._mailboxes: Final = frozenset(entry for entry in whole if not entry.endswith("@"))
        self._users: Final = frozenset(entry for entry in whole if entry.endswith("@"))
        self._null: Final = NULL_PATH in self.entries
        self._domains: Final = NameList(entry for entry in self.entries if "@" not in entry and entry != NULL_PATH)

    def matches(self, mailbox: str) -> bool:
        """Whether a mailbox is in the list; the empty one is the null path."""
        if not mailbox:
            return self._null
        text = mailbox.lower()
        local, _, domain = text.rpartition("@")
        return text in self._mailboxes or f"{local}@" in self._users or self._domains.matches(domain)
