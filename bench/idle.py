"""Memory of connections that are held and say nothing."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import generator
from mailservers import Peer
from servers import Server
from throughput import started_for
from turns import Bench, Figures

COUNTS: Final = (100, 1_000, 10_000)
SETTLE: Final = 1.0
QUICK_TEN_THOUSAND: Final = ("sink", "gatepost")


def idle(bench: Bench) -> Figures:
    """KiB for each STARTTLS connection, by server and number."""
    found: Figures = {}
    with started_for(bench, "idle") as servers:
        for name, one in servers.items():
            with bench.sparing(name):
                found[name] = of(bench, one.peer, one.server)
    return found


def of(bench: Bench, peer: Peer, server: Server) -> dict[str, float]:
    """Connections are added up to each number, so that none is counted that another left behind."""
    figures: dict[str, float] = {}
    before, there = at_rest(server), 0
    with contextlib.ExitStack() as stack:
        for count in COUNTS:
            if count > peer.most_held:
                bench.leave_out(f"{peer.name}, {count}", peer.why_not_more)
                continue
            if bench.quick and count == COUNTS[-1] and peer.name not in QUICK_TEN_THOUSAND:
                continue
            stack.enter_context(generator.held(server.port, count - there))
            there = count
            time.sleep(SETTLE)
            figures[str(count)] = (server.memory() - before) / count / 1024
    return figures


def at_rest(server: Server, *words: object) -> int:
    """What it holds while nobody is there; what is allocated once, is.

    :param words: options of the generator.
    """
    with generator.held(server.port, 1, *words):
        pass
    time.sleep(SETTLE)
    return server.memory()


def each(server: Server, count: int, *words: object) -> float:
    """KiB for each of so many connections."""
    before = at_rest(server, *words)
    with generator.held(server.port, count, *words):
        time.sleep(SETTLE)
        return (server.memory() - before) / count / 1024
