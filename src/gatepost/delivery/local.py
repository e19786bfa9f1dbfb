"""Final delivery: from the queue into a Maildir here.

What is added, and only here (RFC 5321 §4.4): ``Return-Path:`` with the envelope sender, and ``Delivered-To:`` with the
mailbox. A message that already carries the ``Delivered-To:`` of the same mailbox has come round: it fails with 5.4.6.

The recipient's address is a mailbox's name: aliases were resolved when the message was taken. Everything blocks (files
are synced), so the worker calls ``deliver`` in a thread, a batch at a time. A full disk, or any other failure to store,
is temporary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

from gatepost.errors import GatepostError, LocalProtocolError, StoreError
from gatepost.mailbox import Delivery, deliver_many, mailbox_root, unique_name
from gatepost.queue.item import BodyRef, InlineBody, Lease
from gatepost.queue.outcome import Outcome, deferred, delivered, failed

_HEADER_LIMIT: Final = 1 << 18  # octets of a header that are searched for Delivered-To
_DELIVERED_TO: Final = re.compile(rb"(?:\A|\n)delivered-to:[ \t]*([^\r\n]*)", re.IGNORECASE)
_HEADER_END: Final = b"\r\n\r\n"

OpenBody: TypeAlias = Callable[[BodyRef], Iterable[bytes]]
REMOTE: Final = "mailbox"  # what stands in the outcome where a server's name would


class MailboxDelivery:
    """Delivers into the mailboxes under one data directory.

    :param data: the data directory.
    :param hostname: our name, part of the files' names.
    :param open_body: how the content of a message is read; called in the thread that delivers.
    :param arrived: called there with each lease whose message can be seen in its mailbox from now on.
    """

    __slots__ = ("_arrived", "_data", "_hostname", "_open_body")

    def __init__(
        self, data: Path, hostname: str, open_body: OpenBody, arrived: Callable[[Lease], None] = lambda lease: None
    ) -> None:
        self._data = data
        self._hostname = hostname
        self._open_body = open_body
        self._arrived = arrived

    def deliver(self, leases: Sequence[Lease]) -> list[Outcome]:
        """Deliver a batch. Blocks.

        :return: what became of each, in order. Never raises for one message's fault.
        """
        outcomes: list[Outcome | None] = []
        batch: list[Delivery] = []
        for lease in leases:
            prepared = self._prepare(lease)
            if isinstance(prepared, Delivery):
                batch.append(prepared)
                outcomes.append(None)
            else:
                outcomes.append(prepared)
        stored = iter(self._store(batch))
        return [next(stored) if outcome is None else outcome for outcome in outcomes]

    def _prepare(self, lease: Lease) -> Delivery | Outcome:
        message = lease.message
        try:
            root = mailbox_root(self._data, lease.address)
            begin, rest = _peek(
                (message.body.octets,) if isinstance(message.body, InlineBody) else self._open_body(message.body)
            )
        except LocalProtocolError as error:
            return failed(str(error), enhanced="5.1.3", remote=REMOTE)
        except (GatepostError, OSError) as error:
            return deferred(f"the message's content cannot be read: {error}", enhanced="4.3.0", remote=REMOTE)
        if _been_here(begin.partition(_HEADER_END)[0], lease.address):
            return failed(
                f"mail for {lease.address} loops: it was delivered there before", enhanced="5.4.6", remote=REMOTE
            )
        unique = unique_name(message.received_at, message.id, lease.address, self._hostname)
        added = f"Return-Path: <{message.sender}>\r\nDelivered-To: {lease.address}\r\n"
        whole = chain((added.encode("utf-8", "surrogateescape") + begin,), rest)  # in one piece: mostly it is all
        return Delivery(root, whole, unique, lease.attempts == 1, partial(self._arrived, lease))

    def _store(self, batch: Sequence[Delivery]) -> Iterator[Outcome]:
        for result in deliver_many(batch) if batch else ():
            if isinstance(result, StoreError):
                yield deferred(str(result), enhanced="4.2.0", remote=REMOTE)
            else:
                yield delivered(code=0, text="stored in the mailbox", remote=REMOTE)


def _peek(content: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The beginning of the content, with the header section as far as it is searched, and the rest."""
    chunks = iter(content)
    begin = b""
    for chunk in chunks:
        begin += chunk
        if _HEADER_END in begin or len(begin) >= _HEADER_LIMIT:
            break
    return begin, chunks


def _been_here(header: bytes, address: str) -> bool:
    """Whether the header says that the message was delivered to this mailbox before."""
    ours = address.lower()
    return any(
        found.decode("utf-8", "replace").strip(" \t<>").lower() == ours for found in _DELIVERED_TO.findall(header)
    )
