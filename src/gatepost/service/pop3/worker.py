"""A process that serves POP3: the role ``pop3``.

SECURITY: after the supervisor dropped its privileges this process reads what strangers send. It holds listening sockets
that were bound for it and TLS contexts with the private key in memory; it opens the accounts, for reading and for
writing down logins, the mailboxes, for reading and deleting, and the list files that rules name, for reading; where
sessions are recorded, files of its own. It never opens the queue, opens no outgoing connection and starts no program.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

from gatepost.accounts.recent import RecentPasswords
from gatepost.accounts.verifiers import Verifiers
from gatepost.config.schema import Config
from gatepost.net.listen import watch_for_death
from gatepost.net.loop import new_loop
from gatepost.observe.shared import BoundListener, Shared
from gatepost.service import limits
from gatepost.service.checks import Checks
from gatepost.service.disk import Disk
from gatepost.service.login import Desk
from gatepost.service.policies import policies_of
from gatepost.service.pop3.connection import POP3Connection
from gatepost.service.pop3.port import MECHANISMS, Port, Services
from gatepost.service.serving import Serving, place_of, run_until_drained
from gatepost.store.sqlite.accounts import FILE_NAME as ACCOUNTS
from gatepost.store.sqlite.accounts import SQLiteAccountStore


def run(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Serve until SIGTERM, then finish what is under way; after SIGUSR1 let the sessions end by themselves.

    :param role: the role's name, for the log.
    :param listeners: the listeners of this role.
    """
    loop = new_loop()
    asyncio.set_event_loop(loop)
    server = Server(loop, listeners, config, shared)
    try:
        run_until_drained(loop, server, shared)
    finally:
        server.close()
        loop.close()


class Server(Serving):
    """The POP3 connections of one process.

    :param loop: the loop that will run it.
    :param listeners: with their bound sockets.
    """

    __slots__ = ("_accounts", "_checks", "_disk")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listeners: Sequence[BoundListener], config: Config, shared: Shared
    ) -> None:
        self._accounts = SQLiteAccountStore(config.data / ACCOUNTS)
        self._checks = Checks()
        self._disk = Disk(loop)
        policies = policies_of(config, shared.variants)
        shares = limits.Limits(config.limits, limits.region(shared), shared.slot)
        super().__init__(loop, shares, drain_seconds=config.drain_seconds, policies=policies)
        services = Services(
            loop=loop,
            config=config,
            desk=Desk(
                loop=loop,
                verifiers=Verifiers(self._accounts, config.domains),
                checks=self._checks,
                limits=shares,
                counters=shared.counters,
                recent=RecentPasswords(config.limits.password_memory),
                mechanisms=MECHANISMS,
            ),
            disk=self._disk,
            limits=shares,
            counters=shared.counters,
            policies=policies,
        )
        ports: list[Port] = []
        for bound in listeners:
            for sock in bound.sockets:
                watch_for_death(sock)  # what is accepted from it inherits that; a maildrop must not stay locked
            port = Port(services, bound.settings, place_of(bound.name, config), shared.contexts.get(bound.name))
            ports.append(port)
            self.listen(port, bound.sockets, functools.partial(POP3Connection, port))
        self.record(config, shared.counters, "pop3", ports)

    def close(self) -> None:
        """Wait for what is under way on the disk, and close the store. The loop has stopped."""
        self.stop_recording()
        self._checks.close()
        self._disk.close()
        self._accounts.close()
