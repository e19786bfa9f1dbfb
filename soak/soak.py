"""Ten minutes of everything that can go wrong, and then the books.

    make soak                                # 10 minutes
    python soak/soak.py --minutes 2 --seed 7

Real traffic passes through all services all the time, while processes are killed, the disk fills, the clock jumps, name
servers fail, descriptors run out, certificates are replaced, peers stall at every step, 1,000 slow connections hold on
and handshakes are left half open by the thousand; in an order that the seed decides. Then every message that was
answered with 250 is looked for. The exit status is 0 when every promise was kept. See docs/soak.md.

The disk can be filled by root only (a small file system is mounted); the clock can jump where there is a C compiler (a
library is put under the server). What cannot be done here is said at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from accounting import Promise, balance, read_copy
from elsewhere import STEPS, Echo, Mailboxes, Stalling, listen, taking
from faults import FAULTS, KILLING, Fault
from peers import Seen, slow, stallers
from server import Server
from traffic import PASSWORD, STALLING, USERS, World, crowd
from verdict import Result, Use, broken, report

from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS

CONFIG: Final = """\
hostname = "mx.test"
domains = ["mx.test"]
data = "{data}"
user = "root"
workers = 2
drain_seconds = 5
log = "json"

[tls]
certificate = "server.pem"

{listeners}
[[backend]]
name = "mx"
servers = ["127.0.0.1:{mx}"]
tls = "starttls"
ca = "ca.pem"
names = ["mx.test"]
[[backend]]
name = "pop3"
servers = ["127.0.0.1:{pop3}"]
tls = "starttls"
ca = "ca.pem"
names = ["mx.test"]
[[backend]]
name = "imap"
servers = ["127.0.0.1:{behind_imap}"]
[[backend]]
name = "echo"
servers = ["127.0.0.1:{behind_echo}"]

{gates}
[limits]
connections = 10000
connections_per_address = 10000
connection_rate_per_address = 100000
handshake_timeout = "10s"
command_timeout = "30s"
data_timeout = "20s"
session_timeout_before_auth = "30s"
pop3_login_timeout = "20s"

[greylist]
enabled = true
listeners = ["mx"]
delay = "3s"
auto_allow = 0
[[greylist_rule]]
recipients = [{greylisted}]
action = "delay"
[[greylist_rule]]
action = "skip"

[record]
budget = "64M"
[[record_rule]]
listeners = ["front", "frontpop3", "imap", "pop3"]
fraction = 0.3
[[record_rule]]
only_failures = true

[delivery]
port = {elsewhere}
resolver = "{resolver}"
retry_first = "2s"
retry_max = "8s"
lifetime = "5d"
"""
LISTENERS: Final = {
    "mx": 'protocol = "smtp"',
    "submission": 'protocol = "submission"',
    "submissions": 'protocol = "submission"\ntls = "implicit"',
    "lmtp": 'protocol = "lmtp"',
    "pop3": 'protocol = "pop3"',
    "pop3s": 'protocol = "pop3"\ntls = "implicit"',
}
GATES: Final = {
    "front": 'protocol = "smtp"\nbackend = "mx"',
    "frontpop3": 'protocol = "pop3"\nbackend = "pop3"',
    "imap": 'protocol = "imap"\nbackend = "imap"',
    "echo": 'protocol = "raw"\ntls = "implicit"\nbackend = "echo"\nidle_timeout = "20s"',
}
BEHIND: Final = ("elsewhere", "behind_imap", "behind_echo")
SETTLING: Final = 180.0
"""Seconds in which the queue must be empty when everything works again."""


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
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True, check=False).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=False)


def _tables(kind: str, which: dict[str, str], ports: dict[str, int]) -> str:
    return "".join(
        f'[[{kind}]]\nname = "{name}"\nbind = "127.0.0.1:{ports[name]}"\n{keys}\n' for name, keys in which.items()
    )


def settable_clock(place: Path) -> dict[str, str]:
    """What the server's environment needs for a clock that can be set; nothing where there is no C compiler."""
    library, source = place / "clock.so", Path(__file__).with_name("clock.c")
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    (place / "clock").write_bytes(bytes(8))
    return {"LD_PRELOAD": str(library), "SOAK_CLOCK": str(place / "clock")}


