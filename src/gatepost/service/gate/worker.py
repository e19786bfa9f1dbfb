"""A process that serves gates: the role ``gate``.

SECURITY: after the supervisor dropped its privileges this process reads what strangers send. It holds listening sockets
that were bound for it, TLS contexts with the private key in memory, and the client certificates for the servers behind;
it connects to those servers, and to nobody else but name servers. It opens the list files that rules name, for reading,
and where strangers are put off the memory of that, for writing. It never opens the queue, the accounts or the
mailboxes, and starts no program.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

from gatepost.config.greylist_policy import greylisted
from gatepost.config.schema import Config, Gate
from gatepost.errors import LocalProtocolError
from gatepost.net.loop import new_loop
from gatepost.observe.metrics import Counters
from gatepost.observe.shared import BoundListener, Shared
from gatepost.service import limits
from gatepost.service.gate.connection import GateConnection
from gatepost.service.gate.pools import Pools
from gatepost.service.gate.port import GatePort, GateServices
from gatepost.service.gate.proxied import Vestibule
from gatepost.service.greylisting import Greylisting, asking_dns
from gatepost.service.policies import policies_of
from gatepost.service.serving import Serving, place_of, run_until_drained
from gatepost.store.sqlite.greylist import FILE_NAME as GREYLIST
from gatepost.store.sqlite.greylist import SQLiteGreylist


def run(role: str, listeners: Sequence[BoundListener], config: Config, shared: Shared) -> None:
    """Serve until SIGTERM, then finish what is under way; after SIGUSR1 let the sessions end by themselves.

    :param role: the role's name, for the log.
    :param listeners: the gates.
    """
    loop = new_loop()
    asyncio.set_event_loop(loop)
    server = GateServer(loop, listeners, config, shared)
    try:
        loop.run_until_complete(server.begin())
        run_until_drained(loop, server, shared)
    finally:
        server.close()
        loop.close()


class GateServer(Serving):
    """The connections of one process's gates.

    :param loop: the loop that will run it.
    :param listeners: gates with their bound sockets. Nothing is accepted before ``begin``.
    :raises ConfigError: when a list, or a version or cipher of a backend, cannot be used.
    """

    __slots__ = ("_bound", "_pools", "_services")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listeners: Sequence[BoundListener], config: Config, shared: Shared
    ) -> None:
        policies = policies_of(config, shared.variants)
        shares = limits.Limits(config.limits, limits.region(shared), shared.slot)
        super().__init__(loop, shares, drain_seconds=config.drain_seconds, policies=policies)
        here = frozenset(bound.name for bound in listeners)
        self._services = GateServices(
            loop=loop,
            config=config,
            limits=shares,
            counters=shared.counters,
            policies=policies,
            greylisting=self._greylisting(config, shared.counters) if here & greylisted(config) else None,
        )
        self._pools = Pools(config, shared)
        self._bound = [(self._port(bound, config, shared), bound.sockets) for bound in listeners]
        self.record(config, shared.counters, "gate", [port for port, _ in self._bound])

    def _port(self, bound: BoundListener, config: Config, shared: Shared) -> GatePort:
        gate = bound.settings
        if not isinstance(gate, Gate):
            raise LocalProtocolError(f"{bound.name} is a listener, and no gate")
        contexts, number = shared.contexts.get(gate.name), place_of(gate.name, config)
        return GatePort(self._services, gate, number, contexts, self._pools.pool(gate))

    def _greylisting(self, config: Config, counters: Counters) -> Greylisting:
        store = SQLiteGreylist(config.data / GREYLIST)
        return Greylisting(self._loop, config, store, counters, lambda: asking_dns(self._loop, config))

    async def begin(self) -> None:
        """Ask the servers behind how they are, for a moment, and accept from then on."""
        await self._pools.start()
        for port, sockets in self._bound:
            proxies = port.settings.proxy_from
            vestibule = Vestibule(self._loop, port.name, proxies, port.tally) if proxies else None
            self.listen(port, sockets, functools.partial(GateConnection, port), vestibule)

    def retire(self) -> None:
        self._pools.hush()
        super().retire()

    def close(self) -> None:
        """Ask nobody any more, and close the memory. The loop has stopped."""
        self._pools.stop()
        rest = asyncio.all_tasks(self._loop)
        for task in rest:  # of sessions that were cut off, and of checks
            task.cancel()
        if rest:
            self._loop.run_until_complete(asyncio.wait(rest))
        self.stop_recording()
        if self._services.greylisting is not None:
            self._services.greylisting.close()

    def look(self) -> None:
        super().look()
        if self._services.greylisting is not None:
            self._services.greylisting.look()
