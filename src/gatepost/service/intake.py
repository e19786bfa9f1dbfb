"""The way into the queue: many messages, one commit, and only then the answers.

Messages that sessions finish at about the same time go into one transaction: a group closes when a few turns of the
loop brought no more. While the disk answers in a few milliseconds the commit runs on the loop, because handing it to a
thread costs more than the sync; when it is slower, it moves to one writer thread and the loop goes on. Which of the two
is decided by measured latency.

Whatever goes wrong, a message is answered for only after its transaction returned: that is the commit point
(``docs/queue.md``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

from gatepost.errors import GatepostError, StoreError
from gatepost.observe import logs
from gatepost.queue.item import NewMessage

Done: TypeAlias = Callable[[Exception | None], None]
Enqueue: TypeAlias = Callable[[Sequence[NewMessage]], None]

SLOW_SECONDS: Final = 0.005  # mean commit time above which commits leave the loop
FAST_SECONDS: Final = 0.002  # and below which they come back
_GROUP: Final = 500  # messages a transaction
_QUIET: Final = (3, 16)  # turns of the loop without a new message that end the wait: behind a small group, a big one
_TURNS: Final = 96  # turns of the loop, at most, in which a group may grow
_WEIGHT: Final = 0.1  # of the newest sample in the running mean


class Intake:
    """Group commit for one process.

    :param loop: the running loop.
    :param enqueue: commits messages in one transaction, or raises (``QueueStore.enqueue``).
    :param committed: called after each commit, to wake the delivery process.
    :param observe: told the seconds that each commit took, and whether it succeeded.
    """

    __slots__ = (
        "_busy", "_committed", "_enqueue", "_loop", "_mean", "_observe", "_patience", "_quiet", "_seen", "_thread",
        "_threaded", "_turns", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        enqueue: Enqueue,
        *,
        committed: Callable[[], None],
        observe: Callable[[float, bool], None] = lambda seconds, ok: None,
    ) -> None:
        self._loop = loop
        self._enqueue = enqueue
        self._committed = committed
        self._observe = observe
        self._waiting: list[tuple[NewMessage, Done]] = []
        self._quiet = 0  # turns in which nothing came
        self._patience = _QUIET[0]  # how many of them are waited for
        self._seen = 0  # messages that waited when we last looked
        self._turns = 0  # for which a group may still be waited for
        self._busy = False
        self._mean = 0.0
        self._threaded = False
        self._thread: ThreadPoolExecutor | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits for a commit."""
        return not self._waiting and not self._busy

    @property
    def slow(self) -> bool:
        """Whether the disk is too slow to be waited for on the loop."""
        return self._threaded

    def submit(self, message: NewMessage, done: Done) -> None:
        """Put a message into the next commit; ``done`` is called with None when it is durable, else with the error."""
        self._waiting.append((message, done))
        if len(self._waiting) == 1 and not self._busy:
            self._gather()

    def _gather(self) -> None:
        """Commit after turns of the loop in which nothing more came, or after the last that may be waited for.

        Under load each further turn brings the messages of more sessions into the same sync, so a big group lets the
        next one wait longer; without load the next turn is there at once, and brings nothing.
        """
        self._seen, self._turns, self._quiet = 0, _TURNS, 0
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        waiting = len(self._waiting)
        self._quiet = 0 if waiting > self._seen else self._quiet + 1
        if self._quiet < self._patience and waiting < _GROUP and self._turns and not self._busy:
            self._seen = waiting
            self._turns -= 1
            self._loop.call_soon(self._look)
        else:
            self._commit()

    def close(self) -> None:
        """Commit what waits, and stop the thread."""
        while self._waiting and not self._busy:
            self._commit_here(self._next_group())
        if self._thread is not None:
            self._thread.shutdown()

    def _next_group(self) -> list[tuple[NewMessage, Done]]:
        group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
        few, many = _QUIET
        self._patience = min(few + len(group) // 2, many)
        return group

    def _commit(self) -> None:
        if self._busy or not self._waiting:
            return
        group = self._next_group()
        if self._threaded:
            self._commit_in_thread(group)
        else:
            self._commit_here(group)
            if self._waiting:
                self._gather()

    def _commit_here(self, group: list[tuple[NewMessage, Done]]) -> None:
        self._answer(group, *self._timed([message for message, _ in group]))

    def _commit_in_thread(self, group: list[tuple[NewMessage, Done]]) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._busy = True

        def finished(future: Future[tuple[float, list[Exception | None]]]) -> None:
            self._loop.call_soon_threadsafe(self._thread_answered, group, future)

        self._thread.submit(self._timed, [message for message, _ in group]).add_done_callback(finished)

    def _thread_answered(
        self, group: list[tuple[NewMessage, Done]], future: Future[tuple[float, list[Exception | None]]]
    ) -> None:
        self._busy = False
        self._answer(group, *future.result())
        self._commit()

    def _timed(self, messages: list[NewMessage]) -> tuple[float, list[Exception | None]]:
        """Commit; the seconds it took, and for each message None or its error."""
        began = time.perf_counter()
        results = self._attempt(messages)
        return time.perf_counter() - began, results

    def _attempt(self, messages: list[NewMessage]) -> list[Exception | None]:
        try:
            self._enqueue(messages)
        except StoreError as error:
            return [error] * len(messages)
        except Exception as error:  # noqa: BLE001 - a message that the store chokes on must not take others with it
            if len(messages) == 1:
                logs.event("queue.commit-failed", severity="error", queue_id=messages[0].id, error=repr(error))
                return [error if isinstance(error, GatepostError) else StoreError(f"the store failed: {error!r}")]
            return [result for message in messages for result in self._attempt([message])]
        return [None] * len(messages)

    def _answer(self, group: list[tuple[NewMessage, Done]], seconds: float, results: list[Exception | None]) -> None:
        self._mean += (seconds - self._mean) * _WEIGHT
        self._threaded = self._mean > (FAST_SECONDS if self._threaded else SLOW_SECONDS)
        good = False
        for (_, done), result in zip(group, results, strict=True):
            good = good or result is None
            done(result)
        self._observe(seconds, good)
        if good:
            self._committed()
