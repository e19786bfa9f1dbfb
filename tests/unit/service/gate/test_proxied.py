"""Clients that come through a proxy in front: who they count as, and who is dropped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gatepost.config.schema import Limits as Settings
from gatepost.net.listen import bind
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.observe.shared import new_shared
from gatepost.policy.addresses import AddressList
from gatepost.service import limits
from gatepost.service.connection import Connection, Door
from gatepost.service.gate.proxied import Vestibule
from gatepost.service.limits import Refusal
from gatepost.service.serving import Serving
from gatepost.service.tally import Tally
from gatepost.wire.proxy import LOCAL_V2, UNKNOWN_V1, header_v1, header_v2
from gatepost.wire.upgrade import Origin

SECONDS = 60.0
PEER, HERE = ("192.0.2.7", 40000), ("198.51.100.1", 25)


class Client:
    """A connection that was admitted: what it heard, and under which origin."""

    def __init__(self, transport: Transport, origin: Origin, closed: Callable[[Any], None]) -> None:
        self.transport, self.origin, self.closed = transport, origin, closed
        self.deadline = float("inf")
        self.outcome = ""
        self.refused: Refusal | None = None
        self.heard = bytearray()
        self.ended = asyncio.Event()

    def start(self) -> None:
        self.transport.receive_with(self)
        self.transport.resume()

    def refuse(self, refusal: Refusal) -> None:
        self.refused = refusal

    def drain(self) -> None: ...

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> None:
        self.ended.set()

    def connection_lost(self, error: OSError | None) -> None:
        self.ended.set()

    def end(self) -> None:
        self.transport.abort()
        self.closed(self)


class Gate:
    """A gate behind proxies, and the clients that it admitted."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Path,
        *,
        proxies: str = "127.0.0.1",
        seconds: float = SECONDS,
        most: int = 10,
        **settings: object,
    ) -> None:
        self.loop, self.log = loop, log
        self.counters = Counters(["front"])
        shares = limits.Limits(Settings.model_validate(settings), limits.region(new_shared()), 0)
        self.serving = Serving(loop, shares, drain_seconds=60, policies=None)
        self.listening = bind(("127.0.0.1", 0))
        self.met: asyncio.Queue[Client] = asyncio.Queue()
        self.vestibule = Vestibule(
            loop, "front", AddressList((proxies,)), Tally(self.counters, "gate", "front"), seconds=seconds, most=most
        )
        door = SimpleNamespace(name="front", number=0, clock=lambda: 12.5)
        self.serving.listen(cast(Door, door), [self.listening], self._connect, self.vestibule)

    def _connect(self, transport: Transport, origin: Origin, closed: Callable[[Connection], None]) -> Connection:
        client = Client(transport, origin, closed)
        self.met.put_nowait(client)
        return cast(Connection, client)

    def dial(self, said: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
        sock = socket.create_connection(self.listening.getsockname(), SECONDS, (source, 0))
        sock.sendall(said)
        return sock

    def meet(self) -> Client:
        """The next client that was admitted."""
        return self.loop.run_until_complete(asyncio.wait_for(self.met.get(), SECONDS))

    def hung_up(self, sock: socket.socket) -> bytes:
        """What a peer still gets until it is hung up on."""
        sock.setblocking(False)

        async def rest() -> bytes:
            heard = b""
            try:
                while data := await self.loop.sock_recv(sock, 1000):
                    heard += data
            except ConnectionResetError:
                pass
            return heard

        return self.loop.run_until_complete(asyncio.wait_for(rest(), SECONDS))

    def refused(self) -> list[str]:
        """The log's lines about those that were dropped."""
        logs.flush()
        return [line for line in self.log.read_text().splitlines() if " proxy.refused " in line]

    @property
    def counted(self) -> int:
        """How many the metrics know of."""
        return self.counters.total(self.counters.index("gate_connections_refused_total", reason="proxy"))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    with (tmp_path / "log").open("wb") as out:
        logs.setup(descriptor=out.fileno())
        yield tmp_path / "log"
        logs.teardown()


@pytest.mark.parametrize("header", [header_v1(PEER, HERE), header_v2(PEER, HERE)])
def test_client_is_whom_the_proxy_names(loop: asyncio.AbstractEventLoop, log: Path, header: bytes) -> None:
    """Both ends of its connection; the proxy's own address is kept beside."""
    gate = Gate(loop, log)
    with gate.listening, gate.dial(header + b"EHLO x\r\n") as proxy:
        client = gate.meet()
        proxy.shutdown(socket.SHUT_WR)
        loop.run_until_complete(asyncio.wait_for(client.ended.wait(), SECONDS))
        assert (client.origin.peer, client.origin.local, client.origin.proxy) == (PEER, HERE, "127.0.0.1")
        assert (client.origin.listener, client.origin.accepted_at) == ("front", 12.5)
        assert bytes(client.heard) == b"EHLO x\r\n"
        client.end()
    assert gate.refused() == []


@pytest.mark.parametrize("header", [LOCAL_V2, UNKNOWN_V1])
def test_connection_of_the_proxy_itself_keeps_its_address(
    loop: asyncio.AbstractEventLoop, log: Path, header: bytes
) -> None:
    """LOCAL and UNKNOWN: the real one counts."""
    gate = Gate(loop, log)
    with gate.listening, gate.dial(header) as proxy:
        client = gate.meet()
        assert (client.origin.peer, client.origin.proxy) == (proxy.getsockname(), "")
        client.end()


def test_nobody_else_is_asked_for_a_header(loop: asyncio.AbstractEventLoop, log: Path) -> None:
    """What a stranger says first is what the protocol gets, a header too."""
    gate = Gate(loop, log)
    header = header_v1(PEER, HERE)
    with gate.listening, gate.dial(header, source="127.0.0.2") as stranger:
        client = gate.meet()
        stranger.shutdown(socket.SHUT_WR)
        loop.run_until_complete(asyncio.wait_for(client.ended.wait(), SECONDS))
        assert client.origin.peer == stranger.getsockname()
        assert bytes(client.heard) == header
        client.end()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"EHLO \x1b[2Jx\r\n", "it does not begin as one"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 25\r\n", "it has a port above 65535"),
    ],
)
def test_proxy_without_a_header_is_dropped_without_a_word(
    loop: asyncio.AbstractEventLoop, log: Path, said: bytes, reason: str
) -> None:
    """The log says why, and the metrics count it."""
    gate = Gate(loop, log)
    with gate.listening, gate.dial(said) as proxy:
        assert gate.hung_up(proxy) == b""
    (line,) = gate.refused()
    assert f'rip=127.0.0.1 listener=front reason="{reason}" severity=warning' in line
    assert gate.counted == 1
    assert gate.met.empty()


