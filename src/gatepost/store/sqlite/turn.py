"""Writers of one database take turns.

Theory
------
SQLite lets one process write at a time, and one that finds the lock taken sleeps and looks again, for longer each time
(1 ms, 2, 5, up to 100). Whoever has just committed and comes straight back finds the lock free while the others sleep:
measured here with three busy writers, one of them waited 1.4 seconds and did a fifth of the work of the next.

So a writer first passes two locks of the kernel (``flock``), which die with their process:

* ``FILE-writer`` is held through the transaction. SQLite's own lock is then always free.
* ``FILE-turn`` is held while waiting for it. Who comes back for another transaction must wait for the turn, and cannot
  overtake the one that waits already.

Both are asked for without blocking, with short naps, so that the wait is bounded: a writer that is stopped for good
makes the others fail, it does not hang them. Correctness never depends on this: SQLite's lock is behind it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from gatepost.store.sqlite.faults import StoreFault, from_os
from gatepost.store.sqlite.ownership import give_to_owner_of

_FIRST_NAP: Final = 0.0001
_LONGEST_NAP: Final = 0.001


class WriteTurn:
    """The right to write, taken and given back by one process.

    :param path: the database file; two lock files are made beside it.
    :param seconds: how long to wait at most.
    """

    __slots__ = ("_path", "_seconds", "_turn", "_writer")

    def __init__(self, path: Path, seconds: float) -> None:
        self._path: Final = path
        self._seconds: Final = seconds
        self._turn = _open(path, "turn")
        self._writer = _open(path, "writer")

    def take(self) -> None:
        """Wait for the turn.

        :raises StoreError: ``busy`` when others keep it longer than allowed.
        """
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            deadline = 0.0
        except BlockingIOError:
            deadline = time.monotonic() + self._seconds
            self._wait(self._turn, deadline)
        try:
            fcntl.flock(self._writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait(self._writer, deadline or time.monotonic() + self._seconds)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def give(self) -> None:
        """Let the next one write."""
        fcntl.flock(self._writer, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock files; again does nothing."""
        for descriptor in (self._turn, self._writer):
            if descriptor >= 0:
                os.close(descriptor)
        self._turn = self._writer = -1

    def _wait(self, lock: int, deadline: float) -> None:
        nap = _FIRST_NAP
        while time.monotonic() < deadline:
            time.sleep(nap)
            nap = min(nap * 1.5, _LONGEST_NAP)
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
        raise StoreFault(
            f"{self._path}: other processes kept the write lock for {self._seconds:g} s",
            reason="busy",
            hint="see whether a process of gatepost is stopped, or the disk very slow",
        )


def _open(path: Path, name: str) -> int:
    lock = path.with_name(f"{path.name}-{name}")
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        give_to_owner_of(path.parent, descriptor)
        return descriptor
    except OSError as error:
        raise from_os(error, f"{lock}: opening") from error
