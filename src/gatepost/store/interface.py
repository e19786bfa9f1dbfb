"""The queue's durable store, as its users see it. Every backend passes ``tests/conformance/test_queue_store.py``.

All methods block, on the disk and at most a bounded time on another process's transaction. A store belongs to the
process that opened it, and to one thread at a time. Time is the store's own clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from gatepost.errors import StoreError
from gatepost.queue.item import BodyRef, Lease, NewMessage, Settlement
from gatepost.queue.status import BackupReport, MessageStatus, QueueCounts, Selection


class LeaseLost(StoreError):
    """An outcome was reported for a lease that is not held any more: it expired, or the operator dropped the message.

    Nothing of the call was recorded. Report again without these, and without the bounces that they caused.

    :param settlements: those whose lease is lost.
    """

    temporary = False

    def __init__(self, settlements: tuple[Settlement, ...]) -> None:
        super().__init__(
            f"{len(settlements)} outcomes came after their lease was lost",
            hint="lease for longer, or renew leases, if deliveries take so long",
        )
        self.settlements = settlements


class BodyWriter(Protocol):
    """Takes a body piece by piece: at most 64 KiB stay in memory, more goes to a file as it comes."""

    @property
    def length(self) -> int:
        """How many octets were written."""

    def write(self, data: bytes) -> None:
        """Take the next octets.

        :raises StoreError: the disk is full, or failed; the file is gone and the writer is finished.
        """

    def finish(self) -> BodyRef:
        """Make the body durable; when this returns, file and folder are synced.

        :raises StoreError: the disk is full, or failed; the file is gone.
        """

    def discard(self) -> None:
        """Drop the body: its message was refused, or could not be queued. Does nothing once it is queued."""


class QueueStore(Protocol):
    """The queue."""

    def body_writer(self, message_id: str) -> BodyWriter:
        """A writer for the body of the message with this id.

        :raises ValueError: when the id is not 1 to 64 of ``A-Za-z0-9._-``, beginning with a letter or digit.
        """

    def enqueue(self, messages: Sequence[NewMessage]) -> None:
        """COMMITTED: put a group of messages on disk in one transaction. When it returns they may be acknowledged.

        A message whose id is in the queue already is left as it is, so that a call may be repeated.

        :raises StoreError: nothing of the group is queued; answer 4xx.
        :raises ValueError: a message has no recipient.
        """

    def lease(
        self,
        owner: str,
        limit: int,
        seconds: float,
        *,
        exclude: Collection[str] = (),
        per_destination: int | None = None,
        destination: str | None = None,
    ) -> list[Lease]:
        """Take recipients that are due, oldest first, for ``seconds``. Empty when nothing is due.

        The recipients of one message at one destination that are due together are leased together, so ``limit`` and
        ``per_destination`` may be passed by the rest of such a group.

        :param owner: names the worker; unique among those that live.
        :param limit: how many.
        :param exclude: destinations to pass by: those that are busy. However much is due there, the cost stays flat.
        :param per_destination: at most so many of one destination, in this call.
        :param destination: only of this one, for a connection that is open.
        """

    def renew(self, leases: Sequence[Lease], seconds: float) -> int:
        """Extend leases to ``seconds`` from now; how many are still held."""

    def give_back(self, leases: Sequence[Lease]) -> int:
        """Return leases that were not attempted: due at once, and the attempt is not counted. Do not settle them."""

    def settle(self, settlements: Sequence[Settlement], bounces: Sequence[NewMessage] = ()) -> None:
        """SETTLED: record outcomes and queue reports to senders, all in one transaction.

        A message whose recipients are all final is removed with its body. A delivery is recorded whoever holds the
        lease; a deferral or failure only while it is held.

        :raises LeaseLost: some deferrals or failures came too late; nothing was recorded.
        :raises StoreError: nothing was recorded; call again, or the deliveries will be repeated.
        """

    def settle_noted(self, notes: Sequence[tuple[str, int]]) -> int:
        """Record deliveries of a worker that died before it settled them; how many were not recorded yet.

        :param notes: ids of messages, and positions of recipients. Those that are gone are left alone.
        """

    def bring_forward(self, wait: float, lease: float) -> int:
        """Make due now what a clock that was ahead has put off: attempts further away than any wait reaches, and leases
        that last longer than any does.

        :param wait: the longest wait, in seconds.
        :param lease: the longest lease, in seconds.
        :return: how many recipients.
        """

    def release_owner(self, owner: str) -> int:
        """Return every lease of a worker that is known to be gone; how many."""

    def next_due(self) -> float | None:
        """When the next recipient becomes due or the next lease expires; in the past when some are due now."""

    def open_body(self, body: BodyRef) -> Iterator[bytes]:
        """The body's octets in pieces, with CRLF line ends.

        :raises StoreError: its file is missing, or has another length (at once), or another SHA-256 (before the last
            piece, so that a damaged message is never completed).
        """

    def list(
        self, *, limit: int = 100, after: int = 0, state: str | None = None, destination: str | None = None
    ) -> Sequence[MessageStatus]:
        """Messages in the order of receipt, behind sequence ``after``, optionally those with a recipient in a state
        or at a destination."""

    def show(self, message_id: str) -> MessageStatus | None:
        """One message, or None when it is not queued."""

    def body_of(self, message_id: str) -> BodyRef | None:
        """The body of a queued message, for the operator to read."""

    def hold(self, selection: Selection) -> int:
        """Stop delivering these messages, from the next attempt on; how many are held by this that were not."""

    def release(self, selection: Selection) -> int:
        """End the hold of these messages: they are due now; how many."""

    def retry(self, selection: Selection) -> int:
        """Make these messages due now; how many were waiting."""

    def drop(self, selection: Selection) -> int:
        """Remove these messages, without a report to anyone; how many."""

    def counts(self) -> QueueCounts:
        """How much is queued."""

    def sweep(self) -> int:
        """Remove body files that no message names and no living process is writing; how many."""

    def check(self) -> Sequence[str]:
        """What is wrong with the store, one line each: damage, missing or altered bodies. Reads everything."""

    def backup(self, target: Path) -> BackupReport:
        """Copy the queue as it is at one moment into a new or empty folder, while others use it.

        :raises StoreError: the folder is not empty, the disk is full, or a body is damaged.
        """

    def close(self) -> None:
        """Close the store."""
