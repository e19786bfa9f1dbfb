"""The queue in one SQLite file and one folder of bodies: enqueue, lease, settle.

Each of the three is one transaction. What the operator does is in ``operator``, the copy in ``backup``.

SECURITY: reads and writes ``queue.db`` and ``queue/bodies`` in the data directory, nothing else. What peers sent is
bound to statements as parameters, never put into SQL, and names no file: bodies are named by our own message ids.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from gatepost.queue.item import BodyRef, FileBody, InlineBody, Lease, NewMessage, QueuedMessage, Settlement
from gatepost.queue.outcome import Result
from gatepost.queue.states import Moment
from gatepost.queue.status import BackupReport, MessageStatus, QueueCounts, Selection
from gatepost.store.interface import LeaseLost
from gatepost.store.sqlite import rows
from gatepost.store.sqlite.backup import back_up
from gatepost.store.sqlite.bodies import BodyFiles, BodyFileWriter, Witness
from gatepost.store.sqlite.choosing import Chooser
from gatepost.store.sqlite.database import BUSY_SECONDS, Database, Row
from gatepost.store.sqlite.faults import StoreFault
from gatepost.store.sqlite.operator import Operator

CHECKPOINT_PAGES: Final = 4000  # 16 MiB of write-ahead log; see docs/queue.md for what was measured
RESERVE: Final = 32 * 1024 * 1024  # octets of the disk: twice the write-ahead log between two checkpoints
BODY_BUDGET: Final = 32 * 1024 * 1024  # octets of bodies in rows that one lease may bring into memory


class SQLiteQueue:
    """The queue under a data directory. See ``QueueStore`` for what each method promises.

    :param data: the data directory; ``queue.db`` and ``queue/bodies`` are made in it.
    :param clock: tells the time in seconds since the Unix epoch.
    :param busy_seconds: how long to wait for another process's transaction.
    :param reserve: octets of the disk that ``enqueue`` and ``body_writer`` leave free, so that what is queued can still
        be delivered on a disk that is otherwise full.
    :param witness: is told of each ``Moment``; for crash tests.
    :raises StoreError: it cannot be opened.
    """

    __slots__ = ("_bodies", "_chooser", "_clock", "_db", "_operator", "_witness")

    def __init__(
        self,
        data: Path,
        *,
        clock: Callable[[], float] = time.time,
        busy_seconds: float = BUSY_SECONDS,
        reserve: int = RESERVE,
        witness: Witness | None = None,
    ) -> None:
        self._db: Final = Database(
            data / "queue.db", "queue", busy_seconds=busy_seconds, checkpoint_pages=CHECKPOINT_PAGES
        )
        self._bodies: Final = BodyFiles(data / "queue" / "bodies", witness, reserve=reserve)
        self._clock: Final = clock
        self._witness: Final = witness
        self._chooser: Final = Chooser(self._db.sql)
        self._operator: Final = Operator(self._db, self._bodies, clock)

    def close(self) -> None:
        self._bodies.close()
        self._db.close()

    # Acceptance ------------------------------------------------------------------------------------------------------

    def body_writer(self, message_id: str) -> BodyFileWriter:
        return self._bodies.writer(message_id)

    def enqueue(self, messages: Sequence[NewMessage]) -> None:
        self._bodies.check_room()
        files = [m.body.name for m in messages if type(m.body) is FileBody]
        try:
            try:
                self._enqueue(messages, repeated=False)
            except StoreFault as fault:
                if fault.reason != "constraint":
                    raise
                self._enqueue(messages, repeated=True)
        except StoreFault as fault:
            if fault.reason == "io":  # a commit whose sync failed may yet be found after a crash: a sweep will know
                for name in files:
                    self._bodies.committed(name)
            raise
        for name in files:
            self._bodies.committed(name)

    def _enqueue(self, messages: Sequence[NewMessage], *, repeated: bool) -> None:
        with self._db.writing("enqueuing") as connection:
            self._insert(connection, self._unknown(connection, messages) if repeated else messages)
            if self._witness is not None:
                self._witness(Moment.ENQUEUE_WRITTEN)
        if self._witness is not None:
            self._witness(Moment.COMMITTED)

    def _insert(self, connection: sqlite3.Connection, messages: Sequence[NewMessage]) -> None:
        if not messages:
            return
        sql, count = self._db.sql, len(messages)
        ((following,),) = connection.execute(sql["take_numbers"], (count,))
        found, recipients = rows.message_rows(messages, following - count, self._clock())
        connection.executemany(sql["insert_message"], found)
        connection.executemany(sql["insert_recipient"], recipients)

    def _unknown(self, connection: sqlite3.Connection, messages: Sequence[NewMessage]) -> list[NewMessage]:
        """Those that are not queued yet, each once."""
        known = self._db.sql["known"]
        found = {m.id: m for m in messages if connection.execute(known, (m.id,)).fetchone() is None}
        return list(found.values())

    # Leases ----------------------------------------------------------------------------------------------------------

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
        now = self._clock()
        due = self.next_due()
        if due is None or due > now:
            return []
        with self._db.writing("leasing") as connection:
            connection.execute(self._db.sql["return_expired"], (now, now))
            places = self._chooser.choose(
                connection, now, limit, exclude=exclude, per_destination=per_destination, destination=destination
            )
            leases = self._take(connection, places, owner, now + seconds)
            if self._witness is not None:
                self._witness(Moment.LEASE_WRITTEN)
        if self._witness is not None:
            self._witness(Moment.LEASED)
        return leases

    def _take(
        self, connection: sqlite3.Connection, places: dict[tuple[int, int], str], owner: str, expires: float
    ) -> list[Lease]:
        """The leases of these recipients, as far as their bodies do not fill the memory."""
        load, load_recipient = self._db.sql["load"], self._db.sql["load_recipient"]
        execute = connection.execute
        messages: dict[int, QueuedMessage] = {}
        leases: list[Lease] = []
        held = 0
        for place, destination in places.items():
            sequence, position = place
            message = messages.get(sequence)
            if message is None:
                row = execute(load, place).fetchone()
                message = messages[sequence] = rows.queued_message(row[rows.LEASE_WIDTH :])
                if type(message.body) is InlineBody:
                    held += message.body.length
                    if held > BODY_BUDGET and leases:
                        break
            else:
                row = execute(load_recipient, place).fetchone()
            leases.append(rows.lease(message, position, destination, owner, expires, row))
        taken = [(owner, expires, lease.message.sequence, lease.position) for lease in leases]
        connection.executemany(self._db.sql["take"], taken)
        return leases

    def renew(self, leases: Sequence[Lease], seconds: float) -> int:
        expires = self._clock() + seconds
        return self._each("renew", [(expires, *_held(lease)) for lease in leases])

    def give_back(self, leases: Sequence[Lease]) -> int:
        now = self._clock()
        return self._each("give_back", [(now, *_held(lease)) for lease in leases])

    def bring_forward(self, wait: float, lease: float) -> int:
        now = self._clock()
        attempts = self._db.write("attempts_brought_forward", (now, now + wait))
        return attempts + self._db.write("leases_brought_forward", (now, now + lease))

    def release_owner(self, owner: str) -> int:
        return self._db.write("return_of_owner", (self._clock(), owner))

    def next_due(self) -> float | None:
        ((due,),) = self._db.rows("first_due")
        ((expiry,),) = self._db.rows("first_expiry")
        if due is None or expiry is None:
            return due if expiry is None else expiry  # type: ignore[no-any-return]
        return min(due, expiry)  # type: ignore[no-any-return]

    def _each(self, name: str, parameters: list[Row]) -> int:
        if not parameters:
            return 0
        with self._db.writing(name) as connection:
            return connection.executemany(self._db.sql[name], parameters).rowcount

    # Outcomes --------------------------------------------------------------------------------------------------------

    def settle(self, settlements: Sequence[Settlement], bounces: Sequence[NewMessage] = ()) -> None:
        try:
            removed = self._settle(settlements, bounces, repeated=False)
        except StoreFault as fault:
            if fault.reason != "constraint":
                raise
            removed = self._settle(settlements, bounces, repeated=True)
        for name in removed:
            self._bodies.remove(name)
        if self._witness is not None:
            self._witness(Moment.REMOVED)

    def settle_noted(self, notes: Sequence[tuple[str, int]]) -> int:
        if not notes:
            return 0
        recorded, removed = 0, list[str]()
        with self._db.writing("settling") as connection:
            execute, sql = connection.execute, self._db.sql
            for message, position in notes:
                place = execute(sql["select_by_id"], (message,)).fetchone()
                if place is None:
                    continue
                recorded += execute(sql["settle_delivered"], (*place, position)).rowcount
                (name,) = execute(sql["body_file"], place).fetchone()
                if execute(sql["remove_finished"], place).rowcount and name is not None:
                    removed.append(name)
        for name in removed:
            self._bodies.remove(name)
        return recorded

    def _settle(self, settlements: Sequence[Settlement], bounces: Sequence[NewMessage], *, repeated: bool) -> list[str]:
        """Record it all, and return the names of the body files that nothing names any more."""
        removed: list[str] = []
        with self._db.writing("settling") as connection:
            self._record(connection, settlements)
            inline: dict[int, tuple[int]] = {}
            files: dict[int, str] = {}
            for settlement in settlements:
                message = settlement.lease.message
                if type(message.body) is FileBody:
                    files[message.sequence] = message.body.name
                else:
                    inline[message.sequence] = (message.sequence,)
            finished = self._db.sql["remove_finished"]
            connection.executemany(finished, inline.values())
            for sequence, name in files.items():
                if connection.execute(finished, (sequence,)).rowcount:
                    removed.append(name)
            self._insert(connection, self._unknown(connection, bounces) if repeated else bounces)
            if self._witness is not None:
                self._witness(Moment.SETTLE_WRITTEN)
        if self._witness is not None:
            self._witness(Moment.SETTLED)
        return removed

    def _record(self, connection: sqlite3.Connection, settlements: Sequence[Settlement]) -> None:
        """Change the recipients' rows.

        :raises LeaseLost: rolls the transaction back.
        """
        delivered: list[Row] = []
        failed: list[Row] = []
        deferred: list[Row] = []
        for settlement in settlements:
            lease, outcome = settlement.lease, settlement.outcome
            if outcome.result is Result.DELIVERED:
                delivered.append((lease.message.sequence, lease.position))
            elif outcome.result is Result.FAILED:
                failed.append(_held(lease))
            else:
                if settlement.next_attempt is None:
                    raise ValueError("a deferral needs the time of the next attempt")
                deferred.append(
                    (
                        *(settlement.next_attempt, settlement.warned, outcome.reply, outcome.remote, outcome.tls),
                        *_held(lease),
                    )
                )
        sql, changed = self._db.sql, 0
        connection.executemany(sql["settle_delivered"], delivered)
        if failed:
            changed += connection.executemany(sql["settle_failed"], failed).rowcount
        if deferred:
            changed += connection.executemany(sql["settle_deferred"], deferred).rowcount
        if changed < len(failed) + len(deferred):
            connection.execute("ROLLBACK")
            raise LeaseLost(tuple(s for s in settlements if not self._settles(connection, s)))

    def _settles(self, connection: sqlite3.Connection, settlement: Settlement) -> bool:
        """Whether a settlement could be recorded now."""
        if settlement.outcome.result is Result.DELIVERED:
            return True
        return connection.execute(self._db.sql["still_leased"], _held(settlement.lease)).fetchone() is not None

    # Bodies, the operator's commands, the copy -----------------------------------------------------------------------

    def open_body(self, body: BodyRef) -> Iterator[bytes]:
        return self._bodies.open(body) if isinstance(body, FileBody) else iter((body.octets,))

    def list(
        self, *, limit: int = 100, after: int = 0, state: str | None = None, destination: str | None = None
    ) -> Sequence[MessageStatus]:
        return self._operator.list(limit=limit, after=after, state=state, destination=destination)

    def show(self, message_id: str) -> MessageStatus | None:
        return self._operator.show(message_id)

    def body_of(self, message_id: str) -> BodyRef | None:
        return self._operator.body_of(message_id)

    def hold(self, selection: Selection) -> int:
        return self._operator.hold(selection)

    def release(self, selection: Selection) -> int:
        return self._operator.release(selection)

    def retry(self, selection: Selection) -> int:
        return self._operator.retry(selection)

    def drop(self, selection: Selection) -> int:
        return self._operator.drop(selection)

    def counts(self) -> QueueCounts:
        return self._operator.counts()

    def check(self) -> Sequence[str]:
        return self._operator.check()

    def sweep(self) -> int:
        return self._bodies.sweep(lambda name: self._db.row("body_is_named", (name,)) is not None)

    def backup(self, target: Path) -> BackupReport:
        return back_up(self._db, self._bodies.folder, target)


def _held(lease: Lease) -> tuple[int, int, str, int]:
    """What proves that a lease is still held: nobody else has it, and it was not leased again since."""
    return lease.message.sequence, lease.position, lease.owner, lease.attempts
