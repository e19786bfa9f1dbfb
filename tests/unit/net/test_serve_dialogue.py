"""The server's side of an upgrade on an accepted socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from gatepost.errors import DeadlineExceeded, HandshakeError, UpgradeError
from gatepost.net.dial import wrap
from gatepost.net.drive import Wire
from gatepost.net.serve_dialogue import Accepted, upgrade_accepted
from gatepost.testing.recipes import CLIENT_TERMS, SERVER_TERMS, converse
from gatepost.testing.tls import client_settings, contexts
from gatepost.tls.contexts import ClientTLS
from gatepost.wire.dialogue import Dialogue, receive, send
from gatepost.wire.recipes.recipe import PeerLeft, ServerTerms
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import PlaintextAfterUpgrade

Client: TypeAlias = Callable[[Wire], Awaitable[None]]


async def meet(
    name: str, client: Client, *, tls: ClientTLS | None = None, seconds: float = 20.0, implicit: bool = False
) -> Accepted:
    """Serve one client, until both are done with the handshake or one of them is done with the other."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    wire = wrap(loop, theirs, dialer="test", tls=tls or client_settings())
    talking = asyncio.ensure_future(client(wire))
    try:
        async with asyncio.timeout(60):
            return await upgrade_accepted(
                loop, ours, RECIPES[name], contexts(), terms=ServerTerms(SERVER_TERMS.hostname, seconds),
                handshake_seconds=seconds, implicit=implicit,
            )  # fmt: skip
    except BaseException:
        assert ours.fileno() == -1
        raise
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(60):
                await talking
        wire.abort()


def upgrading(name: str, *first: bytes) -> Client:
    """A client that upgrades, and then says something."""

    def talk(wire: Wire) -> Dialogue[None]:
        yield from converse(RECIPES[name], wire.origin, CLIENT_TERMS)
        for words in first:
            yield from send(words)

    async def client(wire: Wire) -> None:
        await wire.run(talk(wire))

    return client


@pytest.mark.parametrize("name", RECIPES)
def test_a_client_of_each_recipe_is_served(name: str) -> None:
    """The first words inside TLS arrive, and an answer leaves."""

    async def main() -> None:
        answers: list[bytes] = []

        async def client(wire: Wire) -> None:
            await upgrading(name, b"first\r\n")(wire)
            while len(b"".join(answers)) < 8 and (data := await wire.run(receive(20.0, "answer"))):
                answers.append(data)
            wire.close()

        async def served() -> Accepted:
            loop = asyncio.get_running_loop()
            accepted = await upgrade_accepted(loop, ours, RECIPES[name], contexts(), terms=SERVER_TERMS)
            assert await accepted.receive() == b"first\r\n"
            await accepted.send(b"second\r\n")
            assert await accepted.receive() == b""
            accepted.close()
            return accepted

        ours, theirs = socket.socketpair()
        wire = wrap(asyncio.get_running_loop(), theirs, dialer="test", tls=client_settings())
        async with asyncio.timeout(60):
            accepted, _ = await asyncio.gather(served(), client(wire))
        assert b"".join(answers) == b"second\r\n"
        assert accepted.evidence.server_name == "mx.example.org"
        assert accepted.origin.listener == name

    asyncio.run(main())


def test_implicit_tls_begins_with_the_handshake() -> None:
    """Nothing is said in the clear."""

    async def client(wire: Wire) -> None:
        await wire.handshake()

    accepted = asyncio.run(meet("imap", client, implicit=True))
    assert accepted.evidence.version == "TLSv1.3"


@pytest.mark.parametrize(("offered", "chosen"), [((), True), (("imap",), True), (("smtp", "pop3"), False)])
def test_a_client_of_another_protocol_is_refused_by_alpn(offered: tuple[str, ...], chosen: bool) -> None:
    """The names are those of the recipe (RFC 7301 §3.2)."""
    settings = client_settings()
    tls = ClientTLS(settings.context, settings.server_name, level="encrypt", alpn=offered)
    if chosen:
        asyncio.run(meet("imap", upgrading("imap"), tls=tls))
    else:
        with pytest.raises(HandshakeError) as error:
            asyncio.run(meet("imap", upgrading("imap"), tls=tls))
        assert error.value.alert == "no_application_protocol"


def saying(*words: bytes, close: bool = False) -> Client:
    """A client that says something in the clear, hears everything, and closes when the server has."""

    async def client(wire: Wire) -> None:
        for each in words:
            await wire.send(each, 20.0)
        while not close:
            if not (await wire.run(receive(20.0, "anything"))):
                break
        wire.close()

    return client


@pytest.mark.parametrize(
    ("client", "error"),
    [
        (saying(b"a STARTTLS\r\nb LOGIN x y\r\n"), PlaintextAfterUpgrade),
        (saying(b"a LOGOUT\r\n"), PeerLeft),
        (saying(close=True), (PeerLeft, OSError)),
        (saying(b"a STARTTLS\r\n", close=True), (UpgradeError, PeerLeft, OSError)),
    ],
)
def test_whatever_goes_wrong_is_raised_with_the_socket_closed(
    client: Client, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """One exception, and nothing is left open."""
    with pytest.raises(error) as raised:
        asyncio.run(meet("imap", client))
    assert str(raised.value)


def test_dripping_does_not_stretch_the_deadline() -> None:
    """Octet by octet, for ever: the time is counted for everything before the handshake together."""

    async def client(wire: Wire) -> None:
        while not wire.closed:
            await wire.send(b"a NOOP\r\n"[:1], 5.0)
            await asyncio.sleep(0.01)

    with pytest.raises(DeadlineExceeded):
        asyncio.run(meet("imap", client, seconds=0.1))


def test_cancelling_closes_the_socket() -> None:
    """A server that stops leaves nothing open."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            loop = asyncio.get_running_loop()
            serving = asyncio.ensure_future(upgrade_accepted(loop, ours, RECIPES["imap"], contexts()))
            theirs.setblocking(False)
            async with asyncio.timeout(30):
                assert await loop.sock_recv(theirs, 100)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert ours.fileno() == -1

    asyncio.run(main())


def test_a_flood_behind_a_refusal_is_not_read_for_ever() -> None:
    """Whoever goes on sending after he was refused is cut off."""

    async def client(wire: Wire) -> None:
        await wire.send(b"a STARTTLS\r\nb NOOP\r\n", 20.0)
        with contextlib.suppress(OSError):
            while not wire.closed:
                await wire.send(b"x" * 65536, 20.0)
                await asyncio.sleep(0)

    with pytest.raises(PlaintextAfterUpgrade):
        asyncio.run(meet("imap", client))


def test_failed_upgrades_leave_no_descriptors() -> None:
    """A few hundred of them, refused and broken off."""

    async def main() -> None:
        for number in range(200):
            injects = bool(number % 2)
            client = saying(b"STLS\r\nNOOP\r\n" if injects else b"STLS\r\n", close=not injects)
            with pytest.raises(PlaintextAfterUpgrade if injects else (UpgradeError, PeerLeft, OSError)):
                await meet("pop3", client)

    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    asyncio.run(main())
    after = len(os.listdir("/proc/self/fd")) if before else 0
    assert after <= before
