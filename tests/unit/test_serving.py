"""``gatepost.serve_protocol``: the server's side of every recipe, on any accepted socket."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import gatepost
from gatepost.net.listen import bind
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import server_contexts

SECONDS = 60.0
AUTHORITY = TestAuthority()
CONTEXTS = server_contexts([AUTHORITY.issue("localhost", "127.0.0.1").credential])


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.pem)
    return path


async def echo(connection: gatepost.SecureConnection) -> None:
    """Say a line back, until the client leaves."""
    while line := await connection.readline():
        await connection.send(line)


async def never(connection: gatepost.SecureConnection) -> None:
    """Nobody becomes private here."""
    raise AssertionError("the handler ran")


def listening(
    test: Callable[[int], Coroutine[Any, Any, None]], recipe: str = "imap", handler: Any = echo, **settings: Any
) -> None:
    """Run a test against a listening server."""

    async def main() -> None:
        with bind(("127.0.0.1", 0)) as sock:
            serving = asyncio.create_task(gatepost.serve_protocol(recipe, sock, CONTEXTS, handler, **settings))
            try:
                async with asyncio.timeout(SECONDS):
                    await test(sock.getsockname()[1])
            finally:
                serving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await serving

    asyncio.run(main())


@pytest.mark.parametrize("recipe", ["smtp", "lmtp", "pop3", "imap", "sieve", "nntp", "ftp", "irc", "postgres", "ldap"])
def test_handler_begins_inside_tls(recipe: str, ca_file: Path) -> None:
    """Whatever was said before: our own client's half of the same recipe says it."""

    async def test(port: int) -> None:
        async with gatepost.connect("localhost", port, ca_file=ca_file) as plain:
            secure = await plain.upgrade(recipe)
            await secure.send(b"hello\r\n")
            assert await secure.readline() == b"hello\r\n"
            assert secure.evidence.verification.status == "verified"
            await secure.close()

    listening(test, recipe)


def test_implicit_tls_begins_with_the_handshake(ca_file: Path) -> None:
    """Nothing is said in the clear."""

    async def test(port: int) -> None:
        async with gatepost.connect("localhost", port, ca_file=ca_file, implicit=True) as secure:
            await secure.send(b"hello\r\n")
            assert await secure.readline() == b"hello\r\n"

    listening(test, implicit=True)


def test_a_connected_socket_is_served_until_the_handler_returns(ca_file: Path) -> None:
    """Then it is closed, and the call returns."""

    async def one(connection: gatepost.SecureConnection) -> None:
        await connection.send(connection.evidence.version.encode() + b"\r\n")

    async def main() -> None:
        with bind(("127.0.0.1", 0)) as sock:
            loop = asyncio.get_running_loop()

            async def client() -> tuple[bytes, bytes]:
                async with gatepost.connect("localhost", sock.getsockname()[1], ca_file=ca_file) as plain:
                    secure = await plain.upgrade("pop3")
                    return await secure.readline(), await secure.read()

            asking = asyncio.create_task(client())
            accepted, _ = await loop.sock_accept(sock)
            await gatepost.serve_protocol("pop3", accepted, CONTEXTS, one)
            assert accepted.fileno() == -1
            assert await asking == (b"TLSv1.3\r\n", b"")

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_challenge_is_said_on_an_accepted_socket() -> None:
    """A handler of MySQL that has to know the greeting's challenge chooses it for its one client."""
    challenge = bytes(range(1, 21))

    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            loop = asyncio.get_running_loop()
            serving = asyncio.create_task(gatepost.serve_protocol("mysql", ours, CONTEXTS, never, challenge=challenge))
            said = await loop.sock_recv(theirs, 4096)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(gatepost.RemoteProtocolError):
                await serving
            return said

    said = asyncio.run(asyncio.wait_for(main(), SECONDS))
    assert challenge[:8] in said and challenge[8:] in said


