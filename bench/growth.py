"""What a session, a message and a decision cost as what is stored grows.

    python bench/growth.py [--sizes 100,1000,10000,100000] [--only queue,mailbox,users,greylist]

One line a size: the CPU time of the server for one STARTTLS session with one 4 KiB message, while that many messages
wait in the queue (delivery on hold), lie in the mailbox that it is delivered to (delivery included), or so many users
exist; for greylisting the time of one decision, about a triplet that is known and about one that is new.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from peers import HOLD, gatepost_config, serving
from servers import Server, end_on_sigterm, until

from gatepost.accounts.passwords import Passwords
from gatepost.greylist.memory import Timing
from gatepost.greylist.triplet import Prefixes, Triplet, triplet_of
from gatepost.mailbox import mailbox_root, make_mailbox
from gatepost.store.greylist import Bounds
from gatepost.store.sqlite.accounts import FILE_NAME as ACCOUNTS
from gatepost.store.sqlite.accounts import SQLiteAccountStore
from gatepost.store.sqlite.greylist import FILE_NAME as GREYLIST
from gatepost.store.sqlite.greylist import SQLiteGreylist
from gatepost.wire.sasl.secret import Secret

HERE: Final = Path(__file__).parent
PORT: Final = 12751
SESSIONS: Final = 500
Figures = dict[str, float]


def run(sessions: int, *words: str) -> None:
    """Send that many messages, over sessions of the kind that the words say."""
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py"), "--port", str(PORT), "--sessions", str(sessions), "--json", *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not json.loads(done.stdout)["failed"], done.stdout


def cost(server: Server, settled: Callable[[int], None]) -> Figures:
    """CPU microseconds for a session, in the middle of three runs.

    :param settled: waits until so many messages were dealt with.
    """
    figures = []
    run(100)
    settled(100)
    for number in range(1, 4):
        cpu = server.cpu()
        run(SESSIONS)
        settled(100 + number * SESSIONS)
        figures.append(1e6 * (server.cpu() - cpu) / SESSIONS)
    return {"us a session": statistics.median(figures)}


def queue(place: Path, size: int) -> Figures:
    """So many messages wait already."""
    config = gatepost_config(place, PORT, delivery=HOLD)
    with serving(config, PORT, None) as server:
        run(size // 20, "--mode", "plain", "--messages", "20")
        return cost(server, lambda count: None)


def mailbox(place: Path, size: int) -> Figures:
    """So many messages lie in the mailbox already."""
    config = gatepost_config(place, PORT)
    root = mailbox_root(place / "data", "user0@mx.test")
    make_mailbox(root)
    for number in range(size):
        (root / "new" / f"{1_700_000_000 + number}.M1Q{number:032x}.mx.test,S=8,W=10").write_bytes(b"a: b\n\nc\n")

    def settled(count: int) -> None:
        until(lambda: len(os.listdir(root / "new")) >= size + count, "the mail arrives")  # noqa: PTH208

    with serving(config, PORT, None) as server:
        return cost(server, settled)


def users(place: Path, size: int) -> Figures:
    """So many users exist."""
    config = gatepost_config(place, PORT, delivery=HOLD)
    record = Passwords().record(Secret(b"the same for all of them"))
    store = SQLiteAccountStore(place / "data" / ACCOUNTS)
    for number in range(1, size):
        store.create(f"someone{number}@mx.test", record)
    store.close()
    with serving(config, PORT, None) as server:
        return cost(server, lambda count: None)


def greylist(place: Path, size: int) -> Figures:
    """So many triplets are remembered."""
    place.mkdir(parents=True)
    store = SQLiteGreylist(place / GREYLIST)
    timing, bounds = Timing(), Bounds(auto_allow=0)

    def triplet(number: int) -> Triplet:
        client = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return triplet_of(client, f"a{number}@b.test", "c@d.test", Prefixes())

    def times(numbers: range) -> float:
        seconds = []
        for number in numbers:
            begun = time.perf_counter()
            store.decide(triplet(number), timing, bounds)
            seconds.append(time.perf_counter() - begun)
        return 1e6 * statistics.median(seconds)

    for number in range(size):
        store.decide(triplet(number), timing, bounds)
    known = times(range(0, size, max(size // 1000, 1)))
    new = times(range(size, size + 1000))
    store.close()
    return {"us for a known triplet": known, "us for a new one": new}


KINDS: Final[dict[str, Callable[[Path, int], Figures]]] = {
    "queue": queue, "mailbox": mailbox, "users": users, "greylist": greylist,
}  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="100,1000,10000,100000")
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    end_on_sigterm()
    results: dict[str, dict[int, Figures]] = {}
    for kind in asked.only.split(","):
        for size in map(int, asked.sizes.split(",")):
            with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as place:
                figures = KINDS[kind](Path(place) / kind, size)
            results.setdefault(kind, {})[size] = figures
            if not asked.json:
                said = ", ".join(f"{value:.0f} {key}" for key, value in figures.items())
                print(f"{kind} of {size}: {said}", flush=True)
    if asked.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
