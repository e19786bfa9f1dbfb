"""A generation: the workers that one loaded configuration started. A reload replaces one generation by the next."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from gatepost.errors import ConfigError
from gatepost.observe.logs import event
from gatepost.observe.shared import SLOTS, BoundListener, Shared
from gatepost.serve.post import Post, Surroundings, start
from gatepost.serve.preparation import Prepared
from gatepost.serve.roles import Role

SETTLE_SECONDS: Final = 1.0
"""A worker that has lived this long counts as ready even if it did not say so."""

_FORK_RETRY: Final = 1.0
_GRACE: Final = 1.0
"""Workers bound their draining themselves, and say in the log what they cut off: they get this much longer."""


@final
@dataclass(slots=True)
class Slots:
    """The rows of the shared memory, given to one worker at a time. Row 0 is the supervisor's."""

    free: list[int] = field(default_factory=lambda: list(range(SLOTS - 1, 0, -1)))

    def take(self, count: int) -> list[int]:
        """Take that many, the lowest first.

        :raises ConfigError: when there are not as many.
        """
        if count > len(self.free):
            raise ConfigError(
                f"{count} processes are wanted and there is room for {len(self.free)}",
                hint="lower `workers`, or wait until the workers of earlier reloads have ended",
            )
        return [self.free.pop() for _ in range(count)]

    def give_back(self, slot: int) -> None:
        """It is free again."""
        self.free.append(slot)
        self.free.sort(reverse=True)


@final
@dataclass(slots=True)
class Generation:
    """What a configuration runs with, and its workers."""

    number: int
    prepared: Prepared
    shared: Shared
    listeners: tuple[BoundListener, ...]
    posts: list[Post]
    around: Surroundings

    def start_due(self, now: float) -> None:
        """Start the posts whose time has come."""
        for post in self.posts:
            if post.pid is None and not post.draining and post.start_at is not None and post.start_at <= now:
                try:
                    start(post, self.around)
                except OSError as error:
                    post.start_at = now + _FORK_RETRY
                    event(
                        "worker.not-started", "critical", worker=post.name, reason=error.strerror, retry_in=_FORK_RETRY
                    )
                    continue
                event(
                    "worker.started",
                    worker=post.name,
                    worker_pid=post.pid,
                    generation=self.number,
                    restarts=post.restarts,
                )

    def settled(self, now: float) -> bool:
        """Whether every worker serves, as far as can be told."""
        for post in self.posts:
            if post.pid is not None and not post.ready and now - post.born_at >= SETTLE_SECONDS:
                post.ready = True
        return all(post.ready for post in self.posts)

    def retire(self, now: float, seconds: float) -> None:
        """Others serve now: let sessions end by themselves for ``seconds``, then as long as in ``drain``."""
        for post in self.posts:
            if post.role.sessions and not post.draining:
                post.draining, post.retiring, post.start_at = True, True, None
                post.kill_at = now + 2 * seconds + _GRACE
                post.signal(signal.SIGUSR1)
        self.drain(now, seconds, which=lambda role: not role.sessions)

    def drain(self, now: float, seconds: float, *, which: Callable[[Role], bool] = lambda role: True) -> None:
        """Ask workers to finish what they do and end; those that have not after ``seconds`` are killed."""
        for post in self.posts:
            if (post.retiring or not post.draining) and which(post.role):
                post.draining, post.retiring, post.start_at = True, False, None
                post.kill_at = now + seconds + _GRACE
                post.signal(signal.SIGTERM)

    def kill_overdue(self, now: float) -> None:
        """Kill what has not ended in time."""
        for post in self.posts:
            if post.kill_at is not None and post.kill_at <= now and post.pid is not None:
                event("worker.killed", "warning", worker=post.name, worker_pid=post.pid, reason="did not drain in time")
                post.kill_at = None
                post.signal(signal.SIGKILL)

    def deadlines(self) -> Iterable[float]:
        """When something is to be done next."""
        for post in self.posts:
            if post.pid is None and post.start_at is not None:
                yield post.start_at
            if post.kill_at is not None and post.pid is not None:
                yield post.kill_at
            if post.pid is not None and not post.ready and not post.draining:
                yield post.born_at + SETTLE_SECONDS


def plan_posts(
    roles: Sequence[Role], prepared: Prepared, listeners: Sequence[BoundListener], slots: Slots, number: int
) -> list[Post]:
    """The posts that a configuration asks for.

    :raises ConfigError: when there is no room for them.
    """
    trades = {each.settings.trade for each in listeners}
    wanted = [
        (role, index)
        for role in roles
        if not role.trades or role.trades & trades
        for index in range(role.count(prepared.config))
    ]
    taken = slots.take(len(wanted))
    return [Post(role, index, slot, number, start_at=0.0) for (role, index), slot in zip(wanted, taken, strict=True)]
