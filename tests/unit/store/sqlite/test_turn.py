"""Writers take turns."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gatepost.store.sqlite.faults import StoreFault
from gatepost.store.sqlite.turn import WriteTurn

STOPPED = """
import os, pathlib, sys
from gatepost.store.sqlite.turn import WriteTurn
turn = WriteTurn(pathlib.Path(sys.argv[1]), 5)
turn.take()
os.write(1, b"taken")
sys.stdin.read()
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    """While one writes the others do not."""
    path, inside, most = tmp_path / "db", 0, 0
    together = threading.Lock()

    def run() -> None:
        nonlocal inside, most
        turn = WriteTurn(path, 30)
        for _ in range(20):
            turn.take()
            with together:
                inside += 1
                most = max(most, inside)
            with together:
                inside -= 1
            turn.give()
        turn.close()
        turn.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_nobody_overtakes_the_one_that_waits(tmp_path: Path) -> None:
    """Who has just written and comes straight back waits behind the one that waited meanwhile."""
    path, order = tmp_path / "db", list[str]()
    first, second = WriteTurn(path, 30), WriteTurn(path, 30)
    first.take()

    def wait() -> None:
        second.take()
        order.append("second")
        second.give()

    waiting = threading.Thread(target=wait)
    waiting.start()
    probe = WriteTurn(path, 0)
    while not _taken(probe._turn):  # until the other one waits
        os.sched_yield()
    first.give()
    first.take()
    order.append("first")
    first.give()
    waiting.join()
    assert order == ["second", "first"]
    for turn in (first, second, probe):
        turn.close()


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def test_writer_that_hangs_makes_others_fail_in_bounds_and_its_death_frees_them(tmp_path: Path) -> None:
    """No process waits for ever for another; the kernel gives a dead one's turn to the next."""
    path = tmp_path / "db"
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.read(5) == b"taken"
    turn = WriteTurn(path, 0.02)
    for _ in range(2):
        with pytest.raises(StoreFault) as caught:
            turn.take()
        assert (caught.value.reason, caught.value.temporary) == ("busy", True)
    process.kill()
    process.communicate()
    turn.take()
    turn.close()
