"""Between the queue's values and the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gatepost.queue.item import BodyRef, FileBody, InlineBody, Lease, NewMessage, QueuedMessage
from gatepost.queue.states import RecipientState
from gatepost.queue.status import MessageStatus, RecipientStatus
from gatepost.store.sqlite.database import Row

_QUEUED: Final = RecipientState.QUEUED.value
_HELD: Final = RecipientState.HELD.value
_LEASED: Final = RecipientState.LEASED.value

LEASE_WIDTH: Final = 7  # columns of ``load`` that are the recipient's; the message's follow


def message_rows(messages: Sequence[NewMessage], first: int, now: float) -> tuple[list[Row], list[Row]]:
    """The rows of a group: messages, and recipients that are due at once.

    :param first: the first message's number; the others follow.
    :raises ValueError: when a message has no recipient: nothing would ever remove it.
    """
    rows: list[Row] = []
    recipients: list[Row] = []
    sequence = first
    for m in messages:
        body = m.body
        name = digest = octets = None
        if type(body) is InlineBody:
            octets = body.octets
            length = len(octets)
        else:
            assert type(body) is FileBody
            name, length, digest = body.name, body.length, body.sha256
        rows.append(
            (
                *(sequence, m.id, m.received_at, m.sender, m.size, m.origin, m.smtputf8, m.eightbit, m.ret, m.envid),
                *(m.hold, name, length, digest, octets),
            )
        )
        if not m.recipients:
            raise ValueError(f"message {m.id} has no recipients")
        state = _HELD if m.hold else _QUEUED
        for position, r in enumerate(m.recipients):
            notify = r.notify if r.notify is None else ",".join(sorted(r.notify))
            recipients.append(
                (sequence, position, state, now, r.destination, r.kind, r.address, r.original, notify, r.orcpt)
            )
        sequence += 1
    return rows, recipients


def body_of(name: str | None, length: int, digest: str | None, octets: bytes | None) -> BodyRef:
    """The body that four columns describe."""
    if name is None:
        return InlineBody(octets or b"")
    return FileBody(name, length, digest or "")


def queued_message(row: Row) -> QueuedMessage:
    """The message of a row of ``load``, without what is the lease's."""
    sequence, message_id, received_at, sender, size, origin, smtputf8, eightbit, ret, envid = row[:10]
    body = body_of(*row[10:])
    return QueuedMessage(
        sequence, message_id, received_at, sender, body, size, origin, bool(smtputf8), eightbit, ret, envid
    )


def lease(message: QueuedMessage, position: int, destination: str, owner: str, expires: float, row: Row) -> Lease:
    """The lease of a row of ``load`` or ``load_recipient``, as it is when ``take`` has made it one."""
    address, kind, notify, orcpt, original, attempts, warned = row[:LEASE_WIDTH]
    wanted = None if notify is None else frozenset(notify.split(","))
    return Lease(
        message, position, address, destination, kind, wanted, orcpt, original, attempts + 1, bool(warned), owner,
        expires,
    )  # fmt: skip


def message_status(row: Row, recipients: Iterable[Sequence[Any]]) -> MessageStatus:
    """The operator's view of a row of ``list_after`` or ``show_message``."""
    sequence, message_id, received_at, sender, size, origin, hold, name, length, digest = row
    body = None if name is None else FileBody(name, length, digest)
    found = tuple(recipient_status(recipient) for recipient in recipients)
    return MessageStatus(sequence, message_id, received_at, sender, size, origin, bool(hold), body, found)


def recipient_status(row: Sequence[Any]) -> RecipientStatus:
    """The operator's view of a row of ``show_recipients``."""
    position, address, destination, original, state, next_attempt, attempts, owner, expires, reply, remote, tls = row
    when = None if state == _HELD else expires if state == _LEASED else next_attempt
    return RecipientStatus(position, address, destination, original, state, when, attempts, owner, reply, remote, tls)
