"""The connections of one process, whatever they speak: accepting them, sweeping their deadlines, ending them."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from gatepost.config.schema import Config
from gatepost.net.identifiers import new_identifier
from gatepost.net.listen import Acceptor, peer_uid
from gatepost.net.loop import answer_signals
from gatepost.net.served import SWEEP_SECONDS, Sweeper
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.observe.shared import Shared
from gatepost.record.configured import records_at
from gatepost.record.recorder import Recorder
from gatepost.service.connection import Connection, Door
from gatepost.service.limits import Limits
from gatepost.service.policies import LOOK_SECONDS, Policies
from gatepost.service.recording import recorder_of
from gatepost.wire.upgrade import Origin

_LOOK_EVERY: Final = round(LOOK_SECONDS / SWEEP_SECONDS)
_GARBAGE_THRESHOLD: Final = 50_000  # new containers before a collection; sessions leave no cycles behind
_DRAIN_POLL: Final = 0.05

Connect = Callable[[Transport, Origin, Callable[[Connection], None]], Connection]
"""Makes the connection of a client; called with what is to be told when it is gone."""


class Vestibule(Protocol):
    """Where connections wait that have to say something before they count as anybody's."""

    def takes(self, address: str) -> bool:
        """Whether those from this address do."""

    def wait(self, sock: socket.socket, origin: Origin, admit: Callable[[socket.socket, Origin], None]) -> None:
        """Wait, then admit the connection under the origin that it turned out to have, or close it."""

    def close(self) -> None:
        """Close all that wait."""


