"""Work on the disk, off the loop: a bounded number of threads, so that a slow mailbox holds up its own session only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, final

T = TypeVar("T")

THREADS: Final = 8


@final
class Disk:
    """Threads for calls that block. A session has at most one call under way, so what waits is bounded by sessions.

    :param loop: the loop that is not to be blocked.
    """

    __slots__ = ("_loop", "_pool")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, threads: int = THREADS) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="disk")

    async def run(self, call: Callable[[], T]) -> T:
        """Make a call in a thread, and return what it returns. It runs to its end whoever still waits for it."""
        return await self._loop.run_in_executor(self._pool, call)

    def later(self, call: Callable[[], object]) -> None:
        """Make a call in a thread, some time; nobody waits for it, and it does not fail."""
        self._pool.submit(call)

    def close(self) -> None:
        """Take no more calls, and wait for those under way."""
        self._pool.shutdown(wait=True)
