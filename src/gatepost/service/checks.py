"""Password checks, off the loop: each takes 64 MiB and tens of milliseconds of a core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

CHECKS_AT_ONCE: Final = 2  # argon2 takes 64 MiB each
CHECKS_WAITING: Final = 64


class Checks:
    """Password checks, a bounded number at a time and a bounded number waiting."""

    __slots__ = ("_pool", "_waiting")

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="check")
        self._waiting = 0

    def submit(self, check: Callable[[], bool], done: Callable[[Future[bool]], None]) -> bool:
        """Run a check and call ``done`` with its future, in the pool's thread. False when too many wait already."""
        if self._waiting >= CHECKS_WAITING:
            return False
        self._waiting += 1

        def finished(future: Future[bool]) -> None:
            self._waiting -= 1
            done(future)

        self._pool.submit(check).add_done_callback(finished)
        return True

    def close(self) -> None:
        """Take no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
