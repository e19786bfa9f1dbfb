"""Promises of the notes: what was delivered and not recorded outlives the process, and nothing else is believed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost.delivery import notes as module
from gatepost.delivery.notes import Notes
from gatepost.delivery.ownership import Ownership
from gatepost.errors import StoreError


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """An open file."""
    opened = os.open(tmp_path / "notes", os.O_RDWR | os.O_CREAT, 0o600)
    yield opened
    os.close(opened)


def begun(descriptor: int) -> Notes:
    """Notes of a worker that has just started."""
    notes = Notes(descriptor)
    notes.begin()
    return notes


def test_note_is_read_by_whoever_comes_next(descriptor: int) -> None:
    """The worker needs no time to say goodbye."""
    notes = begun(descriptor)
    notes.add("0004f1a", 0)
    notes.add("0004f1a", 3)
    notes.add("x" * 64, 999)
    assert Notes(descriptor).read() == [("0004f1a", 0), ("0004f1a", 3), ("x" * 64, 999)]


def test_notes_are_forgotten_when_nothing_is_left_to_record(descriptor: int) -> None:
    """As long as one delivery is not recorded, those noted beside it stay: they do no harm."""
    notes = begun(descriptor)
    notes.add("one", 0)
    notes.add("two", 0)
    notes.recorded([("one", 0), ("never noted", 1)])
    assert ("two", 0) in Notes(descriptor).read()
    notes.recorded([("two", 0)])
    assert Notes(descriptor).read() == []
    notes.add("three", 0)
    assert Notes(descriptor).read() == [("three", 0)]


def test_more_notes_than_there_is_room_for_replace_the_oldest(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file does not grow."""
    monkeypatch.setattr(module, "_SLOTS", 2)
    notes = begun(descriptor)
    size = os.fstat(descriptor).st_size
    for name in ("one", "two", "three"):
        notes.add(name, 0)
    assert Notes(descriptor).read() == [("three", 0), ("two", 0)]
    assert os.fstat(descriptor).st_size == size


def test_notes_of_another_run_of_the_machine_are_not_believed(
    descriptor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure may have taken the message that a note speaks of."""
    begun(descriptor).add("one", 0)
    monkeypatch.setattr(module, "_BOOT", tmp_path / "another")
    (tmp_path / "another").write_text("another-run\n")
    assert Notes(descriptor).read() == []


def test_notes_are_not_believed_where_no_run_has_a_name(
    descriptor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name nobody can tell a kill from a power failure."""
    monkeypatch.setattr(module, "_BOOT", tmp_path / "nowhere")
    begun(descriptor).add("one", 0)
    assert Notes(descriptor).read() == []


@pytest.mark.parametrize("octets", [b"", b"\0" * 300, b"rubbish", b"\xff" * 500_000])
def test_file_that_holds_no_notes_is_read_as_none(descriptor: int, octets: bytes) -> None:
    """Such as the empty lock files of earlier versions."""
    os.write(descriptor, octets)
    assert Notes(descriptor).read() == []


def test_note_that_was_being_written_is_left_out(descriptor: int) -> None:
    """A kill may come in the middle of a write."""
    notes = begun(descriptor)
    notes.add("one", 0)
    notes.add("two", 0)
    os.pwrite(descriptor, b"1 tw".ljust(module._SLOT, b"\0"), 2 * module._SLOT)
    assert Notes(descriptor).read() == [("one", 0)]


def test_full_disk_stops_no_delivery(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room, nothing is noted, and nothing is raised."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(os, "pwrite", full)
    notes = begun(descriptor)
    notes.add("one", 0)
    notes.recorded([("one", 0)])
    assert Notes(descriptor).read() == []


def test_notes_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    """Nothing may be delivered before they were: the worker waits and tries again."""
    opened = os.open(tmp_path / "notes", os.O_WRONLY | os.O_CREAT)
    try:
        with pytest.raises(StoreError, match="notes"):
            Notes(opened).read()
    finally:
        os.close(opened)


def test_notes_of_every_dead_worker_are_recorded_before_its_leases_return(tmp_path: Path) -> None:
    """In this order: a lease that returned first would be delivered again."""
    first, second = Ownership(tmp_path), Ownership(tmp_path)
    for owner, name in ((first, "one"), (second, "two")):
        owner.notes.begin()
        owner.notes.add(name, 0)
        owner.close()
    done: list[object] = []

    def release(owner: str) -> int:
        done.append(owner)
        return 2

    def settle(notes: object) -> int:
        done.append(notes)
        return 1

    successor = Ownership(tmp_path)
    try:
        assert successor.return_leases(release, settle) == (2, 4)
        assert done == [[("one", 0)], "delivery.0", [("two", 0)], "delivery.1"]
        assert successor.notes.read() == []
    finally:
        successor.close()


def test_noted_mail_is_on_disk_before_the_queue_forgets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker may have been killed between the rename and the sync of the directory; without notes nobody waits."""
    done: list[object] = []
    monkeypatch.setattr(os, "sync", lambda: done.append("sync"))

    def settle(notes: object) -> int:
        done.append(notes)
        return 0

    noting, empty = Ownership(tmp_path), Ownership(tmp_path)
    noting.notes.begin()
    noting.notes.add("one", 0)
    noting.close()
    empty.close()
    successor = Ownership(tmp_path)
    try:
        successor.return_leases(lambda _: 0, settle)
        assert done == ["sync", [("one", 0)], []]
    finally:
        successor.close()
    other = Ownership(tmp_path)
    other.notes.begin()
    other.notes.add("two", 0)
    keeper = Ownership(tmp_path)
    other.close()
    done.clear()
    try:
        keeper.return_others(lambda _: 0, settle)
        assert done == ["sync", [("two", 0)]]
    finally:
        keeper.close()
