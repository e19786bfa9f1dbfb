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
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias, final

from gatepost.delivery.attempt import Target
from gatepost.delivery.office import Office, targets
from gatepost.delivery.route import Hop
from gatepost.delivery.session import Again, Session
from gatepost.delivery.trouble import Stage, Trouble
from gatepost.errors import StoreError
from gatepost.observe.logs import event
from gatepost.policy.routes import Way
from gatepost.queue.item import InlineBody, Lease, QueuedMessage
from gatepost.queue.outcome import Outcome, Result, deferred

_STAGES: Final = tuple(Stage)
_LANE_STEP: Final = 8  # jobs in the line for each further lane

Pending: TypeAlias = list[tuple[Lease, Outcome]]


@final
class Job:
    """One message for some recipients whose mail goes one way."""

    __slots__ = ("afresh", "leases", "message")

    def __init__(self, message: QueuedMessage, leases: list[Lease]) -> None:
        self.message = message
        self.leases = leases
        self.afresh = False  # was given a second try after a stale connection


@final
class Courier:
    """The deliveries that go one way.

    :param way: where to.
    :param hungry: called when the line gets short, so that more is leased in time.
    """

    __slots__ = ("_hungry", "_lanes", "_office", "_opening", "_stopping", "_tasks", "jobs", "waiting", "way")

    def __init__(self, way: Way, office: Office, hungry: Callable[[], None]) -> None:
        self.way: Final = way
        self.jobs: deque[Job] = deque()
        self.waiting = 0  # recipients in the line
        self._office = office
        self._hungry = hungry
        self._stopping = False
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
        wanted = min(self._office.lanes, 1 + len(self.jobs) // _LANE_STEP)
        while self._lanes < wanted:
            self._lanes += 1
            task = asyncio.get_running_loop().create_task(self._lane())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> list[Lease]:
        """Begin nothing more; the leases of what was not begun. Who only waits for a server stops waiting."""
        self._stopping = True
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

    # A lane ----------------------------------------------------------------------------------------------------------

    async def _lane(self) -> None:
        pool = self._office.pool
        session: Session | None = None
        try:
            while self.jobs and not self._stopping:
                if session is None:
                    session, target = await self._opened()
                    continue  # the line may be empty by now
                job = self._next()
                await self._guard(job, session, target)
                if pool.spent(session):
                    pool.give(session)
                    session = None
        except Trouble as trouble:
            self._give_up(trouble.outcome)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave mail in limbo
            event("delivery.fault", "critical", destination=self.way.name, reason=repr(error))
            self._give_up(deferred(f"internal fault: {type(error).__name__}", enhanced="4.3.0"))
        finally:
            # Counted here and not when the task is seen to be done: nothing can be put into the line in between.
            self._lanes -= 1
            if session is not None:
                pool.give(session)

    async def _opened(self) -> tuple[Session, Target]:
        """``_session``, which a drain may break off."""
        task = asyncio.current_task()
        assert task is not None
        self._opening.add(task)
        try:
            return await self._session()
        finally:
            self._opening.discard(task)

    def _next(self) -> Job:
        job = self.jobs.popleft()
        self.waiting -= len(job.leases)
        if len(self.jobs) == self._office.lanes * _LANE_STEP:
            self._hungry()
        return job

    async def _guard(self, job: Job, session: Session, target: Target) -> None:
        """Carry out a job; whatever happens, each of its recipients gets an outcome or goes back into the line."""
        try:
            await self._carry_out(job, session, target)
        except asyncio.CancelledError:
            session.abort()
            raise
        except Exception as error:  # noqa: BLE001 - see _lane
            session.abort()
            event("delivery.fault", "critical", queue_id=job.message.id, reason=repr(error))
            for lease in job.leases:
                self._office.ledger.record(lease, deferred(f"internal fault: {type(error).__name__}", enhanced="4.3.0"))

    def _give_up(self, outcome: Outcome) -> None:
        """No server can be had: the same outcome for everything in the line."""
        jobs, self.jobs = self.jobs, deque()
        self.waiting = 0
        for job in jobs:
            for lease in job.leases:
                self._office.ledger.record(lease, outcome)

    async def _carry_out(self, job: Job, session: Session, target: Target) -> None:
        """Send a job over an open session, and what that server did not take over others."""
        pending, stale = await self._transfer(job, session)
        if not pending:
            return
        if stale and not job.afresh and not self._stopping:
            job.afresh = True
            self.jobs.appendleft(job)
            self.waiting += len(job.leases)
            return
        await self._elsewhere(job, pending, target.hop)

    async def _transfer(self, job: Job, session: Session) -> tuple[Pending, bool]:
        """Send a job. Recipients that are decided are recorded and leave it.

        :return: the others, which may be tried again at once, and whether that is for a stale connection alone.
        """
        ledger, limit, leases = self._office.ledger, session.recipients_limit, job.leases
        pending: Pending = []
        stale = True
        for start in range(0, len(leases), limit):
            part = leases[start : start + limit]
            if not session.alive:
                pending.extend((lease, deferred("the connection was lost", enhanced="4.4.2")) for lease in part)
                continue
            content = self._content(job)
            if isinstance(content, Outcome):
                verdicts = [(content, Again.LATER)] * len(part)
            else:
                verdicts = await session.transfer(job.message, part, content)
            for lease, (outcome, again) in zip(part, verdicts, strict=True):
                if outcome.result is not Result.DEFERRED or again is Again.LATER:
                    ledger.record(lease, outcome, handed_on=session.capabilities.dsn)
                else:
                    stale = stale and again is Again.AFRESH
                    pending.append((lease, outcome))
            job.leases = [*(lease for lease, _ in pending), *leases[start + limit :]]
        return pending, stale

    def _content(self, job: Job) -> Iterable[bytes] | Outcome:
        """The content of a job's message, or why it cannot be read."""
        body = job.message.body
        if type(body) is InlineBody:
            return (body.octets,)
        try:
            return self._office.open_body(body)
        except StoreError as error:
            event("delivery.body", "error", queue_id=job.message.id, reason=str(error), hint=error.hint)
            return deferred(f"the content cannot be read: {error}", enhanced="4.3.0")

    async def _elsewhere(self, job: Job, pending: Pending, tried: Hop) -> None:
        """Try the other servers for recipients that one server deferred; who is left then waits."""
        pool = self._office.pool
        done = {tried}
        try:
            async for target in targets(self.way, self._office):
                if not pending or self._stopping:
                    break
                if target.hop in done or pool.was_bad(target):  # bad: it was tried a moment ago
                    continue
                try:
                    session = await pool.open(target)
                except Trouble:
                    continue
                done.add(target.hop)
                try:
                    pending, _ = await self._transfer(job, session)
                finally:
                    pool.give(session)
        except Trouble:
            pass  # the route is gone meanwhile: what the first server said stands
        for lease, outcome in pending:
            self._office.ledger.record(lease, outcome)
        job.leases = []

    # Servers ---------------------------------------------------------------------------------------------------------

    async def _session(self) -> tuple[Session, Target]:
        """A session with the first server that can be had.

        :raises Trouble: when none can: that of the attempt which came furthest, for it says most.
        """
        pool = self._office.pool
        last: Trouble | None = None
        later: list[Target] = []
        async for target in targets(self.way, self._office):
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
