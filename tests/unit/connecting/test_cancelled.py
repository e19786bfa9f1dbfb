"""A task that is cancelled in the middle: nothing is lost, nothing leaks, and nothing is half of one kind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
from tests.unit.connecting.peers import SECONDS, Server, Talker, no_new_descriptors

import gatepost
import gatepost.connecting
from gatepost.errors import LocalProtocolError
from gatepost.net.drive import Wire
from gatepost.net.transport import Transport
from gatepost.wire.recipes.recipe import ClientTerms
from gatepost.wire.upgrade import Origin

ROUNDS = 150


async def cancelled_after(turns: int | None, task: asyncio.Task[Any]) -> bool:
    """Cancel a task after some turns of the loop (None: never); whether that ended it."""
    if turns is None:
        await task
        return False
    for _ in range(turns):
        if task.done():
            break
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


def complaints(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What the loop has to complain about from now on."""
    found: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: found.append(context))
    return found


def upgrading(talker: Talker) -> None:
    assert talker.line() == b"go\n"
    talker.say(b"+\n")
    talker.upgrade()
    while data := talker.hear():
        talker.say(data)


def test_cancelled_upgrade_leaves_a_closed_connection(tmp_path: Path) -> None:
    """At whatever turn: either the secure connection is there, or nothing is; the plain one is spent either way."""
    ended = 0

    async def once(turns: int | None) -> None:
        nonlocal ended
        connecting = gatepost.connect("127.0.0.1", server.port, ca_file=server.ca_file, timeout=SECONDS, sessions=cache)
        async with connecting as plain:
            await plain.send(b"go\n")
            assert await plain.readline() == b"+\n"
            task = asyncio.create_task(plain.upgrade("raw"))
            await asyncio.sleep(0)
            if await cancelled_after(turns, task):
                ended += 1
                with pytest.raises(LocalProtocolError):
                    await plain.send(b"in the clear")
            else:
                secure = task.result()
                await secure.send(b"x")
                assert await secure.read() == b"x"

    async def main() -> None:
        found = complaints(asyncio.get_running_loop())
        await once(0)
        for round_ in range(ROUNDS):
            await once(round_ % 40 if round_ % 3 else None)
        assert found == []

    cache = gatepost.SessionCache()
    with no_new_descriptors(), Server(upgrading, tmp_path) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())
        gc.collect()
    assert 0 < ended < ROUNDS


@pytest.mark.parametrize("private", [False, True], ids=["clear", "private"])
def test_cancelled_reads_lose_nothing(tmp_path: Path, private: bool) -> None:
    """Every octet is read once, in order, however often reading was broken off."""
    words = [b"line %d %s\r\n" % (number, b"x" * (number % 700)) for number in range(600)]

    def script(talker: Talker) -> None:
        assert talker.line() == b"go\n"
        if private:
            talker.upgrade()
        stream = b"".join(words)
        for start in range(0, len(stream), 997):
            talker.say(stream[start : start + 997])
        talker.hear()

    async def main() -> int:
        broken_off = 0
        async with gatepost.connect("127.0.0.1", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            await plain.send(b"go\n")
            connection = await plain.upgrade("raw") if private else plain
            for number, expected in enumerate(words):
                for turns in itertools.count(number % 3):  # a task that never gets a turn never gets a line
                    task = asyncio.create_task(connection.readline())
                    if not await cancelled_after(turns, task):
                        break
                    broken_off += 1
                    if broken_off % 5 == 0:
                        await connection.ready()
                assert task.result() == expected
        return broken_off

    with Server(script, tmp_path) as server:
        assert asyncio.run(main()) > 0


def test_reader_that_is_cancelled_when_its_line_has_come_loses_nothing() -> None:
    """Between the moment the octets come and the reader's next turn, too."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            loop = asyncio.get_running_loop()
            wire = Wire(loop, Transport(loop, ours), Origin(("", 0), ("", 0), "test", 0.0, "c"))
            plain = gatepost.connecting.PlainConnection(wire, SECONDS, ClientTerms())
            task = asyncio.create_task(plain.readline())
            await asyncio.sleep(0)
            wire.data_received(b"one\ntwo\n")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [await plain.readline(), await plain.readline()] == [b"one\n", b"two\n"]
            wire.abort()

    asyncio.run(main())


def test_cancelled_connect_leaves_nothing(tmp_path: Path) -> None:
    """In the look-up, in the connection, in an implicit handshake."""

    async def main() -> None:
        found = complaints(asyncio.get_running_loop())
        for turns in range(30):
            for implicit in (False, True):
                connecting: Any = gatepost.connect(
                    "127.0.0.1", server.port, ca_file=server.ca_file, timeout=SECONDS, implicit=implicit, sessions=cache
                )

                async def hold(connecting: Any = connecting) -> None:
                    async with connecting:
                        await asyncio.sleep(SECONDS)

                assert await cancelled_after(turns, asyncio.create_task(hold()))
        assert found == []

    def script(talker: Talker) -> None:
        talker.upgrade()
        talker.hear()

    cache = gatepost.SessionCache()
    with no_new_descriptors(), Server(script, tmp_path) as server:
        asyncio.run(main())


def test_cancelled_conversation_closes(tmp_path: Path) -> None:
    """Nobody knows what the peer will say next, and to what."""
    from gatepost.wire.dialogue import receive

    async def main() -> None:
        async with gatepost.connect("127.0.0.1", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            assert await cancelled_after(3, asyncio.create_task(plain.run(receive(SECONDS, "words"))))
            with pytest.raises(LocalProtocolError, match="closed"):
                await plain.read()

    with Server(lambda talker: talker.hear(), tmp_path) as server:
        asyncio.run(main())


def test_one_reader_at_a_time_and_a_sender_beside_it(tmp_path: Path) -> None:
    """Two readers would tear a line apart, so the second is told; sending goes on beside the first."""

    async def main() -> None:
        async with gatepost.connect("127.0.0.1", server.port, ca_file=server.ca_file, timeout=SECONDS) as plain:
            await plain.send(b"go\n")
            assert await plain.readline() == b"+\n"
            secure = await plain.upgrade("raw")
            reading = asyncio.create_task(secure.readline())
            await asyncio.sleep(0)
            for second in (secure.read, secure.ready, secure.readline):
                with pytest.raises(LocalProtocolError, match="one reader"):
                    await second()
            await secure.send(b"he")
            await secure.send(b"llo\n")
            assert await reading == b"hello\n"

    with Server(upgrading, tmp_path) as server:
        asyncio.run(main())
