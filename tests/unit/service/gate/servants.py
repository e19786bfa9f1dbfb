"""Servers behind the gate, as far as a pool needs them: they accept, look at what comes first, and say something."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Final

from gatepost.config.schema import Backend
from gatepost.net.dial import origin_of
from gatepost.net.drive import Wire
from gatepost.net.header import HeaderWait, Outcome
from gatepost.net.listen import Acceptor, bind
from gatepost.net.transport import Transport
from gatepost.observe.metrics import Counters
from gatepost.observe.shared import new_shared
from gatepost.service.gate.backend_tally import BackendTally
from gatepost.service.gate.backend_tls import server_tls
from gatepost.service.gate.backends import Pool, Probe
from gatepost.service.gate.choice import Health
from gatepost.service.gate.link import Client, Link
from gatepost.service.gate.places import Places, region
from gatepost.tls.contexts import ClientContext, ServerContexts
from gatepost.tls.engine import ServerHandshake
from gatepost.wire.dialogue import receive
from gatepost.wire.upgrade import Origin, TLSEvidence

SECONDS: Final = 60.0
ORIGIN: Final = Origin(("192.0.2.7", 40000), ("198.51.100.1", 25), "front", 1_700_000_000.0, "c1")
CLIENT: Final = Client(ORIGIN)


async def no_question(link: Link, settings: Backend) -> object:
    """A probe that is content with the connection."""
    return "well"


async def greeting(link: Link, settings: Backend) -> object:
    """A probe that waits for a greeting, and learns it."""
    return await link.wire.run(receive(SECONDS, "greeting"))


class Servant:
    """A server on a free port of 127.0.0.1.

    :param says: what it says first, inside TLS where that comes first.
    :param contexts: for implicit TLS; None speaks in the clear.
    :param header: whether each connection begins with a PROXY header, which is kept in ``headers``.
    """

    def __init__(
        self, says: bytes = b"", *, contexts: ServerContexts | None = None, header: bool = False, port: int = 0
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._says = says
        self._contexts = contexts
        self._header = header
        self._tasks: set[asyncio.Task[None]] = set()
        self._socks: list[socket.socket] = []
        self._sock = bind(("127.0.0.1", port))
        self._acceptor = Acceptor(self._loop, self._sock, self._accepted)
        self.port: Final[int] = self._sock.getsockname()[1]
        self.wires: list[Wire] = []
        self.headers: list[Outcome] = []
        self.evidence: list[TLSEvidence] = []
        self.met: asyncio.Queue[Wire] = asyncio.Queue()

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Hang up, and be gone."""
        self._acceptor.stop()
        self._sock.close()
        for task in self._tasks:
            task.cancel()
        for wire in self.wires:
            wire.abort()
        for sock in self._socks:
            sock.close()

    async def meet(self) -> Wire:
        """The next connection whose beginning is over."""
        async with asyncio.timeout(SECONDS):
            return await self.met.get()

    def _accepted(self, sock: socket.socket, peer: object) -> None:
        self._socks.append(sock)
        task = self._loop.create_task(self._serve(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if self._header:
            told: asyncio.Future[Outcome] = self._loop.create_future()
            HeaderWait(self._loop, sock, SECONDS, told.set_result)
            self.headers.append(await told)
        wire = Wire(self._loop, Transport(self._loop, sock), origin_of(sock, "servant"))
        self.wires.append(wire)
        try:
            if self._contexts is not None:
                handshake = ServerHandshake.implicit(self._contexts, wire.origin)
                self.evidence.append(await wire.serve_handshake(handshake, b""))
            if self._says:
                await wire.send(self._says, SECONDS)
        except Exception:  # noqa: BLE001 - the client went away, or did not like us: its test looks at the client
            return
        self.met.put_nowait(wire)


class Yard:
    """A pool, and what it is made of.

    :param servers: as the configuration writes them.
    :param settings: keys of the backend.
    """

    def __init__(
        self, *servers: str, probe: Probe = no_question, context: ClientContext | None = None, **settings: Any
    ) -> None:
        self.settings: Final = Backend.model_validate({"name": "mail", "servers": servers, **settings})
        self.counters: Final = Counters()
        self.counters.learn_backends(["mail"])
        self.places: Final = Places(region(new_shared()), 1)
        tally = BackendTally(self.counters, "mail")
        self.pool: Final = Pool(self.settings, server_tls(self.settings, context), probe, self.places, tally)

    def total(self, name: str, **labels: str) -> int:
        """A counter's value."""
        return self.counters.total(self.counters.index(f"gate_backend_{name}", backend="mail", **labels))

    def health(self) -> list[Health]:
        """What is known of each server."""
        return [server.health for server in self.pool.servers]

    async def settled(self) -> None:
        """Every server was asked once."""
        async with asyncio.timeout(SECONDS):
            self.pool.start()
            await self.pool.settled()

    async def until(self, *wanted: Health) -> None:
        """Wait until the servers' health is this."""
        async with asyncio.timeout(SECONDS):
            while tuple(self.health()) != wanted:
                await asyncio.sleep(0.01)  # what changes it is the pool's own clock
