"""What the operator does with the queue: look, hold, release, retry, drop, count, check.

A command over many messages runs in transactions of a few hundred messages each, so that mail goes on being accepted
and delivered beside it. A command that is interrupted has done a part, and is given again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gatepost.errors import StoreError
from gatepost.queue.item import BodyRef, FileBody
from gatepost.queue.states import RecipientState
from gatepost.queue.status import MessageStatus, QueueCounts, Selection
from gatepost.store.sqlite import rows
from gatepost.store.sqlite.bodies import BodyFiles
from gatepost.store.sqlite.database import Database

SLICE: Final = 500  # messages in one transaction

Action = Callable[[sqlite3.Connection, int], bool]


class Operator:
    """The operator's commands. See ``QueueStore`` for what each promises."""

    __slots__ = ("_bodies", "_clock", "_db")

    def __init__(self, db: Database, bodies: BodyFiles, clock: Callable[[], float]) -> None:
        self._db: Final = db
        self._bodies: Final = bodies
        self._clock: Final = clock

    def list(self, *, limit: int, after: int, state: str | None, destination: str | None) -> Sequence[MessageStatus]:
        found: list[MessageStatus] = []
        while len(found) < limit:
            with self._db.reading("listing") as connection:
                slice_ = connection.execute(self._db.sql["list_after"], (after, SLICE)).fetchall()
                for row in slice_:
                    after = row[0]
                    status = self._status(connection, row)
                    if any(
                        state in (None, r.state) and destination in (None, r.destination) for r in status.recipients
                    ):
                        found.append(status)
                        if len(found) == limit:
                            return found
            if len(slice_) < SLICE:
                break
        return found

    def show(self, message_id: str) -> MessageStatus | None:
        with self._db.reading("showing") as connection:
            row = connection.execute(self._db.sql["show_message"], (message_id,)).fetchone()
            return None if row is None else self._status(connection, row)

    def body_of(self, message_id: str) -> BodyRef | None:
        row = self._db.row("show_body", (message_id,))
        return None if row is None else rows.body_of(*row)

    def hold(self, selection: Selection) -> int:
        def hold(connection: sqlite3.Connection, sequence: int) -> bool:
            changed = connection.execute(self._db.sql["hold_message"], (1, sequence, 1)).rowcount
            connection.execute(self._db.sql["hold_recipients"], (sequence,))
            return changed > 0

        return self._apply("holding", selection, hold)

    def release(self, selection: Selection) -> int:
        now = self._clock()

        def release(connection: sqlite3.Connection, sequence: int) -> bool:
            changed = connection.execute(self._db.sql["hold_message"], (0, sequence, 0)).rowcount
            connection.execute(self._db.sql["release_recipients"], (now, sequence))
            return changed > 0

        return self._apply("releasing", selection, release)

    def retry(self, selection: Selection) -> int:
        now = self._clock()

        def retry(connection: sqlite3.Connection, sequence: int) -> bool:
            return connection.execute(self._db.sql["retry_recipients"], (now, sequence)).rowcount > 0

        return self._apply("retrying", selection, retry)

    def drop(self, selection: Selection) -> int:
        files: list[str] = []

        def drop(connection: sqlite3.Connection, sequence: int) -> bool:
            row = connection.execute(self._db.sql["body_file"], (sequence,)).fetchone()
            if row is None:
                return False
            if row[0] is not None:
                files.append(row[0])
            connection.execute(self._db.sql["drop_recipients"], (sequence,))
            connection.execute(self._db.sql["drop_message"], (sequence,))
            return True

        def committed() -> None:
            for name in files:
                self._bodies.remove(name)
            files.clear()

        return self._apply("dropping", selection, drop, committed)

    def counts(self) -> QueueCounts:
        with self._db.reading("counting") as connection:
            (messages,) = connection.execute(self._db.sql["count_messages"]).fetchone()
            oldest = connection.execute(self._db.sql["oldest_message"]).fetchone()
            waiting = dict(connection.execute(self._db.sql["count_waiting"]).fetchall())
            (leased,) = connection.execute(self._db.sql["count_leased"]).fetchone()
            (held,) = connection.execute(self._db.sql["count_held"]).fetchone()
        return QueueCounts(
            messages=messages,
            oldest=oldest[0] if oldest else None,
            queued=waiting.get(RecipientState.QUEUED.value, 0),
            leased=leased,
            deferred=waiting.get(RecipientState.DEFERRED.value, 0),
            held=held,
        )

    def check(self) -> Sequence[str]:
        problems = [f"{self._db.path}: {line}" for line in self._db.check()]
        if problems:
            return problems
        problems = [f"message {row[0]}: has no recipients" for row in self._db.rows("messages_without_recipients")]
        orphans = self._db.rows("recipients_without_message")
        problems += [f"recipient {address} of message {sequence}: has no message" for sequence, address in orphans]
        for _, message_id, name, length, digest in self._db.rows("named_bodies"):
            try:
                for _ in self._bodies.open(FileBody(name, length, digest)):
                    pass
            except StoreError as error:
                if self._db.row("known", (message_id,)) is not None:  # it may have been delivered while we looked
                    problems.append(f"message {message_id}: {error}")
        return problems

    def _status(self, connection: sqlite3.Connection, row: tuple[object, ...]) -> MessageStatus:
        return rows.message_status(row, connection.execute(self._db.sql["show_recipients"], (row[0],)))

    def _apply(
        self, what: str, selection: Selection, action: Action, committed: Callable[[], None] = lambda: None
    ) -> int:
        """Run an action over the selected messages, a slice a transaction; how many it changed."""
        changed = 0
        for sequences in self._slices(selection):
            with self._db.writing(what) as connection:
                changed += sum(action(connection, sequence) for sequence in sequences)
            committed()
        return changed

    def _slices(self, selection: Selection) -> Iterator[Sequence[int]]:
        if selection.ids:
            wanted = [self._db.row("select_by_id", (name,)) for name in selection.ids]
            found = [row[0] for row in wanted if row is not None]
            for start in range(0, len(found), SLICE):
                yield found[start : start + SLICE]
            return
        after = 0
        while True:
            if selection.destination is None:
                slice_ = self._db.rows("select_after", (after, SLICE))
            else:
                slice_ = self._db.rows("select_of_destination_after", (after, selection.destination, SLICE))
            if not slice_:
                return
            after = slice_[-1][0]
            yield [row[0] for row in slice_]
