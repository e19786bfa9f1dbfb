"""Everything that is going one way: its jobs, its open sessions, the order in which servers are tried.

A way leads to the mail exchangers of one domain, or to a host that takes the mail of several: that of a route, or the
smarthost. Its jobs wait in one line. *Lanes* take from it, one session each, so that many messages pass over few
connections; more lanes open as the line grows, up to the configured number.

Every server is tried before a message waits (RFC 5321 §5.1). When no server can be had at all, everything in the line
waits for the same reason, without a connection for each message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, final

from gatepost.delivery.attempt import Target
from gatepost.delivery.lane import Job, Lane
from gatepost.delivery.office import Office, targets
from gatepost.delivery.session import Session
from gatepost.delivery.trouble import Stage, Trouble
from gatepost.observe.logs import event
from gatepost.policy.routes import Way
from gatepost.queue.item import Lease
from gatepost.queue.outcome import Outcome, Result, deferred

_STAGES: Final = tuple(Stage)
SHORT: Final = 100  # recipients in a line that is filled up again: work for some 20 ms
_LANE_STEP: Final = 8  # jobs in the line for each further lane


@final
class Courier:
    """The deliveries that go one way.

    :param way: where to.
    :param hungry: called when the line gets short, so that more is leased in time.
    """

    __slots__ = ("_hungry", "_lanes", "_opening", "_tasks", "jobs", "office", "stopping", "waiting", "way")

    def __init__(self, way: Way, office: Office, hungry: Callable[[], None]) -> None:
        self.way: Final = way
        self.jobs: deque[Job] = deque()
        self.waiting = 0  # recipients in the line
        self.office: Final = office
        self._hungry = hungry
        self.stopping = False
        self._lanes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[None]] = set()  # those without a session, and so without a job

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or under way."""
        return not self.jobs and not self._tasks

    def add(self, jobs: Sequence[Job]) -> None:
        """Put jobs into the line, and open lanes for them."""
        self.jobs.extend(jobs)
        self.waiting += sum(len(job.leases) for job in jobs)
        wanted = min(self.office.lanes, 1 + len(self.jobs) // _LANE_STEP)
        while self._lanes < wanted:
            self._lanes += 1
            task = asyncio.get_running_loop().create_task(self._lane())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> list[Lease]:
        """Begin nothing more; the leases of what was not begun. Who only waits for a server stops waiting."""
        self.stopping = True
        for task in tuple(self._opening):
            task.cancel()
        leases = [lease for job in self.jobs for lease in job.leases]
        self.jobs.clear()
        self.waiting = 0
        return leases

    async def finished(self) -> None:
        """Wait until what is under way has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cut_off(self) -> None:
        """Break off what is under way: nobody learns what became of it, and it is tried again."""
        for task in tuple(self._tasks):
            task.cancel()

    async def _lane(self) -> None:
        try:
            await Lane(self).run()
        except Trouble as trouble:
            self._give_up(trouble.outcome)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave mail in limbo
            event("delivery.fault", "critical", destination=self.way.name, reason=repr(error))
            self._give_up(deferred(f"internal fault: {type(error).__name__}", enhanced="4.3.0"))
        finally:
            # Counted here and not when the task is seen to be done: nothing can be put into the line in between.
            self._lanes -= 1

    def _give_up(self, outcome: Outcome) -> None:
        """No server can be had: the same outcome for everything in the line."""
        jobs, self.jobs = self.jobs, deque()
        self.waiting = 0
        for job in jobs:
            for lease in job.leases:
                self.office.ledger.record(lease, outcome)

    # What lanes ask for -----------------------------------------------------------------------------------------------

    @property
    def more(self) -> bool:
        """Whether there is a job to be begun."""
        return bool(self.jobs) and not self.stopping

    @property
    def plenty(self) -> bool:
        """Whether there are enough for a lane to take one before it is done with another."""
        return len(self.jobs) >= self._lanes and not self.stopping

    def next(self) -> Job:
        """Take the first job from the line."""
        job = self.jobs.popleft()
        before = self.waiting
        self.waiting -= len(job.leases)
        if self.waiting <= SHORT < before:
            self._hungry()
        return job

    def put_back(self, job: Job) -> None:
        """Put a job back at the head of the line."""
        self.jobs.appendleft(job)
        self.waiting += len(job.leases)

    async def opened(self) -> tuple[Session, Target]:
        """A session with the first server that can be had; a drain breaks this off.

        :raises Trouble: when none can: that of the attempt which came furthest, for it says most.
        """
        task = asyncio.current_task()
        assert task is not None
        self._opening.add(task)
        try:
            return await self._session()
        finally:
            self._opening.discard(task)

    async def _session(self) -> tuple[Session, Target]:
        pool = self.office.pool
        last: Trouble | None = None
        later: list[Target] = []
        async for target in targets(self.way, self.office):
            if (session := pool.take(target)) is not None:
                return session, target
            if pool.was_bad(target):
                later.append(target)
                continue
            try:
                return await pool.open(target), target
            except Trouble as trouble:
                if trouble.outcome.result is Result.FAILED:
                    raise
                last = _further(last, trouble)
        for target in later:
            try:
                return await pool.open(target), target
            except Trouble as trouble:
                last = _further(last, trouble)
        raise last or Trouble(deferred("no server was found", enhanced="4.4.4"))


def _further(one: Trouble | None, other: Trouble) -> Trouble:
    """Of two troubles the one whose attempt came further; of equals the newer one."""
    return one if one is not None and _progress(one) > _progress(other) else other


def _progress(trouble: Trouble) -> int:
    return -1 if trouble.stage is None else _STAGES.index(trouble.stage)
