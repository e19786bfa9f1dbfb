"""The memory of greylisting under several processes, with a process killed, and what it costs."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.errors import StoreError
from gatepost.greylist.memory import Timing, Verdict
from gatepost.greylist.triplet import Triplet
from gatepost.store.greylist import Bounds
from gatepost.store.sqlite.greylist import SQLiteGreylist

T = 1_700_000_000.0
MANY = 150
COUNTING = Bounds(auto_allow=10_000)
PROCESSES = 3

# Decides the same triplets as its siblings, beginning when it is told to; prints what it was told.
CHILD = f"""
import json, sys
from pathlib import Path
from gatepost.greylist.memory import Timing
from gatepost.greylist.triplet import Triplet
from gatepost.store.greylist import Bounds
from gatepost.store.sqlite.greylist import SQLiteGreylist

now = float(sys.argv[2])
store = SQLiteGreylist(Path(sys.argv[1]), clock=lambda: now, busy_seconds=60.0)
store.totals()
print("ready", flush=True)
sys.stdin.readline()
said = []
for number in range({MANY}):
    triplet = Triplet("192.0.2.0/24", f"s{{number}}@example.com", "bob@x.test")
    said.append(store.decide(triplet, Timing(), Bounds(auto_allow=10_000)).verdict.value)
store.close()
print(json.dumps(said))
"""


def _run_together(path: Path, now: float) -> list[list[str]]:
    """What each process was told of each triplet."""
    command = [sys.executable, "-c", CHILD, str(path), str(now)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return [json.loads(child.communicate(timeout=100)[0]) for child in children]


def test_processes_that_see_the_same_triplet_agree_on_who_was_first(tmp_path: Path) -> None:
    """Exactly one attempt of each is the first, exactly one passes, and each pass is counted once."""
    path = tmp_path / "greylist.db"
    first = _run_together(path, T)
    assert [sorted(verdicts) for verdicts in zip(*first, strict=True)] == [["early", "early", "new"]] * MANY
    second = _run_together(path, T + 300)
    assert [sorted(verdicts) for verdicts in zip(*second, strict=True)] == [["known", "known", "passed"]] * MANY
    store = SQLiteGreylist(path)
    assert [each.passes for each in store.networks(limit=9)] == [MANY]
    assert store.check() == []
    store.close()


def test_killed_process_loses_nothing_that_it_decided(tmp_path: Path) -> None:
    """SIGKILL between two decisions: what was decided is remembered, and the file is sound."""
    path = tmp_path / "greylist.db"
    script = CHILD.replace("store.close()", "print('decided', flush=True); sys.stdin.readline()")
    command = [sys.executable, "-c", script, str(path), str(T)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "decided\n"]
        os.kill(child.pid, signal.SIGKILL)
    store = SQLiteGreylist(path, clock=lambda: T + 1)
    assert (store.check(), store.totals().waiting) == ([], MANY)
    triplet = Triplet("192.0.2.0/24", "s0@example.com", "bob@x.test")
    assert store.decide(triplet, Timing(), COUNTING).verdict is Verdict.EARLY
    store.close()


def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It tells who writes to whom."""
    store = SQLiteGreylist(tmp_path / "greylist.db")
    store.totals()
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    store.close()


def test_memory_that_another_holds_is_given_up_in_time(tmp_path: Path) -> None:
    """A session does not wait for good; nothing was changed."""
    path = tmp_path / "greylist.db"
    holder, store = SQLiteGreylist(path), SQLiteGreylist(path, clock=lambda: T, busy_seconds=0.05)
    store.totals()
    triplet = Triplet("192.0.2.0/24", "a@example.com", "bob@x.test")
    with holder._open().writing("holding"), pytest.raises(StoreError):
        store.decide(triplet, Timing(), COUNTING)
    assert store.look(triplet) == (None, None)
    holder.close()
    store.close()


def test_full_disk_fails_for_strangers_and_for_nobody_else(tmp_path: Path) -> None:
    """Who is known is let in without a write; a stranger's attempt fails, and later works again."""
    now = T
    store = SQLiteGreylist(tmp_path / "greylist.db", clock=lambda: now)
    known, stranger = (Triplet("192.0.2.0/24", f"{name}@example.com", "bob@x.test") for name in "ab")
    store.decide(known, Timing(), COUNTING)
    now += 300
    assert store.decide(known, Timing(), COUNTING).verdict is Verdict.PASSED
    connection = store._open().connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full"):
        for number in range(1000):
            store.decide(stranger._replace(recipient=f"r{number}@x.test"), Timing(), COUNTING)
    assert store.decide(known, Timing(), COUNTING).verdict is Verdict.KNOWN
    connection.execute(f"PRAGMA max_page_count = {pages * 100}")
    assert store.decide(stranger, Timing(), COUNTING).verdict is Verdict.NEW
    store.close()


def test_row_has_one_size_whatever_is_in_the_addresses(tmp_path: Path) -> None:
    """A hundred strangers with addresses of 500 octets cost no more than 100 rows of 600 octets and their index."""
    store = SQLiteGreylist(tmp_path / "greylist.db", clock=lambda: T)
    for number in range(100):
        name = f"{number}{'ü' * 250}@{'d' * 250}.example"
        store.decide(Triplet("2001:db8::/64", name, name), Timing(), COUNTING)
    pages = store._open().connection.execute("PRAGMA page_count").fetchone()[0]
    assert pages * 4096 < 100 * 1200 + 20 * 4096
    store.close()


def test_expiry_looks_at_what_is_over_and_nothing_else(tmp_path: Path) -> None:
    """By an index: with a million rows a look that finds nothing must not read them all."""
    store = SQLiteGreylist(tmp_path / "greylist.db")
    database = store._open()
    plans = [
        database.connection.execute("EXPLAIN QUERY PLAN " + database.sql[name], {"low": 0, "high": 1, "limit": 9})
        for name in ("may_expire", "expire_triplets", "expire_networks")
    ]
    for plan in plans:
        details = [str(row[3]) for row in plan]
        assert any("_expiry (expires_at>? AND expires_at<?)" in detail for detail in details), details
        assert not any(detail.startswith("SCAN") and "CONSTANT" not in detail for detail in details), details
    store.close()
