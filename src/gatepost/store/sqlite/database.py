"""One SQLite file: how it is opened, migrated, written in transactions, and copied while in use.

Invariants
----------
* Write-ahead log with ``synchronous=FULL``: when a ``COMMIT`` returns, the write-ahead log was synced, and
  the transaction survives the loss of the process and of power (https://www.sqlite.org/wal.html).
* A writing transaction waits for its turn (``turn``), at most ``busy_seconds``, and begins with ``BEGIN IMMEDIATE``: it
  has the one write lock *before* it reads. A writer that waited too long has changed nothing.
* Several processes may have the file open. A ``Database`` belongs to the process that opened it: carrying SQLite's
  locks across a fork corrupts files (https://www.sqlite.org/howtocorrupt.html §2.6), so use after a fork is refused.
* Every failure is a ``StoreFault``; after one the transaction is rolled back.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from gatepost.store.sqlite.faults import StoreFault, from_sqlite, translating
from gatepost.store.sqlite.ownership import give_to_owner_of
from gatepost.store.sqlite.statements import migrations, statements
from gatepost.store.sqlite.turn import WriteTurn

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
Row: TypeAlias = tuple[Any, ...]

BUSY_SECONDS: Final = 5.0
CHECKPOINT_PAGES: Final = 1000
WAL_LIMIT: Final = 64 * 1024 * 1024  # a write-ahead log that grew beyond this is cut back when it is next reset
PAGE_SIZE: Final = 4096


class Database:
    """An open database file of one concern.

    :param path: the file; made, with its folder, readable by its owner only, when it does not exist.
    :param concern: names the SQL: ``sql/CONCERN.sql`` and ``sql/CONCERN_schema_NNN.sql``.
    :param busy_seconds: how long a writer waits for another process's transaction.
    :param checkpoint_pages: how many pages the write-ahead log holds before a commit moves them into the file.
    :param forget: overwrite deleted content with zeros, for secrets; costs writes.
    :param durable: sync each commit. Without it the last moments before a loss of power may be gone; the file is sound
        either way, and the loss of a process loses nothing.
    :raises StoreError: when it cannot be opened or migrated, or was made by a newer gatepost.
    """

    __slots__ = ("_connection", "_pid", "_turn", "path", "sql")

    def __init__(
        self,
        path: Path,
        concern: str,
        *,
        busy_seconds: float = BUSY_SECONDS,
        checkpoint_pages: int = CHECKPOINT_PAGES,
        page_size: int = PAGE_SIZE,
        forget: bool = False,
        durable: bool = True,
    ) -> None:
        self.path: Final = path
        self.sql: Final = statements(concern)
        self._pid: Final = os.getpid()
        with translating(f"{path}: opening"), _opening(path):
            # One thread at a time uses the connection; which one is the caller's affair.
            connection = sqlite3.connect(
                path, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            try:
                for pragma in (
                    f"page_size={page_size:d}",  # holds for a new file only
                    "auto_vacuum=NONE",
                    "journal_mode=WAL",
                    f"synchronous={'FULL' if durable else 'NORMAL'}",
                    "foreign_keys=OFF",
                    f"secure_delete={'ON' if forget else 'OFF'}",
                    f"wal_autocheckpoint={checkpoint_pages:d}",
                    f"journal_size_limit={WAL_LIMIT:d}",
                    "cache_size=-16384",
                    "temp_store=MEMORY",
                ):
                    connection.execute(f"PRAGMA {pragma}").fetchall()
                _migrate(connection, path, migrations(concern))
            except BaseException:
                connection.close()
                raise
            try:
                self._turn: Final = WriteTurn(path, busy_seconds)
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    def close(self) -> None:
        """Close the file. The last process to close it empties the write-ahead log."""
        if self._pid == os.getpid():
            with translating(f"{self.path}: closing"):
                self._connection.close()
            self._turn.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for statements inside ``writing`` or ``reading``.

        :raises StoreError: in a process that did not open it.
        """
        if self._pid != os.getpid():
            raise StoreFault(
                f"{self.path}: opened by process {self._pid}, used after a fork", reason="fork", temporary=False
            )
        return self._connection

    @contextmanager
    def writing(self, what: str) -> Iterator[sqlite3.Connection]:
        """A writing transaction: committed, and on disk, when the block ends; rolled back when it raises.

        :param what: what the transaction does, for the message of a failure.
        :raises StoreError: disk full, disk failure, or no write lock within ``busy_seconds``; nothing was changed.
        """
        connection = self.connection
        self._turn.take()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk has rolled back already
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise from_sqlite(error, f"{self.path}: {what}") from error
        finally:
            self._turn.give()

    @contextmanager
    def reading(self, what: str) -> Iterator[sqlite3.Connection]:
        """A reading transaction: every query of the block sees the same moment. Keep it short.

        :raises StoreError: disk failure or damage.
        """
        connection = self.connection
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise from_sqlite(error, f"{self.path}: {what}") from error

    def rows(self, name: str, parameters: Parameters = ()) -> list[Row]:
        """Run the named query outside a transaction and return all its rows."""
        try:
            return self.connection.execute(self.sql[name], parameters).fetchall()
        except sqlite3.Error as error:
            raise from_sqlite(error, f"{self.path}: {name}") from error

    def row(self, name: str, parameters: Parameters = ()) -> Row | None:
        """Run the named query outside a transaction and return its first row."""
        try:
            found: Row | None = self.connection.execute(self.sql[name], parameters).fetchone()
        except sqlite3.Error as error:
            raise from_sqlite(error, f"{self.path}: {name}") from error
        return found

    def write(self, name: str, parameters: Parameters = ()) -> int:
        """Run the named statement, one without RETURNING, in a transaction of its own; how many rows it changed."""
        with self.writing(name) as connection:
            return connection.execute(self.sql[name], parameters).rowcount

    def data_version(self) -> int:
        """A number that changes when *another* connection has committed (``PRAGMA data_version``)."""
        try:
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise from_sqlite(error, f"{self.path}: data_version") from error

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the file, as far as readers allow; never waits."""
        with translating(f"{self.path}: checkpoint"):
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def check(self) -> list[str]:
        """What SQLite's own check finds wrong with the file; empty when it is sound. Reads all of it."""
        with translating(f"{self.path}: checking"):
            found = [str(row[0]) for row in self.connection.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def backup_to(self, target: Path) -> None:
        """Copy the database as it is at one moment into a new file, synced, while other processes write.

        :param target: must not exist yet.
        :raises StoreError: when it exists, or cannot be written.
        """
        with translating(f"{target}: backing up"):
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                self.connection.backup(copy)  # all pages in one step: one reading transaction, one moment
                copy.execute("PRAGMA journal_mode=DELETE").fetchall()  # one file, no log beside it
            finally:
                copy.close()
            sync_file(target)
            sync_directory(target.parent)


def sync_file(path: Path) -> None:
    """``fsync`` a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """``fsync`` a directory, so that the names in it survive the loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Let one process at a time open and migrate the files of a folder; make the file for its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        # SQLite gives the log and the shared memory the mode of the file.
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            give_to_owner_of(path.parent, path)
        yield
        os.fsync(folder)
    finally:
        os.close(folder)


def _migrate(connection: sqlite3.Connection, path: Path, steps: Iterable[Sequence[str]]) -> None:
    """Bring the schema to the newest version, in one transaction; ``user_version`` says which it has."""
    wanted = list(steps)
    found = _version(connection)
    if found < len(wanted):
        connection.execute("BEGIN IMMEDIATE")
        try:
            found = _version(connection)
            for script in wanted[found:]:
                for statement in script:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={max(len(wanted), found):d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    if found > len(wanted):
        raise StoreFault(
            f"{path}: has schema version {found}, this gatepost knows up to {len(wanted)}",
            reason="version",
            hint="it was written by a newer gatepost: start that one, or restore the backup made before the upgrade",
            temporary=False,
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
