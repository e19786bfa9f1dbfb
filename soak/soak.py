"""Ten minutes of everything that can go wrong, and then the books.

    make soak                                # 10 minutes
    python soak/soak.py --minutes 2 --seed 7

Real traffic runs all the time: mail from strangers over STARTTLS, mail of users who log in, relayed to a server that
refuses some of it, mail fetched and deleted over POP3, and 1,000 slow connections that stay. Meanwhile, one after the
other, in an order that the seed decides: workers are killed, the disk fills, name servers fail, descriptors run out,
certificates are replaced, peers stall at every step, handshakes are left half open by the thousand, the clock jumps.

At the end every message that was answered with 250 is looked for: in the mailboxes, among what was fetched, at the
server it was relayed to, in the bounces. The exit code is 0 when none is lost, memory and descriptors are flat, and
other clients were served.

The disk can be filled by root only (a small file system is mounted); the clock can jump where libfaketime is installed
(apt install faketime). What cannot be done here is said at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from accounting import Balance, balance
from faults import FAULTS, Server
from traffic import ELSEWHERE, PASSWORD, USERS, World, elsewhere, prober, readers, strangers, users

from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS

SLOW: Final = 1000
CONFIG: Final = """\
hostname = "mx.test"
domains = ["mx.test"]
data = "{data}"
user = "root"
workers = 2
drain_seconds = 5
[tls]
certificate = "server.pem"
[[listener]]
name = "mx"
protocol = "smtp"
bind = "127.0.0.1:{mx}"
[[listener]]
name = "submission"
protocol = "submission"
bind = "127.0.0.1:{submission}"
[[listener]]
name = "pop3"
protocol = "pop3"
bind = "127.0.0.1:{pop3}"
[limits]
connections = 10000
connections_per_address = 10000
handshake_timeout = "10s"
[delivery]
port = {elsewhere}
resolver = "{resolver}"
retry_first = "2s"
retry_max = "8s"
lifetime = "1h"
"""
FAKETIME: Final = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                   "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1")  # fmt: skip


def free_ports(count: int) -> list[int]:
    """Ports nobody has."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[bool]:
    """A file system of its own for the data, where we may mount one; whether there is."""
    path.mkdir()
    size = f"size={megabytes}m"
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)], capture_output=True, check=False
        ).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=False)