def set_up(place: Path, data: Path, small: bool, ports: dict[str, int], dns: FakeDNS) -> Server:
    """Certificates, configuration, accounts: a server that can be started."""
    authority = TestAuthority()
    authority.issue("mx.test").write(place / "server.pem")
    (place / "server.pem").chmod(0o600)
    (place / "ca.pem").write_bytes(authority.pem)
    authority.issue("elsewhere.test").write(place / "elsewhere.pem")
    (place / "gatepost.toml").write_text(
        CONFIG.format(
            data=data, resolver=dns.nameserver, greylisted='"user6@mx.test", "user7@mx.test"',
            listeners=_tables("listener", LISTENERS, ports), gates=_tables("gate", GATES, ports), **ports,
        )
    )  # fmt: skip
    environment = dict(os.environ) | settable_clock(place)
    serving = {name: ports[name] for name in (*LISTENERS, *GATES)}
    silent = [name for name, keys in (LISTENERS | GATES).items() if "implicit" in keys]
    server = Server(place, data, small, serving, silent, environment, authority, dns)
    for user in USERS:
        done = server.command("user", "add", user, "--password-stdin", given=PASSWORD.encode())
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
    return server


def names(dns: FakeDNS) -> None:
    """Where the domains' servers are: each that stalls has an address of its own."""
    dns.add("elsewhere.test", "MX", "10 mx.elsewhere.test.")
    dns.add("mx.elsewhere.test", "A", "127.0.0.1")
    for number, domain in enumerate(STALLING):
        dns.add(domain, "MX", f"10 mx.{domain}.")
        dns.add(f"mx.{domain}", "A", f"127.0.99.{number + 1}")


@contextlib.asynccontextmanager
async def behind(world: World, place: Path, ports: dict[str, int]) -> AsyncIterator[None]:
    """Everything that the server talks to."""
    port = ports["elsewhere"]
    servers = [await listen(Echo, "127.0.0.1", ports["behind_echo"]),
               await listen(Mailboxes, "127.0.0.1", ports["behind_imap"])]  # fmt: skip
    for number, step in enumerate(STEPS):
        servers.append(await listen(functools.partial(Stalling, step, world), f"127.0.99.{number + 1}", port))
    async with taking(world.book, world.chance, place / "elsewhere.pem").listen("127.0.0.1", port):
        yield
    for each in servers:
        each.close()


