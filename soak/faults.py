"""What goes wrong: each fault is a coroutine that causes it, waits a little, and undoes what can be undone.

A fault counts only when it bit. What shows that stands beside it in ``FAULTS``: an event that the server must have
logged, or what its clients were told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peers import Seen, half_open, unanswered
from server import Server
from traffic import World


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    :param name: in words.
    :param cause: causes it; False when it did not come about.
    :param event: what the log then shows.
    :param told: the beginning of what clients are told.
    """

    name: str
    cause: Callable[[Server, World, Seen], Awaitable[bool]]
    event: str = ""
    told: str = ""

    def bit(self, logged: Counter[str], said: Counter[str]) -> bool:
        """Whether it showed."""
        if self.event and not logged[self.event]:
            return False
        return any(each.startswith(self.told) for each in said) if self.told else True


async def _kill_worker(server: Server, world: World, seen: Seen) -> bool:
    return _killed(server, world, server.workers())


async def _kill_delivery(server: Server, world: World, seen: Seen) -> bool:
    workers = server.workers()
    return _killed(server, world, [pid for pid in workers if server.history.roles[pid].startswith("delivery")])


def _killed(server: Server, world: World, pids: list[int]) -> bool:
    with contextlib.suppress(ProcessLookupError):
        if pids:
            os.kill(world.chance.choice(pids), signal.SIGKILL)
    return bool(pids)


async def _kill_supervisor(server: Server, world: World, seen: Seen) -> bool:
    await server.kill_supervisor(workers=False)
    return True


async def _kill_all(server: Server, world: World, seen: Seen) -> bool:
    await server.kill_supervisor(workers=True)
    return True


async def _reload(server: Server, world: World, seen: Seen) -> bool:
    await asyncio.to_thread(server.command, "reload")
    return True


async def _certificate(server: Server, world: World, seen: Seen) -> bool:
    """Replaced in place: first by one that is damaged, which must be refused, then by a good one."""
    pem = server.place / "server.pem"
    fresh = pem.with_suffix(".new")
    fresh.write_bytes(pem.read_bytes()[: world.chance.randint(100, 900)])
    fresh.chmod(0o600)
    fresh.replace(pem)
    await asyncio.sleep(world.chance.uniform(0, 8))
    server.authority.issue("mx.test").write(fresh)
    fresh.chmod(0o600)
    fresh.replace(pem)
    return True


async def _half_open(server: Server, world: World, seen: Seen) -> bool:
    await half_open(world, seen)
    return True


async def _disk(server: Server, world: World, seen: Seen) -> bool:
    if not server.small:
        return False
    path = server.data / "filling"

    def fill() -> None:
        with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            free = os.statvfs(server.data)
            os.posix_fallocate(file.fileno(), path.stat().st_size, max(free.f_bavail - 8, 1) * free.f_frsize)
            while True:
                file.write(b"\0" * 4096)

    try:
        for _ in range(20):  # what others free meanwhile is taken, too
            await asyncio.to_thread(fill)
            await asyncio.sleep(0.2)
    finally:
        path.unlink(missing_ok=True)
    return True


async def _names_fail(server: Server, world: World, seen: Seen) -> bool:
    return await _names(server, server.dns.fail, 5)


async def _names_silent(server: Server, world: World, seen: Seen) -> bool:
    return await _names(server, server.dns.silence, 8)


async def _names(server: Server, broken: Callable[[str], None], seconds: float) -> bool:
    server.dns.questions.clear()
    for name in ("elsewhere.test", "mx.elsewhere.test"):
        broken(name)
    await asyncio.sleep(seconds)
    asked = len(server.dns.questions)
    for name in ("elsewhere.test", "mx.elsewhere.test"):
        server.dns.remove(name)
    server.dns.add("elsewhere.test", "MX", "10 mx.elsewhere.test.")
    server.dns.add("mx.elsewhere.test", "A", "127.0.0.1")
    return asked > 0


async def _descriptors(server: Server, world: World, seen: Seen) -> bool:
    """Each worker has two descriptors left."""
    limited = {}
    for pid in server.workers():
        with contextlib.suppress(ProcessLookupError, OSError):
            used = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
            limited[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 3, limited[pid][1]))
    unserved = await unanswered(world, 20, 3.0)
    for pid, limits in limited.items():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    return unserved > 0


async def _clock(server: Server, world: World, seen: Seen) -> bool:
    """An hour ahead, ten minutes back, and right again. Only where the server's clock can be set (``clock.c``)."""
    path = server.place / "clock"
    if not path.exists():
        return False
    for offset in (3600, -600, 0):
        with path.open("r+b") as file:  # in place: it is mapped
            file.write(offset.to_bytes(8, sys.byteorder, signed=True))
        await asyncio.sleep(4)
    return True


KILLING: Final = (
    *4 * (Fault("a worker was killed", _kill_worker, "worker.died"),),
    *4 * (Fault("the delivery process was killed", _kill_delivery, "worker.died"),),
    Fault("the supervisor was killed, and a new one started", _kill_supervisor, "soak.killed"),
    Fault("all processes were killed, and new ones started", _kill_all, "soak.killed"),
)
"""Come at any time, in the middle of the others too."""

FAULTS: Final = (
    Fault("the configuration was reloaded", _reload, "server.reloaded"),
    Fault("the certificate was replaced, by a damaged one first", _certificate, "certificate.replaced"),
    Fault("handshakes were left half open by the thousand", _half_open, "tls.handshake-failed"),
    Fault("the disk was full", _disk, told="452"),
    Fault("name servers failed", _names_fail),
    Fault("name servers said nothing", _names_silent),
    Fault("descriptors ran out", _descriptors),
    Fault("the clock jumped an hour ahead, and back", _clock, "delivery.clock"),
)
"""Come one after the other."""
