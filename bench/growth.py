"""What a session, a message and a decision cost as what is stored grows.

The figures are CPU time of the server, in microseconds: for a STARTTLS session with one message of 4 KiB, and for each
message of a session with twenty, while so many messages wait in the queue (delivery on hold), so many lie in the
mailbox that they are delivered to (delivery included), so many users exist, or so many triplets are remembered by the
greylist (which is asked about one that it knows; the time of its own decision about a new one stands beside it).
``maildrop`` is a POP3 session with a mailbox of that many messages.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import generator
from mailservers import HOLD, gatepost_config, make_users, serving
from pop3 import WORDS, pop3_config
from servers import Server, until
from turns import Bench, Figures

from gatepost.greylist.memory import Timing
from gatepost.greylist.triplet import Prefixes, Triplet, triplet_of
from gatepost.mailbox import mailbox_root, make_mailbox
from gatepost.store.greylist import Bounds
from gatepost.store.sqlite.accounts import FILE_NAME as ACCOUNTS
from gatepost.store.sqlite.greylist import FILE_NAME as GREYLIST
from gatepost.store.sqlite.greylist import SQLiteGreylist

PORT: Final = 13851
SIZES: Final = (100, 1_000, 10_000, 100_000)
QUICK_SIZES: Final = (10, 100, 1_000, 10_000)
SESSIONS: Final = 600
ASKED: Final = "[greylist]\nenabled = true\nauto_allow = 0\n"
Settled = Callable[[int], None]


def growth(bench: Bench) -> Figures:
    """By kind and size, the figures."""
    found: Figures = {}
    for kind, measure in KINDS.items():
        for size in QUICK_SIZES if bench.quick else SIZES:
            place = bench.place / f"{kind}-{size}"
            with bench.sparing(f"{kind} of {size}"):
                found.setdefault(kind, {})[str(size)] = measure(bench, place, size)
            shutil.rmtree(place, ignore_errors=True)
    return found


def cost(bench: Bench, server: Server, settled: Settled = lambda count: None) -> Figures:
    """CPU microseconds.

    :param settled: waits until so many messages were dealt with.
    """
    sent = 0

    def microseconds(sessions: int, messages: int) -> float:
        nonlocal sent
        cpu = server.cpu()
        said = generator.run(server.port, "--sessions", sessions, "--messages", messages)
        if said["failed"]:
            raise RuntimeError(f"sessions failed: {said['failures']}")
        sent += sessions * messages
        settled(sent)
        return 1e6 * (server.cpu() - cpu) / sessions

    microseconds(100, 1)
    times = 1 if bench.quick else 3
    return {
        "a session": statistics.median(microseconds(SESSIONS, 1) for _ in range(times)),
        "a message of twenty": statistics.median(microseconds(SESSIONS // 10, 20) / 20 for _ in range(times)),
    }


def queue(bench: Bench, place: Path, size: int) -> Figures:
    """So many messages wait already."""
    with serving(gatepost_config(place, PORT, delivery=HOLD), PORT, bench.server_core) as server:
        generator.run(PORT, "--sessions", max(1, size // 20), "--mode", "plain", "--messages", 20)
        return cost(bench, server)


def mailbox(bench: Bench, place: Path, size: int) -> Figures:
    """So many messages lie in the mailbox already."""
    config = gatepost_config(place, PORT)
    new = _filled(place, size)

    def settled(count: int) -> None:
        until(lambda: len(os.listdir(new)) >= size + count, "the mail arrives")  # noqa: PTH208

    with serving(config, PORT, bench.server_core) as server:
        return cost(bench, server, settled)


def _filled(place: Path, size: int) -> Path:
    """Put messages into the mailbox of the first user; where they are."""
    root = mailbox_root(place / "data", "user0@mx.test")
    make_mailbox(root)
    for number in range(size):
        (root / "new" / f"{1_700_000_000 + number}.M1Q{number:032x}.mx.test,S=8,W=11").write_bytes(b"a: b\n\nc\n")
    return root / "new"


def maildrop(bench: Bench, place: Path, size: int) -> Figures:
    """A mailbox of so many messages is opened for each session."""
    config = pop3_config(place, PORT, ["user0@mx.test"])
    _filled(place, size)
    with serving(config, PORT, bench.server_core) as server:
        generator.run(PORT, *WORDS, "--sessions", 2, "--concurrency", 1)
        sessions = max(5, min(200, 20_000 // size))
        said = generator.measured(server, *WORDS, "--sessions", sessions, "--concurrency", 1)
        if said["failed"]:
            raise RuntimeError(f"sessions failed: {said['failures']}")
        return {"a session": 1e6 * said["server_cpu_s"] / sessions}


def users(bench: Bench, place: Path, size: int) -> Figures:
    """So many users exist."""
    config = gatepost_config(place, PORT, delivery=HOLD)
    with _in_memory(place / "data" / ACCOUNTS) as file:
        make_users(file.parent, [f"someone{number}@mx.test" for number in range(1, size)])
    with serving(config, PORT, bench.server_core) as server:
        return cost(bench, server)


def greylist(bench: Bench, place: Path, size: int) -> Figures:
    """So many triplets are remembered."""
    config = gatepost_config(place, PORT, delivery=HOLD + ASKED)
    config.write_text(config.read_text().replace('from = "127.0.0.0/8"', 'from = "192.0.2.1"'))  # who relays is spared
    known = triplet_of("127.0.0.1", "load@client.test", "user0@mx.test", Prefixes())
    at_once, bounds = Timing(delay=0), Bounds(auto_allow=0)
    with _in_memory(place / "data" / GREYLIST) as file:
        store = SQLiteGreylist(file)
        for triplet in (known, known, *map(_triplet, range(1, size))):  # the known one came again
            store.decide(triplet, at_once, bounds)
        store.close()
    new = []
    store = SQLiteGreylist(place / "data" / GREYLIST)
    for number in range(size, size + 500):
        begun = time.perf_counter()
        store.decide(_triplet(number), Timing(), bounds)
        new.append(time.perf_counter() - begun)
    store.close()
    with serving(config, PORT, bench.server_core) as server:
        return cost(bench, server) | {"a decision about a new triplet": 1e6 * statistics.median(new)}


@contextlib.contextmanager
def _in_memory(file: Path) -> Iterator[Path]:
    """A place for a database while it is filled, where that need not wait for a disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        if file.exists():
            shutil.move(file, place)
        yield Path(place) / file.name
        for each in Path(place).iterdir():
            (file.parent / each.name).unlink(missing_ok=True)
            shutil.move(each, file.parent)


def _triplet(number: int) -> Triplet:
    client = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return triplet_of(client, f"a{number}@b.test", "c@d.test", Prefixes())


KINDS: Final[dict[str, Callable[[Bench, Path, int], Figures]]] = {
    "queue": queue, "mailbox": mailbox, "users": users, "greylist": greylist, "maildrop": maildrop,
}  # fmt: skip
