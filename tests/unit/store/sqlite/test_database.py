"""One SQLite file: opening, transactions, failures."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gatepost.errors import StoreError
from gatepost.store.sqlite.database import Database
from gatepost.store.sqlite.faults import StoreFault
from gatepost.store.sqlite.statements import migrations


def open_queue(path: Path, *, busy_seconds: float = 5.0) -> Database:
    return Database(path / "queue.db", "queue", busy_seconds=busy_seconds)


def pragma(db: Database, name: str) -> object:
    return db.connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_database_is_opened_for_durability(tmp_path: Path) -> None:
    """Write-ahead log, and a sync at every commit."""
    db = open_queue(tmp_path)
    assert (pragma(db, "journal_mode"), pragma(db, "synchronous")) == ("wal", 2)
    db.close()
    db.close()


def test_files_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    """Mail and password hashes are nobody else's to read, whatever the umask."""
    old = os.umask(0)
    try:
        db = open_queue(tmp_path / "data")
        db.write("take_numbers", (1,))
    finally:
        os.umask(old)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(tmp_path / "data")}
    assert set(modes.values()) == {0o600}, modes
    assert "queue.db-wal" in modes
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    db.close()


def test_migrations_run_once_and_set_the_version(tmp_path: Path) -> None:
    """The schema has a version; a second opening changes nothing."""
    open_queue(tmp_path).close()
    db = open_queue(tmp_path)
    assert pragma(db, "user_version") == len(migrations("queue"))
    db.close()


def test_database_of_a_newer_gatepost_is_refused(tmp_path: Path) -> None:
    """An older program does not write into a schema that it does not know."""
    db = open_queue(tmp_path)
    db.connection.execute("PRAGMA user_version=999")
    db.close()
    with pytest.raises(StoreFault, match="schema version 999") as caught:
        open_queue(tmp_path)
    assert (caught.value.reason, caught.value.temporary) == ("version", False)


def test_opening_at_once_from_many_threads_migrates_once(tmp_path: Path) -> None:
    """Processes that start together do not trip over each other's migration."""
    failures: list[StoreError] = []
    done: list[bool] = []

    def run() -> None:
        try:
            open_queue(tmp_path).close()
            done.append(True)
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, len(done)) == ([], 8)


def test_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    """An exception in the block rolls back, and the next transaction works."""
    db = open_queue(tmp_path)
    with pytest.raises(KeyError), db.writing("testing") as connection:
        connection.execute("UPDATE counter SET next = 77")
        raise KeyError
    assert db.rows("take_numbers", (1,)) == [(2,)]
    db.close()


def test_blocked_writer_fails_within_its_time_and_changes_nothing(tmp_path: Path) -> None:
    """Another connection that keeps the lock costs a bounded wait and one temporary error."""
    holder, other = open_queue(tmp_path), open_queue(tmp_path, busy_seconds=0.05)
    with holder.writing("holding"), pytest.raises(StoreFault) as caught:
        other.write("take_numbers", (5,))
    assert (caught.value.reason, caught.value.temporary) == ("busy", True)
    other.write("take_numbers", (5,))
    assert holder.rows("take_numbers", (1,)) == [(7,)]
    holder.close()
    other.close()


def test_foreign_program_that_keeps_the_lock_is_waited_for_in_bounds(tmp_path: Path) -> None:
    """An operator's sqlite3 shell knows nothing of turns; SQLite's own lock and time-out stand behind them."""
    db = open_queue(tmp_path, busy_seconds=0.05)
    shell = sqlite3.connect(db.path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFault) as caught:
        db.write("take_numbers", (1,))
    assert caught.value.reason == "busy"
    shell.execute("ROLLBACK")
    assert db.rows("take_numbers", (1,)) == [(2,)]
    shell.close()
    db.close()


