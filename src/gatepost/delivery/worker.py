"""The process that delivers: leases mail from the queue, hands it to couriers and mailboxes, writes down the outcome.

SECURITY: after the supervisor dropped its privileges this process reads and writes ``queue.db`` and ``queue`` below
``data``, reads ``accounts.db`` (where notifications to addresses of ours lead), writes mailboxes below ``mail``, and
reads the smarthost's password once, at its start, and the list files of rules when they change. It opens connections to
name servers and mail servers; what they say is untrusted. It listens nowhere, starts no program, and holds no private
key but those of client certificates that rules name.

Leases are taken in batches, bodies with them; what is leased but not yet under way is bounded, in all and for each
destination, so a destination that answers slowly does not keep others waiting. A lease is renewed while it is held.

What processes that died left behind is cleared up here, since there is one such process: their leases and the bodies
that nobody names at the start, the ``tmp/`` of mailboxes at the start and daily.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import math
import random
import signal
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, final

from gatepost.accounts.directory import Directory
from gatepost.config.policies import route_policy
from gatepost.config.schema import Config
from gatepost.delivery.approaches import Approaches
from gatepost.delivery.attempt import open_session
from gatepost.delivery.courier import SHORT, Courier
from gatepost.delivery.lane import Job
from gatepost.delivery.ledger import Ledger
from gatepost.delivery.local import MailboxDelivery
from gatepost.delivery.office import Office
from gatepost.delivery.ownership import Ownership
from gatepost.delivery.pool import Pool
from gatepost.delivery.reflector import Reflector
from gatepost.delivery.reflector_limits import Allowance
from gatepost.delivery.report import Find, Reporter, keep, new_id
from gatepost.delivery.routes import Routes
from gatepost.delivery.setting import approach_of, own_addresses
from gatepost.delivery.tally import Tally
from gatepost.errors import StoreError
from gatepost.mailbox import sweep
from gatepost.net.loop import answer_signals, new_loop
from gatepost.net.resolve import DNSResolver, Resolver
from gatepost.observe import logs
from gatepost.observe.logs import event
from gatepost.observe.shared import Shared
from gatepost.policy.routes import Way
from gatepost.queue.item import LOCAL, Lease, Settlement
from gatepost.queue.outcome import deferred
from gatepost.queue.schedule import JITTER, Schedule
from gatepost.store.interface import QueueStore
from gatepost.store.sqlite.accounts import FILE_NAME as ACCOUNTS
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.tls.clientfiles import ClientFiles

LEASE_SECONDS: Final = 300.0
BATCH: Final = 400  # leases of one transaction
HELD: Final = 2000  # leases that wait here, in all
PER_DESTINATION: Final = BATCH + SHORT  # of those, for one destination
_GARBAGE_THRESHOLD: Final = 50_000  # new containers before a collection; deliveries leave no cycles behind
_LOCAL_BATCH: Final = 64
_LOCAL_THREADS: Final = 2
_POLL_SECONDS: Final = 30.0  # the longest sleep; the bell and the due time end it sooner
_PAUSE_SECONDS: Final = 0.01  # between two leases when little was due: what arrives meanwhile comes in one batch
_STORE_RETRY: Final = 1.0
_JUMP_SECONDS: Final = 10.0  # by which the clock of the day moves against the other one when it was set
_SWEEP_SECONDS: Final = 86400.0
_QUIT_SECONDS: Final = 1.0  # for servers to hear QUIT, when the time for the rest is over


def run(config: Config, shared: Shared) -> None:
    """Deliver until SIGTERM, then finish what is under way, for ``drain_seconds`` at the most.

    :raises ConfigError: when the smarthost's password or the authorities to trust cannot be read.
    :raises StoreError: when the queue cannot be opened.
    """
    gc.freeze()  # what is there now stays: it need not be walked through again and again
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 50)
    loop = new_loop()
    asyncio.set_event_loop(loop)
    queue = SQLiteQueue(config.data)
    accounts = SQLiteAccountStore(config.data / ACCOUNTS)
    ownership = Ownership(config.data / "queue")
    directory = Directory(accounts, config.domains, config.aliases, reflector=config.reflector.address or "")
    try:
        worker = Worker(config, shared, queue, directory.find, ownership, reflector=directory.reflector)
        # What SIGINT means the supervisor decides.
        answer_signals(loop, {signal.SIGTERM: worker.drain, signal.SIGINT: lambda: None})
        loop.run_until_complete(worker.run())
    finally:
        ownership.close()
        queue.close()
        accounts.close()
        logs.flush()
        loop.close()


@final
class Worker:
    """One delivery process.

    :param config: the configuration.
    :param shared: counters and doorbell.
    :param store: the queue; this process and thread own it.
    :param find: where an address of ours leads.
    :param ownership: our name as an owner of leases.
    :param reflector: the canonical address of the reflector; empty for none.
    :param resolver: DNS; None for the configured one.
    """

    __slots__ = (
        "_ahead", "_config", "_couriers", "_drained", "_executor", "_held", "_ledger", "_local",
        "_local_tasks", "_longest_wait", "_mailboxes", "_office", "_owner", "_pool", "_reflector", "_shared", "_store",
        "_wake",
    )  # fmt: skip

    def __init__(
        self, config: Config, shared: Shared, store: QueueStore, find: Find, ownership: Ownership,
        *, reflector: str = "", resolver: Resolver | None = None,
    ) -> None:  # fmt: skip
        delivery = config.delivery
        tally = Tally(shared.counters)
        self._config = config
        self._shared = shared
        self._store = store
        self._owner = ownership
        self._held: dict[int, Lease] = {}
        self._couriers: dict[Way, Courier] = {}
        self._local: list[Lease] = []
        self._local_tasks: set[asyncio.Task[None]] = set()
        self._executor = ThreadPoolExecutor(_LOCAL_THREADS, thread_name_prefix="mailbox")
        self._mailboxes = MailboxDelivery(config.data, config.hostname, store.open_body, self._note)
        self._wake = asyncio.Event()
        self._drained = False
        reporter = Reporter(
            config.hostname, limit=delivery.bounce_size, find=find, open_body=store.open_body, new_id=new_id,
            keep=functools.partial(keep, store),
        )  # fmt: skip
        reflected = config.reflector
        self._reflector = Reflector(
            reflector, config.hostname, Allowance(reflected.per_sender, reflected.total), find=find,
            open_body=store.open_body, keep=functools.partial(keep, store),
        )  # fmt: skip
        schedule = Schedule(delivery.retry_first, delivery.retry_max, delivery.lifetime)
        self._longest_wait = schedule.longest * (1 + JITTER)
        self._ahead = math.inf  # of the clock of the day before the one that only goes on, when last looked at
        chance = random.SystemRandom().random
        self._ledger = Ledger(
            store, schedule, reporter, tally, random=chance, noted=self._note_remote, settled=self._settled
        )
        files = shared.client_files or ClientFiles()
        approach = approach_of(config, files)
        self._pool = Pool(
            approach, limit=delivery.concurrency, messages=delivery.messages_per_connection,
            opener=functools.partial(open_session, failed=tally.failed), tally=tally,
        )  # fmt: skip
        self._office = Office(
            config.hostname, delivery.port, Routes(route_policy(config)),
            own_addresses(config), delivery.concurrency_per_destination, resolver or DNSResolver(delivery.resolver),
            self._pool, self._ledger, store.open_body, chance,
            Approaches(config, approach, files) if config.outbound or config.route else None,
        )  # fmt: skip

    def drain(self) -> None:
        """Take nothing more; ``run`` returns when what is under way has ended."""
        self._drained = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until drained."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._shared.doorbell.fileno(), self._rung)
        beside = [loop.create_task(self._renew()), loop.create_task(self._sweep_mailboxes())]
        self._shared.ready()
        try:
            await self._return_leases()
            self._sweep_bodies()
            await self._lease_loop()
            await self._finish()
        finally:
            for task in beside:
                task.cancel()
            loop.remove_reader(self._shared.doorbell.fileno())
            self._executor.shutdown()

    # Taking ----------------------------------------------------------------------------------------------------------

    async def _lease_loop(self) -> None:
        if self._config.delivery.hold:
            event("delivery.hold", "notice", reason="[delivery] hold is set: mail is queued, nothing is delivered")
            while not self._drained:
                await self._sleep(_POLL_SECONDS)
            return
        while not self._drained:
            try:
                pause = _STORE_RETRY if self._ledger.stuck else self._pause(self._take())
            except StoreError as error:
                event("delivery.store", "error", reason=str(error), hint=error.hint)
                pause = _STORE_RETRY
            if pause > 0:
                await self._sleep(pause)
            else:
                await asyncio.sleep(0)

    def _take(self) -> int:
        """Lease what is due and hand it out; how many."""
        self._mind_the_clock()
        self._couriers = {way: courier for way, courier in self._couriers.items() if not courier.idle}
        taken = 0
        if len(self._local) < PER_DESTINATION:
            leases = self._store.lease(self._owner.name, BATCH, LEASE_SECONDS, destination=LOCAL)
            taken += len(leases)
            self._hand_out(leases)
        busy = {way for way, courier in self._couriers.items() if courier.waiting > SHORT}
        routes = self._office.routes
        if (room := min(HELD - len(self._held), BATCH)) > 0 and not (busy and routes.single):
            exclude = [LOCAL, *routes.leading(busy)]
            leases = self._store.lease(
                self._owner.name, room, LEASE_SECONDS, exclude=exclude, per_destination=PER_DESTINATION
            )
            taken += len(leases)
            self._hand_out(leases)
        return taken

    def _mind_the_clock(self) -> None:
        """Where the clock of the day was set, our leases have not expired, and nothing waits for the hour it showed."""
        ahead = time.time() - time.monotonic()
        if abs(ahead - self._ahead) < _JUMP_SECONDS:
            return
        if self._held:
            self._store.renew(list(self._held.values()), LEASE_SECONDS)
        forward = self._store.bring_forward(self._longest_wait, LEASE_SECONDS)
        if self._ahead != math.inf:
            event("delivery.clock", "warning", jumped=round(ahead - self._ahead), brought_forward=forward)
        self._ahead = ahead

    def _pause(self, taken: int) -> float:
        """How long to wait before more is taken. The bell, and a courier whose line is short, end the wait."""
        if taken >= BATCH // 4:
            return 0.0
        if taken:
            return _PAUSE_SECONDS
        due = self._store.next_due()
        if due is None:
            return _POLL_SECONDS
        wait = due - time.time()
        return min(wait, _POLL_SECONDS) if wait > 0 else min(_POLL_SECONDS, LEASE_SECONDS / 3) if self._held else 0.05

    async def _sleep(self, seconds: float) -> None:
        """Sleep until something happens, and a moment longer when the bell rings often."""
        if seconds > _PAUSE_SECONDS:
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass
        else:
            await asyncio.sleep(seconds)
        self._wake.clear()

    def _rung(self) -> None:
        self._shared.doorbell.clear()
        self._wake.set()

    def _hand_out(self, leases: Sequence[Lease]) -> None:
        """Sort leases into lines: one job for each message and way."""
        jobs: dict[tuple[Way, int], Job] = {}
        for lease in leases:
            self._held[id(lease)] = lease
            if lease.kind == "local":
                if lease.address == self._reflector.address:
                    self._reflect(lease)
                else:
                    self._local.append(lease)
                continue
            key = (self._office.routes.way(lease.destination), lease.message.sequence)
            if (job := jobs.get(key)) is None:
                jobs[key] = Job(lease.message, [lease])
            else:
                job.leases.append(lease)
        lines: dict[Way, list[Job]] = {}
        for (way, _), job in jobs.items():
            lines.setdefault(way, []).append(job)
        for way, line in lines.items():
            courier = self._couriers.get(way)
            if courier is None:
                courier = self._couriers[way] = Courier(way, self._office, self._wake.set)
            courier.add(line)
        while self._local and len(self._local_tasks) < _LOCAL_THREADS:
            self._spawn_local()

    def _reflect(self, lease: Lease) -> None:
        try:
            outcome, answer = self._reflector.answer(lease, time.time())
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave mail in limbo
            event("delivery.fault", "critical", queue_id=lease.message.id, reason=repr(error))
            outcome, answer = deferred(f"internal fault: {type(error).__name__}", enhanced="4.3.0"), None
        self._ledger.record(lease, outcome, answer=answer)

    # Mailboxes -------------------------------------------------------------------------------------------------------

    def _spawn_local(self) -> None:
        batch, self._local = self._local[:_LOCAL_BATCH], self._local[_LOCAL_BATCH:]
        task = asyncio.get_running_loop().create_task(self._deliver_local(batch))
        self._local_tasks.add(task)
        task.add_done_callback(self._local_done)

    async def _deliver_local(self, batch: list[Lease]) -> None:
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._executor, self._mailboxes.deliver, batch)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave mail in limbo
            event("delivery.fault", "critical", destination=LOCAL, reason=repr(error))
            outcomes = [deferred(f"internal fault: {type(error).__name__}", enhanced="4.3.0")] * len(batch)
        for lease, outcome in zip(batch, outcomes, strict=True):
            self._ledger.record(lease, outcome)

    def _local_done(self, task: asyncio.Task[None]) -> None:
        self._local_tasks.discard(task)
        if self._local and not self._drained:
            self._spawn_local()
        elif not self._local:
            self._wake.set()

    # Holding ---------------------------------------------------------------------------------------------------------

    def _note(self, lease: Lease) -> None:
        """Note a delivery that is still to be recorded. One whose sender is to be told of it is not noted: who takes a
        note up writes to nobody."""
        if lease.notify is None:
            self._owner.notes.add(lease.message.id, lease.position)

    def _note_remote(self, lease: Lease) -> None:
        if lease.kind != "local":  # that was noted when it arrived
            self._note(lease)

    def _settled(self, settlements: Sequence[Settlement]) -> None:
        """Forget leases that are done. More is taken when there is room again; what was deferred may be due next."""
        before, deferrals = len(self._held), False
        for settlement in settlements:
            self._held.pop(id(settlement.lease), None)
            deferrals = deferrals or settlement.next_attempt is not None
        self._owner.notes.recorded(
            (settlement.lease.message.id, settlement.lease.position) for settlement in settlements
        )
        if deferrals or not self._held or len(self._held) < HELD // 2 <= before:
            self._wake.set()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                self._store.renew(list(self._held.values()), LEASE_SECONDS)
                _tell_returned(*self._owner.return_others(self._store.release_owner, self._store.settle_noted))
            except StoreError as error:
                event("delivery.store", "error", reason=str(error), hint=error.hint)

    async def _return_leases(self) -> None:
        """Take back what dead workers held; nothing is delivered before."""
        while not self._drained:
            try:
                taken_back = self._owner.return_leases(self._store.release_owner, self._store.settle_noted)
            except StoreError as error:
                event("delivery.store", "error", reason=str(error), hint=error.hint)
                await self._sleep(_STORE_RETRY)
                continue
            _tell_returned(*taken_back)
            return

    def _sweep_bodies(self) -> None:
        """Remove content files that no message names: their writer died before its commit."""
        try:
            swept = self._store.sweep()
        except StoreError as error:
            event("delivery.store", "error", reason=str(error), hint=error.hint)
            return
        if swept:
            event("queue.swept", files=swept)

    async def _sweep_mailboxes(self) -> None:
        """Remove what dead deliveries left in the mailboxes, at the start and daily."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                swept = await loop.run_in_executor(
                    self._executor, functools.partial(sweep, self._config.data, now=time.time())
                )
            except OSError as error:
                event("mailbox.not-swept", "error", reason=str(error))
            else:
                if swept:
                    event("mailbox.swept", files=swept)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _finish(self) -> None:
        """Give back what was not begun, wait for what was, write everything down."""
        unstarted = [lease for courier in self._couriers.values() for lease in courier.stop()]
        unstarted += self._local
        self._local = []
        for lease in unstarted:
            self._held.pop(id(lease), None)
        try:
            self._store.give_back(unstarted)
        except StoreError as error:  # they come back by themselves when the next worker starts
            event("delivery.store", "error", reason=str(error), hint=error.hint)
        try:
            async with asyncio.timeout(self._config.drain_seconds):
                waits: list[Coroutine[Any, Any, None]] = [courier.finished() for courier in self._couriers.values()]
                await asyncio.gather(*waits, *self._local_tasks)
                self._ledger.flush()
                while self._ledger.stuck:
                    await asyncio.sleep(_STORE_RETRY)
                await self._pool.close()
        except TimeoutError:
            await self._cut_off()

    async def _cut_off(self) -> None:
        """Time is over: break off what is under way. Its leases come back when the next worker starts."""
        event("delivery.cut-off", "warning", leases=len(self._held), reason="did not end within drain_seconds")
        for courier in self._couriers.values():
            courier.cut_off()
        self._ledger.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_QUIT_SECONDS):
                await asyncio.gather(*(courier.finished() for courier in self._couriers.values()))
                await self._pool.close()


def _tell_returned(recorded: int, returned: int) -> None:
    if recorded or returned:
        reason = "their worker ended without settling them"
        event("delivery.returned", "notice", leases=returned, recorded=recorded, reason=reason)
