"""A process that serves listeners: the roles ``mx`` and ``submission``.

SECURITY: after the supervisor dropped its privileges this process reads what strangers send. It holds listening sockets
that were bound for it and TLS contexts with the private key in memory; it opens the queue for writing, the accounts for
reading and the folder of bodies for writing, all below ``data``, and the list files that rules name, for reading; where
strangers are put off, also the memory of that for writing; where sessions are recorded, files of its own. It opens no
outgoing connection, starts no program and reads no mailbox. Only where a ``[[greylist_rule]]`` has ``client_names`` or
``spf`` does it ask name servers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

from gatepost.accounts.directory import Directory
from gatepost.accounts.recent import RecentPasswords
from gatepost.accounts.verifiers import Verifiers
from gatepost.config.greylist_policy import greylisted
from gatepost.config.schema import Config
from gatepost.net.loop import new_loop
from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.observe.shared import BoundListener, Shared
from gatepost.service import limits
from gatepost.service.checks import Checks
from gatepost.service.greylisting import Greylisting, asking_dns
from gatepost.service.intake import Intake
from gatepost.service.login import Desk
from gatepost.service.policies import policies_of
from gatepost.service.serving import Serving, place_of, run_until_drained
from gatepost.service.smtp.connection import Connection
from gatepost.service.smtp.port import MECHANISMS, Port, Services
from gatepost.store.sqlite.accounts import FILE_NAME as ACCOUNTS
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.store.sqlite.greylist import FILE_NAME as GREYLIST
from gatepost.store.sqlite.greylist import SQLiteGreylist
from gatepost.store.sqlite.queue import SQLiteQueue


def prepare(shared: Shared) -> None:
    """Make what the workers share. The supervisor calls it before it forks."""
    limits.region(shared)


def reap(shared: Shared, slot: int) -> None:
    """Forget what a worker that has ended held. The supervisor calls it with the worker's slot."""
    limits.clear_open(limits.region(shared), slot)


def run(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Serve until SIGTERM, then finish what is under way; after SIGUSR1 let the sessions end by themselves.

    :param role: the role's name, for the log.
    :param listeners: the listeners of this role.
    """
    loop = new_loop()
    asyncio.set_event_loop(loop)
    server = Server(loop, listeners, config, shared, role)
    try:
        run_until_drained(loop, server, shared)
    finally:
        server.close()
        logs.flush()
        loop.close()


class Server(Serving):
    """The SMTP connections of one process.

    :param loop: the loop that will run it.
    :param listeners: with their bound sockets.
    :param role: the role's name.
    """

    __slots__ = ("_accounts", "_queue", "_services")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[BoundListener],
        config: Config,
        shared: Shared,
        role: str = "mx",
    ) -> None:
        self._queue = SQLiteQueue(config.data)
        self._accounts = SQLiteAccountStore(config.data / ACCOUNTS)
        policies = policies_of(config, shared.variants)
        shares = limits.Limits(config.limits, limits.region(shared), shared.slot)
        super().__init__(loop, shares, drain_seconds=config.drain_seconds, policies=policies)
        self._services = self._gather(config, shared, frozenset(bound.name for bound in listeners))
        ports = [
            Port(self._services, bound.settings, place_of(bound.name, config), shared.contexts.get(bound.name))
            for bound in listeners
        ]
        self.record(config, shared.counters, role, [port for port in ports if not port.local])
        for bound, port in zip(listeners, ports, strict=True):
            self.listen(port, bound.sockets, functools.partial(Connection, port))

    def _gather(self, config: Config, shared: Shared, listeners: frozenset[str]) -> Services:
        counters = shared.counters
        seconds_of_commits = counters.index("queue_commit_seconds")
        good, bad = (counters.index("queue_commits_total", result=result) for result in ("ok", "failed"))

        def committed(seconds: float, ok: bool) -> None:
            counters.observe(seconds_of_commits, seconds)
            counters.add(good if ok else bad)

        wake = _nobody if config.delivery.hold else shared.doorbell.ring
        return Services(
            loop=self._loop,
            config=config,
            intake=Intake(self._loop, self._queue.enqueue, committed=wake, observe=committed),
            bodies=self._queue.body_writer,
            directory=Directory(
                self._accounts, config.domains, config.aliases, reflector=config.reflector.address or ""
            ),
            desk=Desk(
                loop=self._loop,
                verifiers=Verifiers(self._accounts, config.domains),
                checks=Checks(),
                limits=self._limits,
                counters=counters,
                recent=RecentPasswords(config.limits.password_memory),
                mechanisms=MECHANISMS,
            ),
            limits=self._limits,
            counters=counters,
            policies=self._policies,
            greylisting=self._greylisting(config, counters) if listeners & greylisted(config) else None,
        )

    def _greylisting(self, config: Config, counters: Counters) -> Greylisting:
        store = SQLiteGreylist(config.data / GREYLIST)
        return Greylisting(self._loop, config, store, counters, lambda: asking_dns(self._loop, config))

    def close(self) -> None:
        """Commit what waits and close the stores. The loop has stopped."""
        self.stop_recording()
        self._services.intake.close()
        self._services.desk.checks.close()
        if self._services.greylisting is not None:
            self._services.greylisting.close()
        self._queue.close()
        self._accounts.close()

    def look(self) -> None:
        super().look()
        if self._services.greylisting is not None:
            self._services.greylisting.look()

    @property
    def idle(self) -> bool:
        """Whether every message that ended is committed."""
        return self._services.intake.idle


def _nobody() -> None:
    """Whom a commit wakes while nothing is delivered."""
