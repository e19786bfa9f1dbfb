"""The connections of one process: accepting them, and the two ways to end."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gatepost.config.schema import Config
from gatepost.config.schema import Limits as Settings
from gatepost.net.listen import bind, watch_for_death
from gatepost.net.transport import Transport
from gatepost.observe import logs
from gatepost.observe.shared import new_shared
from gatepost.service import limits
from gatepost.service.connection import Connection, Door
from gatepost.service.limits import Refusal
from gatepost.service.serving import Serving, place_of
from gatepost.wire.upgrade import Origin


class Client:
    """A connection that does what its test says."""

    def __init__(self, transport: Transport, origin: Origin, closed: Callable[[Any], None]) -> None:
        self.transport, self.origin, self.closed = transport, origin, closed
        self.deadline = float("inf")
        self.outcome = ""
        self.drained = False
        self.refused: Refusal | None = None

    def start(self) -> None: ...

    def refuse(self, refusal: Refusal) -> None:
        self.refused = refusal

    def drain(self) -> None:
        self.drained = True

    def end(self) -> None:
        """It is gone."""
        self.transport.abort()
        self.closed(self)


class House:
    """A server on one port, and the clients it made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **settings: object) -> None:
        shares = limits.Limits(Settings.model_validate(settings), limits.region(new_shared()), 0)
        self.loop = loop
        self.serving = Serving(loop, shares, drain_seconds=60, policies=None)
        self.listening = bind(("127.0.0.1", 0))
        self.met: asyncio.Queue[Client] = asyncio.Queue()
        door = SimpleNamespace(name="pop3", number=0, clock=lambda: 12.5)
        self.serving.listen(cast(Door, door), [self.listening], self._connect)

    def _connect(self, transport: Transport, origin: Origin, closed: Callable[[Connection], None]) -> Connection:
        client = Client(transport, origin, closed)
        self.met.put_nowait(client)
        return cast(Connection, client)

    def dial(self) -> socket.socket:
        return socket.create_connection(self.listening.getsockname())

    def meet(self) -> Client:
        """The next client that was accepted."""
        return self.loop.run_until_complete(asyncio.wait_for(self.met.get(), 60))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def test_connection_has_the_origin_that_the_kernel_tells(loop: asyncio.AbstractEventLoop) -> None:
    """Both addresses, the listener and the time stand in the origin."""
    house = House(loop)
    with house.listening, house.dial() as ours:
        client = house.meet()
        assert client.origin.peer == ours.getsockname()
        assert client.origin.local == house.listening.getsockname()
        assert (client.origin.listener, client.origin.accepted_at) == ("pop3", 12.5)
        client.end()


def test_connection_above_a_limit_is_refused_until_another_ends(loop: asyncio.AbstractEventLoop) -> None:
    """What a client held is given back when it is gone."""
    house = House(loop, connections=1)
    with house.listening, house.dial(), house.dial(), house.dial():
        first, second = house.meet(), house.meet()
        third = house.meet()
        assert [client.refused is None for client in (first, second, third)] == [True, False, False]
        first.end()
        with house.dial():
            fourth = house.meet()
            assert fourth.refused is None
        for client in (second, third, fourth):
            client.end()


def test_drain_ends_when_the_last_connection_has(loop: asyncio.AbstractEventLoop) -> None:
    """A draining server tells its connections, waits for them, and stops the loop."""
    house = House(loop)
    with house.listening, house.dial():
        client = house.meet()
        house.serving.drain()
        assert client.drained
        loop.call_later(0, client.end)
        loop.run_forever()  # ends, because the drain stops it
        assert client.outcome == ""


def test_loop_can_run_again_behind_a_drain(loop: asyncio.AbstractEventLoop) -> None:
    """What closes after a drain that was cut off waits in the same loop: nothing that was left over stops it."""
    house = House(loop)
    with house.listening, house.dial():
        client = house.meet()
        house.serving.drain()
        house.serving._cut_off()
        loop.run_forever()
        assert client.outcome == "cut off"
        client.end()
        house.serving._cut_off()
        house.serving._stop_when_done()
        assert loop.run_until_complete(asyncio.sleep(0.01, "done")) == "done"


def test_retiring_leaves_sessions_alone(loop: asyncio.AbstractEventLoop) -> None:
    """After a reload the sessions that are there end by themselves."""
    house = House(loop)
    with house.listening, house.dial():
        client = house.meet()
        house.serving.retire()
        loop.call_later(0, client.end)
        loop.run_forever()
        assert not client.drained


def test_accepted_sockets_watch_for_death_as_their_listener_does() -> None:
    """Keepalive is set once, on the listening socket, and costs nothing at accepting."""
    with bind(("127.0.0.1", 0)) as listening:
        watch_for_death(listening)
        listening.setblocking(True)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_listener_has_the_number_of_its_place() -> None:
    """Processes of all roles count a listener in the same place; one that is not configured comes behind all."""
    config = Config()
    names = [listener.name for listener in config.listener]
    assert [place_of(name, config) for name in names] == list(range(len(names)))
    assert place_of("local", config) == len(names)


def test_descriptors_that_have_run_out_are_told_of(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that cannot even be accepted leave no other line in the log; afterwards they are served."""
    attempts = iter([OSError(errno.EMFILE, os.strerror(errno.EMFILE))])
    accept = socket.socket.accept

    def full(sock: socket.socket) -> tuple[socket.socket, Any]:
        for error in attempts:
            raise error
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", full)
    log = tmp_path / "log"
    with log.open("wb") as out:
        logs.setup("json", descriptor=out.fileno())
        try:
            house = House(loop)
            with house.listening, house.dial():
                house.meet().end()
                house.serving.drain()
        finally:
            logs.teardown()
    [line] = [json.loads(line) for line in log.read_text().splitlines()]
    assert (line["event"], line["severity"], line["listener"]) == ("listener.no-descriptors", "warning", "pop3")
    assert line["reason"] == os.strerror(errno.EMFILE)
