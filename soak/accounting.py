"""What became of every message: who said yes to it, and where it is now.

A message is named by a token in its header. An acknowledged one must be, for each of its recipients, in a mailbox, at
the server that it was relayed to, in the queue, or in a bounce to its sender; more than once is a duplicate, which a
crash between a delivery and its commit may leave (at least once, never less).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TOKEN: Final = re.compile(rb"X-Soak: ([0-9a-f]{16})")


@dataclass(slots=True)
class Book:
    """Everything that was said and seen.

    :param acknowledged: token and recipient of every message that was answered with 250.
    :param unknown: those whose answer never came: they may be there, and need not be.
    :param fetched: what was read and deleted.
    :param perhaps_fetched: what was read, and may have been deleted.
    """

    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    unknown: set[tuple[str, str]] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    relayed: Counter[tuple[str, str]] = field(default_factory=Counter)
    fetched: Counter[tuple[str, str]] = field(default_factory=Counter)
    perhaps_fetched: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Balance:
    """The end.

    :param lost: acknowledged, and nowhere.
    :param duplicates: there more than once.
    :param unasked: there, though nobody said 250 and no answer was lost.
    """

    acknowledged: int
    delivered: int
    relayed: int
    bounced: int
    waiting: int
    lost: tuple[tuple[str, str], ...]
    duplicates: int
    twice_relayed: int
    unasked: int


def mail_of(data: Path) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """What lies in the mailboxes: token and mailbox of each message, and the tokens of bounces."""
    messages: Counter[tuple[str, str]] = Counter()
    bounces: Counter[str] = Counter()
    for folder in (data / "mail").glob("*/*/*"):
        if folder.name not in ("new", "cur"):
            continue
        address = f"{folder.parent.name}@{folder.parent.parent.name}"
        for path in folder.iterdir():
            octets = path.read_bytes()
            found = {match.decode() for match in TOKEN.findall(octets)}
            if octets.startswith(b"Return-Path: <>"):
                bounces.update(found)
            else:
                messages.update((token, address) for token in found)
    return messages, bounces


def balance(book: Book, data: Path, waiting: set[tuple[str, str]]) -> Balance:
    """Hold what was promised against what is there.

    :param waiting: token and recipient of what is still queued.
    """
    here, bounced = mail_of(data)
    here.update(book.fetched)
    here.update(book.perhaps_fetched - set(here))
    lost, duplicates, twice_relayed, delivered, relayed, returned = [], 0, 0, 0, 0, 0
    for promise in sorted(book.acknowledged):
        times = here[promise] + book.relayed[promise]
        delivered += here[promise] > 0
        relayed += book.relayed[promise] > 0
        duplicates += max(here[promise] - 1, 0)
        twice_relayed += max(book.relayed[promise] - 1, 0)
        if not times and bounced[promise[0]]:
            returned += 1
        elif not times and promise not in waiting:
            lost.append(promise)
    known = book.acknowledged | book.unknown
    unasked = sum(1 for each in (*here, *book.relayed) if each not in known)
    return Balance(
        len(book.acknowledged), delivered, relayed, returned, len(waiting & book.acknowledged), tuple(lost), duplicates,
        twice_relayed, unasked,
    )  # fmt: skip
