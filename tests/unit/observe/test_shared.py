"""What workers inherit: memory, a doorbell, notes."""

from __future__ import annotations

import os
import select

from gatepost.observe.shared import new_shared


def _ringing(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_region_is_shared_by_processes_when_made_before_the_fork() -> None:
    """What one process writes, another reads."""
    shared = new_shared()
    region = shared.region("limits", 16)
    pid = os.fork()
    if not pid:
        shared.for_worker("mx", 0, 1).region("limits", 16)[3] = 7
        os._exit(0)
    os.waitpid(pid, 0)
    assert region[3] == 7


def test_region_keeps_its_content_and_starts_empty_when_it_grows() -> None:
    """A reload finds what was there, unless it needs more room."""
    shared = new_shared()
    shared.region("limits", 16)[0] = 1
    assert shared.region("limits", 16)[0] == 1
    assert shared.region("limits", 1 << 16)[0] == 0


def test_doorbell_wakes_and_is_cleared() -> None:
    """Rings are merged, and a cleared bell is silent."""
    bell = new_shared().doorbell
    assert not _ringing(bell.fileno())
    bell.ring()
    bell.ring()
    assert _ringing(bell.fileno())
    bell.clear()
    bell.clear()
    assert not _ringing(bell.fileno())
    bell.close()


def test_notes_name_the_slots_that_are_ready() -> None:
    """The supervisor reads which workers serve."""
    shared = new_shared()
    shared.for_worker("mx", 0, 3).ready()
    shared.for_worker("mx", 1, 255).ready()
    assert shared.notes.receive() == [3, 255]
    assert shared.notes.receive() == []


def test_notes_never_block_a_worker() -> None:
    """A supervisor that does not read costs the note, not the worker."""
    shared = new_shared()
    for _ in range(100_000):
        shared.ready()
    assert set(shared.notes.receive()) == {0}
