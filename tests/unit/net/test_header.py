"""Reading a PROXY header off a socket: it is taken, and nothing behind it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from gatepost.net.header import HeaderWait, Outcome
from gatepost.wire.proxy import V2_SIGNATURE, Told, header_v1, header_v2

SECONDS = 60.0
CLIENT, HERE = ("192.0.2.7", 40000), ("198.51.100.1", 25)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The proxy's end of a connection, and ours."""
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    yield theirs, ours
    theirs.close()
    ours.close()


async def outcome(ours: socket.socket, seconds: float = SECONDS) -> Outcome:
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    HeaderWait(asyncio.get_running_loop(), ours, seconds, told.set_result)
    return await told


@pytest.mark.parametrize("header", [header_v1(CLIENT, HERE), header_v2(CLIENT, HERE)])
def test_what_stands_behind_a_header_stays_in_the_kernel(
    pair: tuple[socket.socket, socket.socket], header: bytes
) -> None:
    """A ClientHello in the same segment is for the TLS engine, and is where that looks."""
    theirs, ours = pair
    theirs.sendall(header + b"\x16\x03\x01 and more")
    told = asyncio.run(outcome(ours))
    assert isinstance(told, Told)
    assert told.source == CLIENT
    assert ours.recv(100) == b"\x16\x03\x01 and more"


@pytest.mark.parametrize("header", [header_v1(CLIENT, HERE), header_v2(CLIENT, HERE)])
def test_header_may_come_octet_by_octet(pair: tuple[socket.socket, socket.socket], header: bytes) -> None:
    """§2 recommends to bear it."""
    theirs, ours = pair

    async def scenario() -> Outcome:
        told = asyncio.ensure_future(outcome(ours))
        for octet in header + b"E":
            theirs.sendall(bytes([octet]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return await told

    told = asyncio.run(scenario())
    assert isinstance(told, Told)
    assert (told.source, told.destination) == (CLIENT, HERE)
    assert ours.recv(100) == b"E"


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"", ""), (b"PROXY TCP4 192.0.2.7", "it is cut off"), (b"EHLO x\r\n", "it does not begin as one")],
)
def test_peer_without_a_header_is_told_apart(
    pair: tuple[socket.socket, socket.socket], said: bytes, reason: str
) -> None:
    """One that only looked whether we are there, one that stopped in the middle, one that is no proxy."""
    theirs, ours = pair
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    assert asyncio.run(outcome(ours)) == reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"", "no header in time"), (V2_SIGNATURE, "half a header in time"), (b"P", "half a header in time")],
)
def test_header_has_a_deadline(pair: tuple[socket.socket, socket.socket], said: bytes, reason: str) -> None:
    """For all of it: who drips gains nothing."""
    theirs, ours = pair
    theirs.sendall(said)
    assert asyncio.run(outcome(ours, 0.2)) == reason


def test_reset_ends_the_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    """Over TCP, where there are resets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
        with ours:
            ours.setblocking(False)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            theirs.close()
            assert asyncio.run(outcome(ours)) == ""


def test_wait_that_is_given_up_says_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    """The socket is the caller's again."""
    theirs, ours = pair

    async def scenario() -> None:
        told: list[Outcome] = []
        HeaderWait(asyncio.get_running_loop(), ours, 0.05, told.append).cancel()
        theirs.sendall(b"EHLO x\r\n")
        await asyncio.sleep(0.1)
        assert told == []

    asyncio.run(scenario())
    assert ours.recv(100) == b"EHLO x\r\n"