def test_header_that_does_not_come_is_not_waited_for_long(loop: asyncio.AbstractEventLoop, log: Path) -> None:
    """The deadline is for all of it."""
    gate = Gate(loop, log, seconds=0.2)
    with gate.listening, gate.dial(b"PROXY TCP4 1") as proxy:
        assert gate.hung_up(proxy) == b""
    assert "half a header in time" in gate.refused()[0]


def test_proxy_that_looks_whether_we_are_there_is_no_event(loop: asyncio.AbstractEventLoop, log: Path) -> None:
    """A check of its own: it connects and goes."""
    gate = Gate(loop, log)
    with gate.listening:
        gate.dial().close()
        with gate.dial(header_v1(PEER, HERE)):
            gate.meet().end()
    assert gate.refused() == []
    assert gate.counted == 0


def test_those_that_have_said_nothing_yet_are_bounded(loop: asyncio.AbstractEventLoop, log: Path) -> None:
    """So many may wait; one more is dropped, and those that wait get in when they speak."""
    gate = Gate(loop, log, most=2)
    with gate.listening, gate.dial() as first, gate.dial() as second, gate.dial() as third:
        assert gate.hung_up(third) == b""
        assert len(gate.vestibule) == 2
        for each in (first, second):
            each.sendall(header_v1(PEER, HERE))
            gate.meet().end()
        assert len(gate.vestibule) == 0
    assert "2 connections wait for their header" in gate.refused()[0]


def test_limits_count_whom_the_proxy_names(loop: asyncio.AbstractEventLoop, log: Path) -> None:
    """Two clients behind one proxy have a limit each; one client is held to its own."""
    gate = Gate(loop, log, connections_per_address=1, exempt=["127.0.0.1"])
    other = ("192.0.2.8", 40000)
    with (
        gate.listening,
        gate.dial(header_v1(PEER, HERE)),
        gate.dial(header_v1(PEER, HERE)),
        gate.dial(header_v1(other, HERE)),
    ):
        clients = [gate.meet() for _ in range(3)]
        refused = {client.origin.peer[0]: [] for client in clients}  # type: dict[str, list[bool]]
        for client in clients:
            refused[client.origin.peer[0]].append(client.refused is not None)
        assert sorted(refused["192.0.2.7"]) == [False, True]
        assert refused["192.0.2.8"] == [False]
        for client in clients:
            client.end()


def test_those_that_wait_are_dropped_at_the_end(loop: asyncio.AbstractEventLoop, log: Path) -> None:
    """A server that stops waits for no header."""
    gate = Gate(loop, log)
    with gate.listening, gate.dial() as proxy:
        while not len(gate.vestibule):
            loop.run_until_complete(asyncio.sleep(0))
        gate.serving.drain()
        loop.run_forever()  # ends, because nothing is under way
        assert proxy.recv(10) == b""
    assert gate.refused() == []