@contextlib.contextmanager
def serving(place: Path, data: Path, small: bool, ports: dict[str, int], dns: FakeDNS) -> Iterator[Server]:
    """The server."""
    authority = TestAuthority()
    authority.issue("mx.test").write(place / "server.pem")
    (place / "server.pem").chmod(0o600)
    (place / "ca.pem").write_bytes(authority.pem)
    authority.issue("elsewhere.test").write(place / "elsewhere.pem")
    config = place / "gatepost.toml"
    config.write_text(CONFIG.format(data=data, resolver=dns.nameserver, **ports))
    command = [sys.executable, "-m", "gatepost", "--config", str(config)]
    for user in USERS:
        subprocess.run([*command, "user", "add", user, "--password-stdin"], input=PASSWORD.encode(), check=True,
                       capture_output=True)  # fmt: skip
    environment = dict(os.environ)
    if library := next((each for each in FAKETIME if Path(each).exists()), None):
        (place / "clock").write_text("+0s\n")
        environment |= {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(place / "clock")}
        environment |= {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    try:
        yield Server(process, config, data, small, authority, dns)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


async def ready(world: World) -> None:
    """Wait until it listens."""
    for port in world.ports.values():
        for _ in range(400):
            try:
                with socket.create_connection(("127.0.0.1", port), 1):
                    break
            except OSError:
                await asyncio.sleep(0.05)


async def slow(world: World) -> list[socket.socket]:
    """Connections that say nothing more, and are opened again when they are ended."""
    loop = asyncio.get_running_loop()
    held: list[socket.socket] = []
    for _ in range(SLOW):
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            await loop.sock_connect(sock, ("127.0.0.1", world.ports["mx"]))
        held.append(sock)
    return held


async def usage(server: Server) -> tuple[int, int]:
    """Octets of memory (proportional set size) and descriptors of all its processes."""
    memory = descriptors = 0
    for pid in (server.process.pid, *await server.workers()):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                memory += 1024 * int(line.split()[1]) if line.startswith("Pss:") else 0
            descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return memory, descriptors


async def soak(server: Server, world: World) -> tuple[Counter[str], list[tuple[int, int]]]:
    """Traffic and faults until the time is over; what happened, and what the server used each time it was quiet."""
    crowd = [strangers, strangers, strangers, users, users, readers, prober]
    tasks = [asyncio.create_task(each(world)) for each in crowd]
    held = await slow(world)
    happened: Counter[str] = Counter()
    used = []
    while world.going:
        await asyncio.sleep(world.chance.uniform(0.5, 2.0))
        if said := await world.chance.choice(FAULTS)(server, world):
            happened[said] += 1
        for task in tasks:
            if task.done():
                task.result()  # a client that broke is ours to mend
        used.append(await usage(server))
    await asyncio.gather(*tasks)
    for sock in held:
        sock.close()
    return happened, used


async def settled(server: Server, seconds: float) -> int:
    """Wait until the queue is empty; how many messages are left."""
    left = -1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done = await asyncio.to_thread(server.command, "queue", "list", "--json", "--limit", "0")
        if done.returncode == 0:
            left = len(json.loads(done.stdout)["messages"])
            if not left:
                break
        await asyncio.sleep(1)
    return left


async def play(server: Server, ports: dict[str, int], place: Path, minutes: float, seed: int) -> int:
    """All of it."""
    chance = random.Random(seed)  # noqa: S311 - it is repeated by its seed
    world = World({name: ports[name] for name in ("mx", "submission", "pop3")}, place / "ca.pem",
                  time.monotonic() + 60 * minutes, chance)  # fmt: skip
    await ready(world)
    async with elsewhere(world.book, chance, place / "elsewhere.pem").listen("127.0.0.1", ports["elsewhere"]):
        before = await usage(server)
        happened, used = await soak(server, world)
        left = await settled(server, 180)
        after = await usage(server)
    found = balance(world.book, server.data, set())
    return verdict(world, happened, found, left, (before, used, after))


def verdict(
    world: World,
    happened: Counter[str],
    found: Balance,
    left: int,
    used: tuple[tuple[int, int], list[tuple[int, int]], tuple[int, int]],
) -> int:
    """Say it, and judge."""
    probes = sorted(world.probes)
    before, during, after = used
    for what, times in sorted(happened.items()):
        print(f"{times:4} x {what}")
    print(f"acknowledged {found.acknowledged}: delivered {found.delivered}, relayed {found.relayed}, "
          f"bounced {found.bounced}, lost {len(found.lost)}; twice in a mailbox {found.duplicates}, relayed twice "
          f"{found.twice_relayed}, unasked {found.unasked}, "
          f"left in the queue {left}; fetched over POP3 {world.book.fetched.total()}")  # fmt: skip
    print(f"not acknowledged: {_counted(world.book.refused)}")
    if probes:
        waits = [1000 * probes[min(int(len(probes) * share), len(probes) - 1)] for share in (0.5, 0.95, 0.99)]
        print("others waited, ms: p50 {:.0f}, p95 {:.0f}, p99 {:.0f}".format(*waits))
        failed = Counter(world.failures)
        print(f"others not served: {failed.total()} of {len(probes) + failed.total()}: {_counted(failed)}")
    for name, place, scale in (("memory, MiB", 0, 20), ("descriptors", 1, 0)):
        most = max(each[place] for each in during)
        print(f"{name}: {before[place] >> scale} at first, {most >> scale} at most, {after[place] >> scale} at the end")
    wrong = []
    if found.lost or left:
        wrong.append(f"LOST: {found.lost[:5]}; {left} left in the queue")
    if found.unasked:
        wrong.append(f"{found.unasked} messages nobody sent")
    if after[0] > before[0] * 1.5 + (32 << 20) or after[1] > before[1] + 50:
        wrong.append("memory or descriptors grew")
    if len(world.failures) > len(probes):
        wrong.append("other clients were not served")
    for each in wrong:
        print(each)
    return 1 if wrong else 0


def _counted(what: Counter[str]) -> str:
    return ", ".join(f"{times} {name}" for name, times in what.most_common(8)) or "none"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--disk", type=int, default=2000, help="megabytes of the small file system")
    parser.add_argument("--keep", type=Path, help="keep the server's log here")
    asked = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {asked.seed}, {asked.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="gatepost-soak-") as folder:
        place = Path(folder)
        names = ("mx", "submission", "pop3", "elsewhere")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        with FakeDNS() as dns, small_disk(place / "disk", asked.disk) as small:
            if not small:
                print("left out: a full disk (needs root, to mount a small file system)")
            if not any(Path(each).exists() for each in FAKETIME):
                print("left out: a clock that jumps (apt install faketime)")
            dns.add("elsewhere.test", "MX", "10 mx.elsewhere.test.")
            dns.add("mx.elsewhere.test", "A", "127.0.0.1")
            assert ELSEWHERE
            try:
                with serving(place, place / "disk" / "data", small, ports, dns) as server:
                    return asyncio.run(play(server, ports, place, asked.minutes, asked.seed))
            finally:
                if asked.keep and (place / "log").exists():
                    asked.keep.write_bytes((place / "log").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
