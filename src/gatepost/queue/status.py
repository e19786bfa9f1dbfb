"""What the operator sees of the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from gatepost.queue.item import FileBody


@final
@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """One recipient as the operator sees it.

    :param state: the value of a ``RecipientState``.
    :param next_attempt: when it is tried next; for a leased one, when its lease expires; None while held.
    :param reply: the other side's last reply, or why it was not reached; None before the first attempt.
    :param remote: who said so.
    :param tls: how that connection was secured.
    """

    position: int
    address: str
    destination: str
    original: str | None
    state: str
    next_attempt: float | None
    attempts: int
    owner: str | None
    reply: str | None
    remote: str | None
    tls: str | None


@final
@dataclass(frozen=True, slots=True)
class MessageStatus:
    """One message as the operator sees it, without its body.

    :param sequence: its place in the order of receipt; ``list`` continues behind it.
    :param hold: whether the operator, or the configuration, holds it.
    :param body: its file, or None when the body is in the row.
    :param recipients: those not yet final.
    """

    sequence: int
    id: str
    received_at: float
    sender: str
    size: int
    origin: str
    hold: bool
    body: FileBody | None
    recipients: tuple[RecipientStatus, ...]


@final
@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How much is queued: messages, and recipients by state.

    :param oldest: when the oldest message was received, or None when the queue is empty.
    """

    messages: int
    oldest: float | None
    queued: int
    leased: int
    deferred: int
    held: int


@final
@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages a command is about: those named, those with a recipient at a destination, or all.

    :raises ValueError: unless exactly one of the three is given.
    """

    ids: tuple[str, ...] = ()
    destination: str | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if bool(self.ids) + (self.destination is not None) + self.everything != 1:
            raise ValueError("select by ids, by destination, or everything: exactly one of the three")


@final
@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds.

    :param messages: how many messages.
    :param bodies: how many bodies in files.
    :param finished: messages that were delivered while the backup ran, and are left out of it.
    """

    messages: int
    bodies: int
    finished: int
