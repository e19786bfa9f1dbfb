"""From outcomes to the queue, in groups.

Every outcome is logged the moment it is known and written to the queue with others: when there are ``GROUP`` of them,
or ``DELAY`` seconds after the first. Between a server's 250 and that transaction lies the only moment at which a crash
costs a duplicate (RFC 5321 §4.2.5); the two bounds are what keeps it small.

A transaction that fails is tried again until it succeeds; nothing is forgotten meanwhile, and ``stuck`` tells the
worker to take no more work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, final

from gatepost.delivery.bounce import Action
from gatepost.delivery.report import Reporter
from gatepost.delivery.tally import Tally
from gatepost.errors import StoreError
from gatepost.observe.logs import event
from gatepost.queue.item import Lease, NewMessage, Settlement
from gatepost.queue.outcome import Outcome, Result, expire
from gatepost.queue.schedule import Schedule
from gatepost.store.interface import LeaseLost, QueueStore

GROUP: Final = 200  # outcomes of one transaction
DELAY: Final = 0.01  # seconds that an outcome waits for others
WARN_AFTER: Final = 4 * 3600.0  # seconds before a delay is reported to a sender who asked for it (RFC 3461 §5.2.5)
_RETRY: Final = 1.0

_Entry: TypeAlias = tuple[Settlement, Action | None, NewMessage | None]  # what the sender is told; an answer

_STATUS: Final = {Result.DELIVERED: "sent", Result.DEFERRED: "deferred", Result.FAILED: "bounced"}


@final
class Ledger:
    """What became of leases.

    :param store: the queue.
    :param schedule: when deferred mail is tried again.
    :param reporter: writes to senders.
    :param tally: counts.
    :param random: a source of numbers in [0, 1), for jitter.
    :param clock: tells the time in seconds since the Unix epoch.
    :param noted: called at once with each lease whose delivery is nobody's concern but the queue's.
    :param settled: called after each transaction with what is done, that whose lease was lost included.
    """

    __slots__ = (
        "_clock",
        "_entries",
        "_noted",
        "_random",
        "_reporter",
        "_schedule",
        "_settled",
        "_store",
        "_tally",
        "_timer",
        "stuck",
    )

    def __init__(
        self,
        store: QueueStore,
        schedule: Schedule,
        reporter: Reporter,
        tally: Tally,
        *,
        random: Callable[[], float],
        clock: Callable[[], float] = time.time,
        noted: Callable[[Lease], None] = lambda lease: None,
        settled: Callable[[Sequence[Settlement]], None],
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._reporter = reporter
        self._tally = tally
        self._random = random
        self._clock = clock
        self._noted = noted
        self._settled = settled
        self._entries: list[_Entry] = []
        self._timer: asyncio.TimerHandle | None = None
        self.stuck = False

    def record(
        self, lease: Lease, outcome: Outcome, *, handed_on: bool = False, answer: NewMessage | None = None
    ) -> None:
        """Note an outcome.

        :param handed_on: whether the next server promised to report about success (it lists DSN).
        :param answer: a message that is queued in the transaction that records the outcome.
        """
        now = self._clock()
        settlement = self._judge(lease, outcome, now)
        action = self._action(settlement, now, handed_on=handed_on)
        final, protection = settlement.outcome, outcome.protection
        if final.result is Result.DELIVERED and action is None and answer is None:
            self._noted(lease)
        event(
            "delivery.attempt", queue_id=lease.message.id, status=_STATUS[final.result], to=f"<{lease.address}>",
            relay=outcome.remote or "none", delay=round(now - lease.message.received_at, 3), attempt=lease.attempts,
            dsn=final.enhanced or "2.0.0", tls=outcome.tls or "none",
            wanted=protection and protection.wanted, reached=protection and protection.reached,
            rule=protection and protection.rule,
            tlsrpt=outcome.tlsrpt.value if outcome.tlsrpt is not None else None, reply=final.reply,
        )  # fmt: skip
        self._tally.outcome(lease.kind, outcome.result, final.result, now - lease.message.received_at)
        if action == "delayed":
            settlement = Settlement(lease, final, settlement.next_attempt, warned=True)
        entries = self._entries
        entries.append((settlement, action, answer))
        if len(entries) >= GROUP and not self.stuck:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Write what waits. Returns with ``stuck`` set, and tries again later, when the store fails."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        entries, self._entries = self._entries, []
        if not entries:
            return
        try:
            written = self._write(entries)
        except StoreError as error:
            self._entries = entries + self._entries
            self.stuck = True
            event("delivery.unsettled", "error", count=len(entries), reason=str(error), hint=error.hint)
            self._timer = asyncio.get_running_loop().call_later(_RETRY, self.flush)
            return
        self.stuck = False
        self._settled(written)

    def _judge(self, lease: Lease, outcome: Outcome, now: float) -> Settlement:
        if outcome.result is not Result.DEFERRED:
            return Settlement(lease, outcome)
        following = self._schedule.next_attempt(
            received_at=lease.message.received_at, now=now, attempts=lease.attempts, chance=self._random()
        )
        return Settlement(lease, expire(outcome)) if following is None else Settlement(lease, outcome, following)

    def _action(self, settlement: Settlement, now: float, *, handed_on: bool) -> Action | None:
        """What the sender is to be told, or None."""
        lease, result = settlement.lease, settlement.outcome.result
        if result is Result.DELIVERED:
            if lease.notify is None or handed_on:
                return None
            action: Action = "delivered" if lease.kind == "local" else "relayed"
        elif result is Result.FAILED:
            action = "failed"
        else:
            if lease.warned or lease.notify is None or now - lease.message.received_at < WARN_AFTER:
                return None
            action = "delayed"
        return action if self._reporter.owes(lease, action) else None

    def _write(self, entries: list[_Entry]) -> Sequence[Settlement]:
        """One transaction; those whose lease was lost are left out, and so is what their senders would be told."""
        done = settlements = [settlement for settlement, _, _ in entries]
        while entries:
            try:
                answers = [answer for _, _, answer in entries if answer is not None]
                self._store.settle(settlements, [*self._bounces(entries), *answers])
            except LeaseLost as lost:
                gone = {id(settlement) for settlement in lost.settlements}
                event("delivery.lease-lost", "warning", count=len(gone), reason=str(lost), hint=lost.hint)
                entries = [entry for entry in entries if id(entry[0]) not in gone]
                settlements = [settlement for settlement, _, _ in entries]
                continue
            break
        return done

    def _bounces(self, entries: list[_Entry]) -> list[NewMessage]:
        grouped: dict[tuple[str, Action], list[tuple[Lease, Outcome]]] = {}
        for settlement, action, _ in entries:
            if action is not None:
                key = (settlement.lease.message.id, action)
                grouped.setdefault(key, []).append((settlement.lease, settlement.outcome))
        now = self._clock()
        made: list[NewMessage] = []
        for (_, action), told in grouped.items():
            until = self._schedule.expires(told[0][0].message.received_at)
            if (message := self._reporter.report(told, action, now=now, until=until)) is not None:
                made.append(message)
        self._tally.bounced(len(made))
        return made
