"""A process that serves listeners: the roles ``mx`` and ``submission``.

SECURITY: after the supervisor dropped its privileges this process reads what strangers send. It holds listening sockets
that were bound for it and TLS contexts with the private key in memory; it opens the queue for writing, the accounts for
reading and the folder of bodies for writing, all below ``data``, and the list files that rules name, for reading. It
opens no outgoing connection, starts no program and reads no mailbox.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import Sequence
from typing import Final

from gatepost.accounts.directory import Directory
from gatepost.accounts.verifiers import Verifiers
from gatepost.config.schema import Config
from gatepost.net.listen import Acceptor, peer_uid
from gatepost.net.loop import answer_signals, new_loop
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.observe.shared import BoundListener, Shared
from gatepost.service import limits
from gatepost.service.intake import Intake
from gatepost.service.policies import LOOK_SECONDS, policies_of
from gatepost.service.smtp.connection import Connection
from gatepost.service.smtp.port import Checks, Port, Services, new_identifier
from gatepost.store.sqlite.accounts import FILE_NAME as ACCOUNTS
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.wire.upgrade import Origin

SWEEP_SECONDS: Final = 0.25  # how often deadlines are looked at
_PROBE_EVERY: Final = 20  # sweeps between two looks for peers that are gone
_LOOK_EVERY: Final = round(LOOK_SECONDS / SWEEP_SECONDS)
_GARBAGE_THRESHOLD: Final = 50_000  # new containers before a collection; sessions leave no cycles behind
_DRAIN_POLL: Final = 0.05


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
    server = Server(loop, listeners, config, shared)
    # What is there now stays: it need not be walked through again and again (and stays shared with the supervisor).
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 50)
    answer_signals(
        loop,
        {
            signal.SIGTERM: server.drain,
            signal.SIGUSR1: server.retire,
            signal.SIGINT: lambda: None,  # the supervisor decides
        },
    )
    shared.ready()
    try:
        loop.run_forever()
    finally:
        server.close()
        logs.flush()
        loop.close()


class Server:
    """The connections of one process: accepting them, sweeping their deadlines, ending them.

    There are two ways to end, each bounded by ``drain_seconds``, whether or not a supervisor is left to see to it:
    ``retire`` after a reload, when successors serve, and ``drain`` when the server stops.

    :param loop: the loop that will run it.
    :param listeners: with their bound sockets.
    """

    __slots__ = (
        "_acceptors", "_accounts", "_connections", "_draining", "_ending", "_loop", "_queue", "_refused", "_services",
        "_sweeps",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listeners: Sequence[BoundListener], config: Config, shared: Shared
    ) -> None:
        self._loop = loop
        self._queue = SQLiteQueue(config.data)
        self._accounts = SQLiteAccountStore(config.data / ACCOUNTS)
        self._services = self._gather(config, shared)
        self._acceptors: list[Acceptor] = []
        self._connections: set[Connection] = set()
        self._refused: set[Connection] = set()  # that were told so and linger
        self._draining = self._ending = False
        self._sweeps = 0
        # The number is that of the configuration: processes of other roles count in the same table.
        names = [listener.name for listener in config.listener]
        for bound in listeners:
            number = names.index(bound.name) if bound.name in names else len(names)
            self.listen(Port(self._services, bound.settings, number, shared.contexts.get(bound.name)), bound.sockets)
        loop.call_later(SWEEP_SECONDS, self._sweep)

    def _gather(self, config: Config, shared: Shared) -> Services:
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
            directory=Directory(self._accounts, config.domains, config.aliases),
            verifiers=Verifiers(self._accounts, config.domains),
            limits=limits.Limits(config.limits, limits.region(shared), shared.slot),
            counters=counters,
            checks=Checks(),
            policies=policies_of(config, shared.variants),
        )

    def close(self) -> None:
        """Commit what waits and close the stores. The loop has stopped."""
        self._services.intake.close()
        self._services.checks.close()
        self._queue.close()
        self._accounts.close()

    def listen(self, port: Port, sockets: Sequence[socket.socket]) -> None:
        """Accept for a port."""
        for sock in sockets:
            accepted = functools.partial(self._accept, port, _bound_address(sock))
            self._acceptors.append(Acceptor(self._loop, sock, accepted))

    def retire(self) -> None:
        """Accept no more and let sessions end by themselves; those that go on after ``drain_seconds`` are drained."""
        if not self._ending:
            self._end()
            self._loop.call_later(self._services.config.drain_seconds, self.drain)

    def drain(self) -> None:
        """Accept no more, end what is idle, let messages that are under way arrive, then stop the loop.

        What is still there after ``drain_seconds`` is cut off.
        """
        if self._draining:
            return
        self._draining = True
        self._end()
        for connection in tuple(self._connections):
            connection.drain()
        self._loop.call_later(self._services.config.drain_seconds, self._cut_off)

    def _end(self) -> None:
        if not self._ending:
            self._ending = True
            for acceptor in self._acceptors:
                acceptor.stop()
            self._stop_when_done()

    def _cut_off(self) -> None:
        for connection in (*self._connections, *self._refused):
            connection.record.outcome = "cut off"
            connection.transport.abort()
        self._loop.call_soon(self._loop.stop)

    def _accept(self, port: Port, local: tuple[str, int] | None, sock: socket.socket, peer: object) -> None:
        services = self._services
        try:
            origin = _origin(port, sock, peer, local, services.clock())
            transport = Transport(self._loop, sock)
        except OSError:  # it is gone already
            sock.close()
            return
        connection = Connection(port, transport, origin, self._closed)
        refusal = services.limits.connect(origin.peer[0], port.number)
        if refusal is not None:
            services.counters.count("smtp_connections_refused_total", reason=refusal.reason)
            self._refused.add(connection)
            connection.refuse(refusal.reply, refusal.reason)
            return
        self._connections.add(connection)
        connection.start()

    def _closed(self, connection: Connection) -> None:
        self._refused.discard(connection)
        if connection in self._connections:
            self._connections.discard(connection)
            self._services.limits.disconnect(connection.origin.peer[0], connection.port.number)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in [connection for connection in self._connections if connection.deadline < now]:
            connection.expire()
        self._sweeps += 1
        policies = self._services.policies
        if policies is not None and self._sweeps % _LOOK_EVERY == 0:
            policies.look()
        if self._sweeps % _PROBE_EVERY == 0:
            for connection in tuple(self._connections):
                connection.transport.probe()
        self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _stop_when_done(self) -> None:
        if not self._connections and not self._refused and self._services.intake.idle:
            self._loop.stop()
        else:
            self._loop.call_later(_DRAIN_POLL, self._stop_when_done)


def _nobody() -> None:
    """Whom a commit wakes while nothing is delivered."""


def _origin(port: Port, sock: socket.socket, peer: object, local: tuple[str, int] | None, now: float) -> Origin:
    """What the kernel and the configuration know of a connection."""
    if isinstance(peer, tuple):
        if local is None:
            host, number = sock.getsockname()[:2]
            local = (host, number)
        return Origin((peer[0], peer[1]), local, port.listener.name, now, new_identifier())
    return Origin(("local", 0), ("local", 0), port.listener.name, now, new_identifier(), peer_uid(sock))


def _bound_address(sock: socket.socket) -> tuple[str, int] | None:
    """The one address that connections to a listening socket have at our end; None when it listens on all."""
    name = sock.getsockname()
    if not isinstance(name, tuple) or name[0] in ("0.0.0.0", "::"):
        return None
    return name[0], name[1]
