"""The queue and its thread: what is written, what is dropped, and that nobody waits."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from gatepost.record import writer as module
from gatepost.record.compression import available
from gatepost.record.errors import RecordError
from gatepost.record.events import Line, to_line
from gatepost.record.reading import record_files, sessions
from gatepost.record.writer import QUEUE_LIMIT, Plan, Writer


class Session:
    """Who records."""

    def __init__(self) -> None:
        self.dropped = 0


class Desk:
    """A writer, what it counts and what it tells."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.counted: Counter[str] = Counter()
        self.told: list[tuple[int, str]] = []
        plan = {"budget": 1 << 20, "rotate_size": 1 << 16, "rotate_every": 3600.0, **settings}
        self.writer = Writer(
            Plan(directory, **plan),  # type: ignore[arg-type]  # of many types
            "mx",
            lambda what, count: self.counted.update({what: count}),
            lambda events, reason: self.told.append((events, reason)),
        )
        self.session = Session()

    def put(self, number: int, size: int = 10) -> bool:
        line = Line(session="c1", serial=number, at=1.0, speaker="client", data=b"x" * size)
        return self.writer.put(to_line(line).decode(), self.session)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than it must be."""
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.001)


def serials(directory: Path) -> list[int]:
    return [event.serial for session in sessions([directory]) for event in session.events]


def test_everything_is_written_in_its_order(tmp_path: Path) -> None:
    """What was put is in the files when the writer has stopped, and files are begun as they grow."""
    desk = Desk(tmp_path, budget=1 << 22)
    for number in range(1, 1001):
        assert desk.put(number, 1000)
        if number % 100 == 0:
            threading.Event().wait(0.002)
    desk.writer.stop()
    assert serials(tmp_path) == list(range(1, 1001))
    assert len(record_files([tmp_path])) > 2
    assert desk.counted["written"] > 1000 * 1000
    assert desk.told == []


def test_nothing_is_made_before_there_is_something_to_write(tmp_path: Path) -> None:
    """A server that records nothing leaves no empty files."""
    Desk(tmp_path).writer.stop()
    assert record_files([tmp_path]) == []


def test_slow_disk_drops_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk hangs, the queue takes what it has room for, and the rest is refused at once."""
    hangs, real = threading.Event(), os.write

    def slow(descriptor: int, data: bytes) -> int:
        hangs.wait(60)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", slow)
    desk = Desk(tmp_path, budget=1 << 26)
    taken = sum(desk.put(number, 100_000) for number in range(1, 201))
    assert 0 < taken < 200
    assert taken * 100_000 <= QUEUE_LIMIT
    hangs.set()
    desk.writer.stop()
    assert serials(tmp_path) == list(range(1, taken + 1))


def test_full_disk_drops_counts_and_tells_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk refuses is counted as such, and in the session; what comes when it has room again is written."""
    full, real = True, os.write

    def write(descriptor: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(os, "write", write)
    desk = Desk(tmp_path)
    assert desk.put(1)
    while not desk.counted["disk"]:
        threading.Event().wait(0.001)
    full = False
    assert desk.put(2)
    desk.writer.stop()
    assert serials(tmp_path) == [2]
    assert (desk.session.dropped, desk.counted["disk"]) == (1, 1)
    assert desk.told == [(1, os.strerror(errno.ENOSPC))]


def test_budget_is_kept_by_giving_up_what_is_oldest(tmp_path: Path) -> None:
    """A process alone goes on recording for ever: its own finished files make room."""
    desk = Desk(tmp_path, budget=300_000, rotate_size=50_000)
    for number in range(1, 2001):
        assert desk.put(number, 1000)
        if number % 50 == 0:
            threading.Event().wait(0.002)
    desk.writer.stop()
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path.suffix == ".jsonl") <= 300_000
    assert serials(tmp_path)[-1] == 2000
    assert desk.counted["budget"] == 0


def test_event_that_is_larger_than_the_budget_is_dropped(tmp_path: Path) -> None:
    """What can never have room is dropped and counted, and the next one is written."""
    desk = Desk(tmp_path, budget=100_000)
    desk.put(1, 200_000)
    while not desk.counted["budget"]:
        threading.Event().wait(0.001)
    desk.put(2)
    desk.writer.stop()
    assert serials(tmp_path) == [2]
    assert desk.counted["budget"] == desk.session.dropped == 1


def test_trouble_of_any_other_kind_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in the writer costs the batch that it happened in, is told, and the writer goes on."""
    desk = Desk(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "_append", None)
        desk.put(1)
        while not desk.told:
            threading.Event().wait(0.001)
    desk.put(2)
    desk.writer.stop()
    assert serials(tmp_path) == [2]


@pytest.mark.skipif(available(), reason="Zstandard is installed")
def test_compression_without_its_library_is_refused(tmp_path: Path) -> None:
    """Who asks for compressed files and has no Zstandard is told at the start."""
    with pytest.raises(RecordError, match="Zstandard"):
        Desk(tmp_path, compress=True)


@pytest.mark.skipif(not available(), reason="zstandard is not installed")
def test_compressed_files_are_rotated_and_within_the_budget(tmp_path: Path) -> None:
    """Compressed files are read as others are."""
    desk = Desk(tmp_path, compress=True, rotate_size=2000)
    for number in range(1, 2001):
        assert desk.put(number, 1000)
    desk.writer.stop()
    assert serials(tmp_path) == list(range(1, 2001))
    assert all(path.name.endswith(".jsonl.zst") for path in record_files([tmp_path]))
