"""What goes wrong: each fault is a coroutine that causes it, waits a little, and undoes what can be undone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from traffic import World

from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS

HELLO: Final = bytes.fromhex("16030100c8010000c40303")  # the beginning of a ClientHello
STEPS: Final = (
    (),
    (b"EHLO staller\r\n",),
    (b"EHLO staller\r\n", b"STARTTLS\r\n"),
    (b"EHLO staller\r\n", b"STARTTLS\r\n", HELLO),
    (b"EHLO staller\r\n", b"MAIL FROM:<slow@elsewhere.test>\r\n"),
    (b"EHLO staller\r\n", b"MAIL FROM:<slow@elsewhere.test>\r\n", b"RCPT TO:<user0@mx.test>\r\n", b"DATA\r\n",
     b"Subject: never\r\n\r\nended"),
)  # fmt: skip
HALF_OPEN: Final = 1000
STALLED: Final = 120


@dataclass(slots=True)
class Server:
    """``gatepost serve``, from outside.

    :param process: the supervisor.
    :param config: its configuration.
    :param data: its directory, on a small file system of its own where ``small`` is true.
    """

    process: subprocess.Popen[bytes]
    config: Path
    data: Path
    small: bool
    authority: TestAuthority
    dns: FakeDNS

    def command(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run one of its commands."""
        return subprocess.run(
            [sys.executable, "-m", "gatepost", "--config", str(self.config), *words],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    async def status(self) -> dict[str, Any]:
        """What ``gatepost status`` says; empty when nobody answers."""
        done = await asyncio.to_thread(self.command, "status", "--json")
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found

    async def workers(self) -> list[int]:
        """The processes that serve."""
        return [each["pid"] for each in (await self.status()).get("processes", []) if each["pid"]]


async def kill(server: Server, world: World) -> str:
    """A worker dies without a word."""
    workers = await server.workers()
    if workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(world.chance.choice(workers), signal.SIGKILL)
    return "a worker was killed"


async def reload(server: Server, world: World) -> str:
    """The configuration is read again."""
    await asyncio.to_thread(server.command, "reload")
    return "reloaded"


async def certificate(server: Server, world: World) -> str:
    """The certificate is replaced, in place."""
    pem = server.config.parent / "server.pem"
    fresh = pem.with_suffix(".new")
    server.authority.issue("mx.test").write(fresh)
    fresh.replace(pem)
    return "the certificate was replaced"


async def stall(server: Server, world: World) -> str:
    """Peers stop at every step there is, and stay."""
    connections = await asyncio.gather(
        *(_open(world, STEPS[number % len(STEPS)]) for number in range(STALLED)), return_exceptions=True
    )
    await asyncio.sleep(3)
    _close(connections)
    return f"{STALLED} peers stalled"


async def half_open(server: Server, world: World) -> str:
    """Handshakes that are begun by the thousand."""
    connections: list[Any] = []
    for _ in range(HALF_OPEN // 100):
        opening = (_open(world, (b"EHLO half\r\n", b"STARTTLS\r\n", HELLO)) for _ in range(100))
        connections += await asyncio.gather(*opening, return_exceptions=True)
    await asyncio.sleep(2)
    _close(connections)
    return f"{HALF_OPEN} handshakes were left half open"


async def disk(server: Server, world: World) -> str:
    """The disk is full for a while."""
    if not server.small:
        return ""
    path = server.data / "filling"

    def fill() -> None:
        with path.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)

    try:
        await asyncio.to_thread(fill)
        await asyncio.sleep(3)
    finally:
        path.unlink(missing_ok=True)
    return "the disk was full"


async def names(server: Server, world: World) -> str:
    """Name servers fail."""
    server.dns.fail("elsewhere.test")
    await asyncio.sleep(4)
    server.dns.remove("elsewhere.test")
    server.dns.add("elsewhere.test", "MX", "10 mx.elsewhere.test.")
    return "DNS failed"


async def descriptors(server: Server, world: World) -> str:
    """A worker has no file descriptor left."""
    limited = {}
    for pid in await server.workers():
        with contextlib.suppress(ProcessLookupError, OSError):
            used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            limited[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, limited[pid][1]))
    await asyncio.sleep(3)
    for pid, limits in limited.items():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    return "descriptors ran out"


async def clock(server: Server, world: World) -> str:
    """The clock of the day jumps, an hour ahead and back. Only where the server runs under libfaketime."""
    path = server.config.parent / "clock"
    if not path.exists():
        return ""
    path.write_text("+3600s\n")
    await asyncio.sleep(4)
    path.write_text("-600s\n")
    await asyncio.sleep(4)
    path.write_text("+0s\n")
    return "the clock jumped"


FAULTS: Final[tuple[Callable[[Server, World], Awaitable[str]], ...]] = (
    kill, kill, kill, reload, certificate, stall, half_open, disk, names, descriptors, clock,
)  # fmt: skip


async def _open(world: World, words: tuple[bytes, ...]) -> socket.socket:
    """A connection from an address of its own that says these words and then nothing."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.bind((f"127.0.{world.chance.randint(1, 200)}.{world.chance.randint(2, 250)}", 0))
        async with asyncio.timeout(5):
            await loop.sock_connect(sock, ("127.0.0.1", world.ports["mx"]))
            for word in words:
                await loop.sock_recv(sock, 4096)
                await loop.sock_sendall(sock, word)
    except (OSError, TimeoutError) as error:
        if not isinstance(error, TimeoutError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        if words:
            sock.close()
    return sock


def _close(connections: list[Any]) -> None:
    for each in connections:
        if isinstance(each, socket.socket):
            each.close()
