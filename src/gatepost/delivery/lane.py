"""One lane to a server: it takes jobs from its courier's line and sends them over one session, one after the other.

While the end of one message goes out, the envelope of the next goes with it where the server takes groups of commands
(RFC 2920 §3.1), so a lane waits once a message. What was sent ahead belongs to this lane: when the connection is lost,
nothing of that message was said yet but its envelope, and it is sent over the lane's next session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, final

from gatepost.delivery.attempt import Target
from gatepost.delivery.office import targets
from gatepost.delivery.route import Hop
from gatepost.delivery.session import Again, Letter, Session
from gatepost.delivery.trouble import Trouble
from gatepost.errors import StoreError
from gatepost.observe.logs import event
from gatepost.queue.item import InlineBody, Lease, QueuedMessage
from gatepost.queue.outcome import Outcome, Result, deferred
from gatepost.wire.smtp.transaction import Transaction

if TYPE_CHECKING:
    from gatepost.delivery.courier import Courier

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
class Lane:
    """One of the lanes of a courier.

    :param courier: whose jobs it takes.
    """

    __slots__ = ("_courier", "_following", "_ledger", "_letter", "_office", "_pool", "_session", "_target", "_unsent")

    def __init__(self, courier: Courier) -> None:
        self._courier = courier
        self._office = courier.office
        self._ledger = courier.office.ledger
        self._pool = courier.office.pool
        self._session: Session | None = None
        self._target: Target | None = None
        self._following: Job | None = None  # taken from the line, to be the next
        self._letter: Letter | None = None  # of that job, made ready for this session
        self._unsent: list[tuple[Job, Pending, Hop]] = []  # what a server deferred: others are tried

    async def run(self) -> None:
        """Send until the line is empty, or the courier stops.

        :raises Trouble: when no server can be had. What was taken from the line and not sent is in it again.
        """
        try:
            while True:
                session = self._session
                if self._unsent and (session is None or self._following is None):
                    await self._elsewhere(*self._unsent.pop(0))
                elif self._following is None and not self._courier.more:
                    return
                elif session is None:
                    self._session, self._target = await self._courier.opened()
                else:
                    await self._next(session)
        finally:
            if self._following is not None:
                self._courier.put_back(self._following)
            if self._session is not None:
                self._pool.give(self._session)

    async def _next(self, session: Session) -> None:
        """Carry out one job; whatever happens, each of its recipients gets an outcome or goes back into the line."""
        job, letter = self._following or self._courier.next(), self._letter
        self._following = self._letter = None
        try:
            await self._carry_out(job, letter, session)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave mail in limbo
            self._fault(job, error)
        if self._pool.spent(session):
            self._pool.give(session)
            self._session = self._letter = None
            if self._following is not None and not self._courier.stopping:
                self._courier.put_back(self._following)
                self._following = None

    def _fault(self, job: Job, error: Exception) -> None:
        event("delivery.fault", "critical", queue_id=job.message.id, reason=repr(error))
        for lease in job.leases:
            self._ledger.record(lease, deferred(f"internal fault: {type(error).__name__}", enhanced="4.3.0"))

    async def _carry_out(self, job: Job, letter: Letter | None, session: Session) -> None:
        """Send a job over an open session; what that server does not take is tried on others later."""
        assert self._target is not None
        pending, stale = await self._transfer(job, letter, session)
        if not pending:
            return
        if stale and not job.afresh and not self._courier.stopping:
            job.afresh = True
            self._courier.put_back(job)
            return
        self._unsent.append((job, pending, self._target.hop))

    async def _transfer(self, job: Job, letter: Letter | None, session: Session) -> tuple[Pending, bool]:
        """Send a job. Recipients that are decided are recorded and leave it; those for whom the session takes no
        further transaction (RFC 9422 MAILMAX) go back into the line.

        :param letter: what was made ready of it before.
        :return: the others, which may be tried again at once, and whether that is for a stale connection alone.
        """
        limit, leases = session.recipients_limit, job.leases
        pending: Pending = []
        stale = True
        for start in range(0, len(leases), limit):
            part = leases[start : start + limit]
            if not session.alive:
                pending.extend((lease, deferred("the connection was lost", enhanced="4.4.2")) for lease in part)
                continue
            if start and self._pool.spent(session) and not self._courier.stopping:
                self._courier.put_back(Job(job.message, leases[start:]))
                job.leases = [lease for lease, _ in pending]
                break
            letter = letter or self._prepare(job, part, session)
            last = start + limit >= len(leases) and session is self._session
            verdicts = await (session.transfer(letter, self._ahead) if last else session.transfer(letter))
            letter = None
            for lease, (outcome, again) in zip(part, verdicts, strict=True):
                if outcome.result is not Result.DEFERRED or again is Again.LATER:
                    self._ledger.record(lease, outcome, handed_on=session.capabilities.dsn)
                else:
                    stale = stale and again is Again.AFRESH
                    pending.append((lease, outcome))
            job.leases = [*(lease for lease, _ in pending), *leases[start + limit :]]
        return pending, stale

    def _ahead(self) -> Transaction | None:
        """What may go out with the end of the message that is being sent: the next job's envelope, when no other lane
        is idle for want of it, and this session takes another message."""
        session = self._session
        if session is None or self._unsent or not self._courier.plenty or self._pool.spent(session):
            return None
        job = self._following = self._courier.next()
        try:
            self._letter = self._prepare(job, job.leases[: session.recipients_limit], session)
        except Exception:  # noqa: BLE001 - not this message's fault: it is met again when that one's turn comes
            return None
        return self._letter.transaction

    def _prepare(self, job: Job, leases: list[Lease], session: Session) -> Letter:
        """Make a letter. Where the content cannot be read, its verdicts say so."""
        body = job.message.body
        try:
            content = (body.octets,) if type(body) is InlineBody else self._office.open_body(body)
            return session.prepare(job.message, leases, content)
        except StoreError as error:
            event("delivery.body", "error", queue_id=job.message.id, reason=str(error), hint=error.hint)
            outcome = deferred(f"the content cannot be read: {error}", enhanced="4.3.0")
            return Letter([(outcome, Again.LATER)] * len(leases), None)

    async def _elsewhere(self, job: Job, pending: Pending, tried: Hop) -> None:
        """Try the other servers for recipients that one server deferred; who is left then waits."""
        done = {tried}
        try:
            async for target in targets(self._courier.way, self._office):
                if not pending or self._courier.stopping:
                    break
                if target.hop in done or self._pool.was_bad(target):  # bad: it was tried a moment ago
                    continue
                try:
                    session = await self._pool.open(target)
                except Trouble:
                    continue
                done.add(target.hop)
                try:
                    pending, _ = await self._transfer(job, None, session)
                finally:
                    self._pool.give(session)
        except Trouble:
            pass  # the route is gone meanwhile: what the first server said stands
        except Exception as error:  # noqa: BLE001 - see _next
            self._fault(job, error)
            return
        for lease, outcome in pending:
            self._ledger.record(lease, outcome)
