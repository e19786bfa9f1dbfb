"""The directory of records: names, rights, the budget among processes, a disk that is full."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gatepost.record.shelf import NoRoom, OpenFile, Shelf

# Writes until it is killed: sessions as fast as the disk takes them. Arguments: directory, budget.
WRITER = """
import sys
from pathlib import Path
from gatepost.record.shelf import NoRoom, Shelf
shelf, file = Shelf(Path(sys.argv[1]), budget=int(sys.argv[2])), None
print("ready", flush=True)
for number in range(3000):
    try:
        if file is None or file.size > 20000:
            if file is not None:
                file.close()
            file = shelf.begin("mx", compressed=False)
        shelf.append(file, b"x" * (number * 37 % 3000) + b"\\n")
    except NoRoom:
        file.close()
        file = None
print("done", flush=True)
"""


def used(directory: Path) -> int:
    """Octets of all records, at one moment: nobody writes or removes meanwhile."""
    lock = os.open(directory / ".usage", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return sum(entry.stat().st_size for entry in os.scandir(directory) if ".jsonl" in entry.name)
    finally:
        os.close(lock)


def written(shelf: Shelf, octets: int) -> OpenFile:
    file = shelf.begin("mx", compressed=False)
    shelf.append(file, b"x" * octets)
    return file


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """The directory is 0700, each file 0600, and a name tells time, role and process."""
    old = os.umask(0)
    try:
        shelf = Shelf(tmp_path / "records", budget=1000)
        file = written(shelf, 10)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "records").stat().st_mode) == 0o700
    for path in (tmp_path / "records").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}\.\d{{6}}Z-mx-{os.getpid()}-1\.jsonl", file.path.name)


def test_oldest_finished_files_make_room(tmp_path: Path) -> None:
    """When the budget is used up, the oldest files go, as many as are needed, and no file that is being written."""
    shelf = Shelf(tmp_path, budget=1000)
    files = [written(shelf, 200) for _ in range(5)]
    for file in files[1:4]:
        file.close()
    shelf.append(files[4], b"y" * 150)
    left = sorted(tmp_path.glob("*.jsonl"))
    assert left == [file.path for file in files if file is not files[1]]
    assert used(tmp_path) == 950


def test_without_room_nothing_is_written(tmp_path: Path) -> None:
    """Where all files are being written, or the rest is not enough, the budget stands."""
    shelf = Shelf(tmp_path, budget=1000)
    one, other = written(shelf, 500), written(shelf, 400)
    with pytest.raises(NoRoom):
        shelf.append(one, b"x" * 101)
    assert used(tmp_path) == 900
    shelf.append(one, b"x" * 100)
    other.close()
    shelf.append(one, b"x" * 10)
    assert used(tmp_path) == 610


def test_files_that_are_no_records_are_left_alone(tmp_path: Path) -> None:
    """Nothing else in the directory is counted or removed, and no link is followed."""
    (tmp_path / "notes.jsonl").write_bytes(b"x" * 5000)
    target = tmp_path / "elsewhere"
    target.write_bytes(b"x" * 5000)
    (tmp_path / "20000101T000000.000000Z-mx-1-1.jsonl").symlink_to(target)
    shelf = Shelf(tmp_path, budget=1000)
    written(shelf, 900).close()
    written(shelf, 900)
    assert (tmp_path / "notes.jsonl").exists()
    assert target.exists()


def test_usage_that_is_too_high_is_put_right(tmp_path: Path) -> None:
    """Files that somebody else removed, or a process that was killed, cost no room for long."""
    shelf = Shelf(tmp_path, budget=1000)
    file = written(shelf, 900)
    file.close()
    file.path.unlink()
    written(shelf, 900)
    (tmp_path / ".usage").write_bytes(b"%020d" % 10**9)
    written(shelf, 90)
    (tmp_path / ".usage").write_bytes(b"nonsense")
    with pytest.raises(NoRoom):
        written(shelf, 20)


def test_old_files_are_removed_when_a_new_one_begins(tmp_path: Path) -> None:
    """``keep`` bounds how long a finished file stays, though there is room."""
    shelf = Shelf(tmp_path, budget=10000, keep=3600)
    old, running = written(shelf, 10), written(shelf, 10)
    old.close()
    for file in (old, running):
        os.utime(file.path, (time.time() - 7200, time.time() - 7200))
    new = shelf.begin("mx", compressed=False)
    assert sorted(tmp_path.glob("*.jsonl")) == sorted([running.path, new.path])


def test_write_that_fails_half_way_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes back what it had taken: the file ends where it ended, and the count with it."""
    shelf = Shelf(tmp_path, budget=1000)
    file = written(shelf, 100)
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) > 5:
            return real(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            shelf.append(file, b"y" * 10)
    assert file.path.read_bytes() == b"x" * 100
    assert int((tmp_path / ".usage").read_bytes()) == 100


def test_budget_holds_among_processes_that_write_and_die(tmp_path: Path) -> None:
    """Several processes write as fast as they can, some are killed meanwhile: never is there more than the budget."""
    budget = 200_000
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(budget)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        seen = 0
        while processes[-1].poll() is None:
            seen = max(seen, used(tmp_path))
            assert seen <= budget
            if seen > budget // 2:
                processes[0].kill()
            if seen > budget * 9 // 10:
                processes[1].kill()
        assert processes[-1].wait(60) == 0
        seen = max(seen, used(tmp_path))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert seen > budget // 2
    assert used(tmp_path) <= budget
    # All are gone, and so are their locks: what they left can make room.
    shelf = Shelf(tmp_path, budget=budget)
    file = shelf.begin("mx", compressed=False)
    shelf.append(file, b"x" * budget)
    assert used(tmp_path) == budget


def test_file_of_a_process_that_is_gone_is_finished(tmp_path: Path) -> None:
    """The lock of a file goes with whoever wrote it, so a crash leaves nothing that could never be removed."""
    shelf = Shelf(tmp_path, budget=1000)
    file = written(shelf, 10)
    other = os.open(file.path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.close()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