class Serving:
    """There are two ways to end, each bounded by ``drain_seconds``, whether or not a supervisor is left to see to it:
    ``retire`` after a reload, when successors serve, and ``drain`` when the server stops.

    :param loop: the loop that will run it.
    :param limits: what addresses may use.
    :param drain_seconds: how long sessions may go on.
    :param policies: the rules about clients, where there are any; kept current.
    """

    __slots__ = (
        "_acceptors", "_connections", "_drain_seconds", "_draining", "_ending", "_limits", "_loop", "_policies",
        "_recorder", "_refused", "_stopped", "_vestibules",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: Limits, *, drain_seconds: float, policies: Policies | None
    ) -> None:
        self._loop: Final = loop
        self._limits: Final = limits
        self._drain_seconds: Final = drain_seconds
        self._policies: Final = policies
        self._acceptors: list[Acceptor] = []
        self._vestibules: list[Vestibule] = []
        self._connections: set[Connection] = set()
        self._refused: set[Connection] = set()  # that were told so and linger
        self._draining = self._ending = self._stopped = False
        self._recorder: Recorder | None = None
        Sweeper(loop, self._connections, self._look)

    def listen(
        self, door: Door, sockets: Sequence[socket.socket], connect: Connect, vestibule: Vestibule | None = None
    ) -> None:
        """Accept for a door.

        :param connect: makes the connection of a client.
        :param vestibule: where some of them wait first, if any do.
        """
        closed = functools.partial(self._closed, door.number)
        admit = functools.partial(self._admit, door, connect, closed)
        if vestibule is not None:
            self._vestibules.append(vestibule)
        for sock in sockets:
            accepted = functools.partial(self._accept, door, admit, vestibule, _bound_address(sock))
            self._acceptors.append(Acceptor(self._loop, sock, accepted, functools.partial(_starved, door.name)))

    def record(self, config: Config, counters: Counters, role: str, doors: Iterable[Door]) -> None:
        """Record what is said at some doors, as far as the configuration wants it.

        :param role: of this process, for the names of files.
        """
        doors = [door for door in doors if records_at(config, door.name)]
        self._recorder = recorder_of(self._loop, config, counters, role) if doors else None
        for door in doors:
            door.recorder = self._recorder

    def stop_recording(self) -> None:
        """Write what is not written yet, for some seconds at most. The loop has stopped."""
        if self._recorder is not None:
            self._recorder.close()

    def retire(self) -> None:
        """Accept no more and let sessions end by themselves; those that go on after ``drain_seconds`` are drained."""
        if not self._ending:
            self._end()
            self._loop.call_later(self._drain_seconds, self.drain)

    def drain(self) -> None:
        """Accept no more, end what is idle, let finish what is under way, then stop the loop.

        What is still there after ``drain_seconds`` is cut off.
        """
        if self._draining:
            return
        self._draining = True
        self._end()
        for connection in tuple(self._connections):
            connection.drain()
        self._loop.call_later(self._drain_seconds, self._cut_off)

    def _end(self) -> None:
        if not self._ending:
            self._ending = True
            for acceptor in self._acceptors:
                acceptor.stop()
            for vestibule in self._vestibules:
                vestibule.close()
            self._stop_when_done()

    def _cut_off(self) -> None:
        for connection in (*self._connections, *self._refused):
            connection.outcome = "cut off"
            connection.transport.abort()
        self._loop.call_soon(self._stop)

    def _stop(self) -> None:
        """Leave the loop, once: what closes afterwards may run it again."""
        if not self._stopped:
            self._stopped = True
            self._loop.stop()

    def _accept(
        self,
        door: Door,
        admit: Callable[[socket.socket, Origin], None],
        vestibule: Vestibule | None,
        local: tuple[str, int] | None,
        sock: socket.socket,
        peer: object,
    ) -> None:
        try:
            origin = _origin(door.name, sock, peer, local, door.clock())
        except OSError:  # it is gone already
            sock.close()
            return
        if vestibule is not None and vestibule.takes(origin.peer[0]):
            vestibule.wait(sock, origin, admit)
        else:
            admit(sock, origin)

    def _admit(
        self, door: Door, connect: Connect, closed: Callable[[Connection], None], sock: socket.socket, origin: Origin
    ) -> None:
        """Make a connection of a socket, for whom its origin names."""
        try:
            transport = Transport(self._loop, sock)
        except OSError:
            sock.close()
            return
        connection = connect(transport, origin, closed)
        refusal = self._limits.connect(origin.peer[0], door.number, origin.uid)
        if refusal is not None:
            self._refused.add(connection)
            connection.refuse(refusal)
            return
        self._connections.add(connection)
        connection.start()

    def _closed(self, number: int, connection: Connection) -> None:
        self._refused.discard(connection)
        if connection in self._connections:
            self._connections.discard(connection)
            origin = connection.origin
            self._limits.disconnect(origin.peer[0], number, origin.uid)

    def look(self) -> None:
        """See whether what was read from files is still what is there."""
        if self._policies is not None:
            self._policies.look()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way any more that no connection waits for."""
        return True

    def _look(self, sweeps: int) -> None:
        if sweeps % _LOOK_EVERY == 0:
            self.look()

    def _stop_when_done(self) -> None:
        if not self._connections and not self._refused and self.idle:
            self._stop()
        else:
            self._loop.call_later(_DRAIN_POLL, self._stop_when_done)


def _starved(listener: str, error: OSError) -> None:
    """Nobody can be accepted: the process has as many sockets and files open as it may, or the machine has."""
    logs.event(
        "listener.no-descriptors", "warning", listener=listener, reason=error.strerror,
        effect="clients wait to be accepted", hint="lower the limits of connections, or raise LimitNOFILE",
    )  # fmt: skip


def run_until_drained(loop: asyncio.AbstractEventLoop, serving: Serving, shared: Shared) -> None:
    """Serve until SIGTERM, then finish what is under way; after SIGUSR1 let the sessions end by themselves."""
    # What is there now stays: it need not be walked through again and again (and stays shared with the supervisor).
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 50)
    answer_signals(
        loop,
        {
            signal.SIGTERM: serving.drain,
            signal.SIGUSR1: serving.retire,
            signal.SIGINT: lambda: None,  # the supervisor decides
        },
    )
    shared.ready()
    loop.run_forever()
    logs.flush()


def place_of(listener: str, config: Config) -> int:
    """A listener's number: its place in the configuration, so that processes of all roles count in the same table."""
    names = [each.name for each in config.listeners]
    return names.index(listener) if listener in names else len(names)


def _origin(listener: str, sock: socket.socket, peer: object, local: tuple[str, int] | None, now: float) -> Origin:
    """What the kernel and the configuration know of a connection."""
    if isinstance(peer, tuple):
        if local is None:
            host, number = sock.getsockname()[:2]
            local = (host, number)
        return Origin((peer[0], peer[1]), local, listener, now, new_identifier())
    return Origin(("local", 0), ("local", 0), listener, now, new_identifier(), peer_uid(sock))


def _bound_address(sock: socket.socket) -> tuple[str, int] | None:
    """The one address that connections to a listening socket have at our end; None when it listens on all."""
    name = sock.getsockname()
    if not isinstance(name, tuple) or name[0] in ("0.0.0.0", "::"):
        return None
    return name[0], name[1]
