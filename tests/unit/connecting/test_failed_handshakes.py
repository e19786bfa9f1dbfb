"""A handshake that fails is one exception with the reason in words; the socket is closed, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
import tracemalloc
from pathlib import Path

import pytest
from tests.unit.connecting.peers import SECONDS, Connect, Server, Talker, connect_blocking, no_new_descriptors

import gatepost
from gatepost.errors import GatepostError, HandshakeError, LocalProtocolError, UpgradeError, VerificationError

FAILURES = 1000
GROWTH = 256 * 1024  # octets that may be gained between the 100th failure and the last: less than one connection in 50

KINDS = ("text", "end", "garbage", "another name")


def script(talker: Talker) -> None:
    """Fail as the client asks."""
    kind = talker.line().decode().strip()
    if kind == "another name":
        talker.upgrade()
    elif kind != "end":
        talker.sock.recv(65536)  # the hello
        talker.say({"text": b"250 injected\r\n", "garbage": b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"}[kind])
    if kind != "end":
        talker.hear()


async def fail(connect: Connect, server: Server, kind: str, cache: gatepost.SessionCache) -> GatepostError:
    """One failure of a kind; what was raised."""
    async with connect(
        "127.0.0.1", server.port, ca_file=server.ca_file, server_name="other.test", sessions=cache, timeout=SECONDS
    ) as plain:
        await plain.send(kind.encode() + b"\n")
        try:
            await plain.upgrade("raw")
        except GatepostError as error:
            with pytest.raises(LocalProtocolError):
                await plain.send(b"in the clear")
            return error
    raise AssertionError(f"{kind}: there was no failure")


EXPECTED: dict[str, tuple[type[GatepostError], str]] = {
    "text": (HandshakeError, "plaintext arrived where the TLS handshake was due"),
    "end": (UpgradeError, "connection"),
    "garbage": (HandshakeError, "the TLS handshake failed: "),
    "another name": (VerificationError, "not for other.test"),
}


def test_failure_says_its_reason_in_words(connect: Connect, tmp_path: Path) -> None:
    """Whichever side it was, and whichever driver: a GatepostError that an operator can read."""
    cache = gatepost.SessionCache()
    with Server(script, tmp_path) as server:
        for kind, (wanted, words) in EXPECTED.items():
            error = asyncio.run(fail(connect, server, kind, cache))
            assert isinstance(error, wanted) and words in str(error), (kind, error)


def test_server_that_refuses_is_named(connect: Connect, tmp_path: Path) -> None:
    """An alert of the server's is in the error."""
    import ssl

    async def talk() -> None:
        address = ("localhost", server.port)
        async with connect(*address, ca_file=server.ca_file, timeout=SECONDS, implicit=True) as secure:
            await secure.read()

    def refuse(talker: Talker) -> None:
        talker.context.set_ciphers("AES128-GCM-SHA256")  # without forward secrecy: nothing that we offer
        talker.upgrade()

    with Server(refuse, tmp_path, maximum_version=ssl.TLSVersion.TLSv1_2) as server:
        with pytest.raises(HandshakeError) as caught:
            asyncio.run(talk())
    assert caught.value.alert == "handshake_failure"


def held() -> int:
    """The octets that code of ours, of pyOpenSSL and of asyncio holds; a test runner holds things of its own."""
    ours = [tracemalloc.Filter(True, f"*/{package}/*") for package in ("gatepost", "OpenSSL", "asyncio")]
    snapshot = tracemalloc.take_snapshot().filter_traces(ours)
    return sum(trace.size for trace in snapshot.traces)


@pytest.mark.parametrize("driver", ["asyncio", "blocking"])
def test_a_thousand_failures_leave_nothing(driver: str, tmp_path: Path) -> None:
    """The same number of descriptors, and no more memory, after the thousandth as after the hundredth."""
    connect: Connect = gatepost.connect if driver == "asyncio" else connect_blocking
    cache = gatepost.SessionCache()
    kinds = itertools.cycle(KINDS)

    async def some(count: int) -> None:
        for _ in range(count):
            await fail(connect, server, next(kinds), cache)

    with no_new_descriptors(), Server(script, tmp_path) as server:
        asyncio.run(some(100))
        gc.collect()
        tracemalloc.start()
        try:
            asyncio.run(some(4))
            gc.collect()
            before = held()
            asyncio.run(some(FAILURES - 104))
            gc.collect()
            grown = held() - before
        finally:
            tracemalloc.stop()
        assert grown < GROWTH
