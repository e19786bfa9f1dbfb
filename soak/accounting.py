"""What became of every message: who said yes to it, and where it is now.

A message is named by a token in its header, and a promise is a token and a recipient that were answered with 250. Each
promise must be kept in exactly one way: in a mailbox (or fetched from it), at the server that it was relayed to, in a
bounce to its sender, or still in the queue. More than once is a duplicate, and ``causes`` says why.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from causes import UNEXPLAINED, History

TOKEN: Final = re.compile(rb"^X-Soak: ([0-9a-f]{16})\r?$", re.MULTILINE)
_ID: Final = re.compile(rb"^Received: (?:[^\n]|\n[ \t])*?\bid ([0-9a-f]+)", re.MULTILINE)
_FAILED: Final = re.compile(rb"^Final-Recipient: rfc822; ?([^\s]+)\r?$", re.MULTILINE | re.IGNORECASE)
_BOUNCE: Final = b"Return-Path: <>"

Promise: TypeAlias = tuple[str, str]


class Copy(NamedTuple):
    """A message that was found.

    :param token: its own name.
    :param message: what the queue called it.
    """

    token: str
    message: str


def read_copy(octets: bytes) -> Copy | None:
    """Read the names of a message; None for one that is not ours."""
    token, message = TOKEN.search(octets), _ID.search(octets)
    return None if token is None else Copy(token[1].decode(), message[1].decode() if message else "")


@dataclass(slots=True)
class Book:
    """Everything that was said and seen.

    :param acknowledged: what was answered with 250.
    :param unknown: what was sent and whose answer never came: it may be there, and need not be.
    :param relayed: what other servers took, and what the queue called it.
    :param fetched: what was read and then deleted by a QUIT that was answered.
    :param perhaps_fetched: what was read, and may have been deleted.
    """

    acknowledged: set[Promise] = field(default_factory=set)
    unknown: set[Promise] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    relayed: dict[Promise, list[str]] = field(default_factory=lambda: defaultdict(list))
    fetched: dict[Promise, list[str]] = field(default_factory=lambda: defaultdict(list))
    perhaps_fetched: dict[Promise, str] = field(default_factory=dict)


@dataclass(slots=True)
class Balance:
    """The end. The first five are disjoint and add up to what was acknowledged.

    :param lost: acknowledged, and nowhere.
    :param contradicted: bounced, though it arrived.
    :param again_here: further copies in mailboxes, by cause.
    :param again_there: further copies at other servers, by cause.
    :param side_by_side: messages of which two copies lie in one mailbox.
    :param unasked: there, though nobody said 250 and no answer was lost.
    """

    acknowledged: int = 0
    delivered: int = 0
    relayed: int = 0
    bounced: int = 0
    queued: int = 0
    lost: list[Promise] = field(default_factory=list)
    contradicted: list[Promise] = field(default_factory=list)
    again_here: Counter[str] = field(default_factory=Counter)
    again_there: Counter[str] = field(default_factory=Counter)
    side_by_side: list[Promise] = field(default_factory=list)
    unasked: list[Promise] = field(default_factory=list)
    unexplained: list[Promise] = field(default_factory=list)


def mail_of(data: Path) -> tuple[dict[Promise, list[str]], Counter[Promise]]:
    """What lies in the mailboxes: the messages, and who could not be reached according to the bounces."""
    messages: dict[Promise, list[str]] = defaultdict(list)
    bounces: Counter[Promise] = Counter()
    for folder in (data / "mail").glob("*/*/*"):
        if folder.name not in ("new", "cur"):
            continue
        address = f"{folder.parent.name}@{folder.parent.parent.name}"
        for path in folder.iterdir():
            octets = path.read_bytes()
            if (copy := read_copy(octets)) is None:
                continue
            if octets.startswith(_BOUNCE):
                bounces.update((copy.token, match.decode()) for match in _FAILED.findall(octets))
            else:
                messages[copy.token, address].append(copy.message)
    return messages, bounces


def balance(book: Book, data: Path, waiting: set[Promise], history: History) -> Balance:
    """Hold what was promised against what is there.

    :param waiting: what is still queued.
    """
    lying, bounces = mail_of(data)
    here = {promise: list(ids) for promise, ids in lying.items()}
    for promise, ids in book.fetched.items():
        here.setdefault(promise, []).extend(ids)
    for promise, message in book.perhaps_fetched.items():
        here.setdefault(promise, [message])
    found = Balance(acknowledged=len(book.acknowledged))
    for promise in sorted(book.acknowledged):
        _keep(found, promise, bool(here.get(promise)), bool(book.relayed.get(promise)), bounces, waiting)
    found.side_by_side = [promise for promise, ids in lying.items() if len(ids) > 1]
    for causes, copies in ((found.again_here, here), (found.again_there, book.relayed)):
        for promise, ids in copies.items():
            for cause in _why(history, promise, ids):
                causes[cause] += 1
                if cause == UNEXPLAINED:
                    found.unexplained.append(promise)
    known = book.acknowledged | book.unknown
    found.unasked = [each for each in (*here, *book.relayed) if each not in known]
    return found


def _keep(
    found: Balance, promise: Promise, here: bool, there: bool, bounces: Counter[Promise], waiting: set[Promise]
) -> None:
    if (here or there) and bounces[promise]:
        found.contradicted.append(promise)
    if here:
        found.delivered += 1
    elif there:
        found.relayed += 1
    elif bounces[promise]:
        found.bounced += 1
    elif promise in waiting:
        found.queued += 1
    else:
        found.lost.append(promise)


def _why(history: History, promise: Promise, ids: list[str]) -> list[str]:
    """A cause for each copy but the first. Two names in the queue for one message: it was taken twice, and nobody
    here sends a message twice."""
    if len(ids) < 2:
        return []
    if len(set(ids)) > 1:
        return [UNEXPLAINED] * (len(ids) - 1)
    return history.explain(ids[0], promise[1], len(ids))