def test_one_challenge_for_every_client_is_refused() -> None:
    """On a listening socket each connection would be greeted with the same."""
    with (
        bind(("127.0.0.1", 0)) as sock,
        pytest.raises(gatepost.LocalProtocolError, match="every client"),
    ):
        asyncio.run(gatepost.serve_protocol("mysql", sock, CONTEXTS, echo, challenge=bytes(range(1, 21))))


def test_plaintext_behind_the_request_is_refused_and_raised() -> None:
    """The client is told in its protocol's words; the handler never runs."""

    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            theirs.sendall(b"a1 STARTTLS\r\na2 LOGIN evil evil\r\n")
            with pytest.raises(gatepost.PlaintextAfterUpgrade) as finding:
                await gatepost.serve_protocol("imap", ours, CONTEXTS, never)
            assert finding.value.residue == b"a2 LOGIN evil evil\r\n"
            assert ours.fileno() == -1
            said = b""
            while data := await asyncio.get_running_loop().sock_recv(theirs, 4096):
                said += data
            return said

    said = asyncio.run(asyncio.wait_for(main(), SECONDS))
    assert b"a1 BAD" in said
    assert b"a1 OK" not in said


def test_a_failed_client_is_told_of_and_others_are_served(ca_file: Path) -> None:
    """``failed`` gets the reason in words; the listener goes on."""
    failures: list[Exception] = []

    async def test(port: int) -> None:
        with pytest.raises(gatepost.VerificationError):
            async with gatepost.connect("localhost", port, ca_file=ca_file, names=["other.example"]) as plain:
                await plain.upgrade("imap")
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, b"a1 STARTTLS\r\nNOOP\r\n")
            while await loop.sock_recv(sock, 4096):
                pass
        async with gatepost.connect("localhost", port, ca_file=ca_file) as plain:
            await (await plain.upgrade("imap")).close()

    listening(test, failed=failures.append)
    assert any(isinstance(failure, gatepost.PlaintextAfterUpgrade) for failure in failures)


def test_a_handler_that_fails_is_logged_and_costs_its_own_connection(
    ca_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The next client is served."""

    async def broken(connection: gatepost.SecureConnection) -> None:
        if await connection.readline() == b"break\r\n":
            raise ZeroDivisionError("a handler breaks")
        await connection.send(b"still here\r\n")

    async def test(port: int) -> None:
        for word, answer in ((b"break\r\n", b""), (b"hello\r\n", b"still here\r\n")):
            async with gatepost.connect("localhost", port, ca_file=ca_file) as plain:
                secure = await plain.upgrade("imap")
                await secure.send(word)
                try:
                    said = await secure.readline()
                except (gatepost.GatepostError, OSError):
                    said = b""
                assert said == answer

    caplog.set_level(logging.ERROR)
    listening(test, handler=broken)
    assert "ZeroDivisionError: a handler breaks" in caplog.text


def test_no_more_clients_at_once_than_the_limit(ca_file: Path) -> None:
    """The others wait in the kernel, and are served when somebody has left."""

    async def test(port: int) -> None:
        async with gatepost.connect("localhost", port, ca_file=ca_file) as first:
            secure = await first.upgrade("imap")
            async with gatepost.connect("localhost", port, ca_file=ca_file) as second:
                assert not await second.ready(timeout=0.2)
                await secure.close()
                assert await second.ready()
                await (await second.upgrade("imap")).close()

    listening(test, connections=1)


@pytest.mark.parametrize(
    ("recipe", "settings"), [("imapp", {}), ("imap", {"timeout": 0}), ("imap", {"connections": 0})]
)
def test_arguments_that_cannot_be_are_refused(recipe: str, settings: dict[str, Any]) -> None:
    """At once."""

    async def main() -> None:
        with bind(("127.0.0.1", 0)) as sock:
            await gatepost.serve_protocol(recipe, sock, CONTEXTS, echo, **settings)

    with pytest.raises(gatepost.LocalProtocolError):
        asyncio.run(main())