async def watch(server: Server, world: World, seen: Seen, use: Use, begun: float) -> None:
    """What the server uses, every two seconds in which it is there."""
    while world.going:
        await asyncio.sleep(2)
        if server.absent:
            continue
        now = time.monotonic() - begun
        memory = descriptors = 0
        pids = server.workers()
        for pid in (*([server.process.pid] if server.process else ()), *pids):
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                octets = sum(1024 * int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
                memory += octets
                use.processes.setdefault(pid, []).append((now, octets))
                descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        use.memory.append((now, memory))
        use.descriptors.append((now, descriptors - seen.holding))


async def wreck(
    server: Server, world: World, seen: Seen, faults: tuple[Fault, ...], pause: tuple[float, float]
) -> Counter[str]:
    """One fault after the other. Each comes once before any comes again.

    :return: how often each came about.
    """
    happened: Counter[str] = Counter()
    left: list[Fault] = []
    while True:
        await asyncio.sleep(world.chance.uniform(*pause))
        if not world.going:
            return happened
        left = left or world.chance.sample(faults, len(faults))
        fault = left.pop()
        if await fault.cause(server, world, seen):
            happened[fault.name] += 1


async def settled(server: Server) -> None:
    """Wait until the queue is empty."""
    end = time.monotonic() + SETTLING
    while time.monotonic() < end and await asyncio.to_thread(_queued, server):
        await asyncio.sleep(1)


def _queued(server: Server) -> bool:
    queue = SQLiteQueue(server.data)
    try:
        return queue.counts().messages > 0
    finally:
        queue.close()


def waiting(server: Server) -> set[Promise]:
    """What is queued."""
    queue = SQLiteQueue(server.data)
    try:
        found: set[Promise] = set()
        for message in queue.list(limit=100_000):
            body = queue.body_of(message.id)
            if body is not None and (copy := read_copy(b"".join(queue.open_body(body)))) is not None:
                found |= {(copy.token, each.address) for each in message.recipients}
        return found
    finally:
        queue.close()


def secrets_in(records: Path) -> list[str]:
    """Files of records in which the password of the users stands."""
    plain = PASSWORD.encode()
    forms = (plain, *(base64.b64encode(f"\0{user}\0{PASSWORD}".encode()) for user in USERS), base64.b64encode(plain))
    return [str(path) for path in records.rglob("*") if path.is_file() and any(x in path.read_bytes() for x in forms)]


async def play(server: Server, ports: dict[str, int], minutes: float, seed: int) -> Result:
    """All of it."""
    world = World(server.ports, server.place / "ca.pem", time.monotonic() + 60 * minutes,
                  random.Random(seed), lambda: server.absent)  # noqa: S311 - its seed repeats it  # fmt: skip
    seen, use = Seen(), Use()
    async with behind(world, server.place, ports):
        server.start()
        keeper = asyncio.create_task(server.keep())
        await server.serving()
        begun = time.monotonic()
        world.until = begun + 60 * minutes
        async with asyncio.TaskGroup() as group:  # a client of ours that breaks ends everything: it is ours to mend
            for client in crowd(world):
                group.create_task(client())
            group.create_task(slow(world, seen))
            group.create_task(stallers(world, seen))
            group.create_task(watch(server, world, seen, use, begun))
            wrecking = [
                group.create_task(wreck(server, world, seen, FAULTS, (0.5, 2.0))),
                group.create_task(wreck(server, world, seen, KILLING, (8.0, 16.0))),
            ]
        await settled(server)
        keeper.cancel()
    server.stop()
    server.look()
    left = waiting(server)
    found = balance(world.book, server.data, left, server.history)
    happened = sum((each.result() for each in wrecking), Counter[str]())
    return Result(world, seen, happened, found, server.history, use, server.absences,
                  len({token for token, _ in left}), secrets_in(server.data / "records"))  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--disk", type=int, default=700, help="megabytes of the small file system")
    parser.add_argument("--keep", type=Path, help="keep the server's log here")
    asked = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {asked.seed}, {asked.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="gatepost-soak-") as folder:
        place = Path(folder)
        listening = (*LISTENERS, *GATES, *BEHIND)
        ports = dict(zip(listening, free_ports(len(listening)), strict=True))
        with FakeDNS() as dns, small_disk(place / "disk", asked.disk) as small:
            if not small:
                print("left out: a full disk (needs root, to mount a small file system)")
            if shutil.which("cc") is None:
                print("left out: a clock that jumps (needs a C compiler)")
            names(dns)
            server = set_up(place, place / "disk" / "data", small, ports, dns)
            try:
                # asyncio's own loop: libuv may keep a reset to itself, and who stalls waits for nothing else.
                result = asyncio.run(play(server, ports, asked.minutes, asked.seed))
            finally:
                server.stop()
                if asked.keep and server.log.exists():
                    asked.keep.write_bytes(server.log.read_bytes())
    print(report(result))
    wrong = broken(result)
    print("\nevery promise was kept" if not wrong else "\nBROKEN\n" + "\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