def test_writer_that_dies_leaves_its_turn(tmp_path: Path) -> None:
    """A process killed inside a transaction holds up nobody, and what it wrote is gone."""
    db = open_queue(tmp_path, busy_seconds=30)
    script = (
        "import os, pathlib, signal, sys\n"
        "from gatepost.store.sqlite.database import Database\n"
        "db = Database(pathlib.Path(sys.argv[1]), 'queue')\n"
        "with db.writing('dying') as connection:\n"
        "    connection.execute('UPDATE counter SET next = 99')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(db.path)], check=False).returncode == -9
    assert db.rows("take_numbers", (1,)) == [(2,)]
    db.close()


def test_full_database_is_a_temporary_error_and_stores_nothing(tmp_path: Path) -> None:
    """SQLITE_FULL: the group is refused as a whole, and there is room again when there is room."""
    db = open_queue(tmp_path)
    pages = db.connection.execute("PRAGMA page_count").fetchone()[0]
    db.connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(StoreFault) as caught, db.writing("filling") as connection:
        connection.execute("UPDATE counter SET next = 50")
        connection.execute("CREATE TABLE big AS SELECT zeroblob(100000) AS octets")
    assert (caught.value.reason, caught.value.temporary) == ("full", True)
    assert "make room" in caught.value.hint
    db.connection.execute("PRAGMA max_page_count=1000000")
    assert db.rows("take_numbers", (1,)) == [(2,)]
    db.close()


def test_damaged_file_is_named_as_such(tmp_path: Path) -> None:
    """The operator is told that the file is damaged and where to read on."""
    (tmp_path / "queue.db").write_bytes(b"this is no database " * 1000)
    with pytest.raises(StoreFault) as caught:
        open_queue(tmp_path)
    assert caught.value.reason == "corrupt"
    assert "docs/queue.md" in caught.value.hint


def test_database_refuses_use_after_a_fork(tmp_path: Path) -> None:
    """SQLite's locks do not survive a fork; a child that tries is told, before it does harm."""
    db = open_queue(tmp_path)
    child = os.fork()
    if not child:
        try:
            db.write("take_numbers", (1,))
        except StoreError as error:
            os._exit(7 if getattr(error, "reason", "") == "fork" else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    db.close()


def test_data_version_changes_with_others_commits_only(tmp_path: Path) -> None:
    """A cache knows when to look again."""
    one, two = open_queue(tmp_path), open_queue(tmp_path)
    before = one.data_version()
    one.write("take_numbers", (1,))
    assert one.data_version() == before
    two.write("take_numbers", (1,))
    assert one.data_version() != before
    one.close()
    two.close()


def test_reading_sees_one_moment(tmp_path: Path) -> None:
    """Queries of one reading transaction agree with each other while others write."""
    one, two = open_queue(tmp_path), open_queue(tmp_path)
    with one.reading("testing") as connection:
        first = connection.execute("SELECT next FROM counter").fetchall()
        two.write("take_numbers", (9,))
        assert connection.execute("SELECT next FROM counter").fetchall() == first
    one.checkpoint()
    assert one.check() == []
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("name", "parameters", "index"),
    [
        ("due", (0, 1), "recipient_due"),
        ("due_at_destination", ("x", 0, 1), "recipient_destination"),
        ("destination_after", ("x",), "recipient_destination"),
        ("first_due", (), "recipient_due"),
        ("first_expiry", (), "recipient_leased"),
        ("return_expired", (0, 0), "recipient_leased"),
        ("count_waiting", (), "recipient_due"),
        ("count_held", (), "recipient_held"),
        ("body_is_named", ("x",), "message_body_file"),
        ("select_by_id", ("x",), "sqlite_autoindex_message_1"),
    ],
)
def test_hot_queries_use_their_index(tmp_path: Path, name: str, parameters: tuple[object, ...], index: str) -> None:
    """The cost of a lease stays flat as the queue grows: no query of it reads a table through."""
    db = open_queue(tmp_path)
    plan = [row[3] for row in db.connection.execute("EXPLAIN QUERY PLAN " + db.sql[name], parameters)]
    assert any(f"INDEX {index}" in step for step in plan), plan
    assert not any(step.startswith("SCAN") and "INDEX" not in step for step in plan), plan
    if name.startswith(("due", "first_due")):
        assert not any("TEMP B-TREE" in step for step in plan), plan
    db.close()
