"""Sessions, messages and megabytes per CPU second of the server, and how long a session takes.

The base is the CPU time of the server, all of its processes together: sessions per CPU second are sessions per second
per core, and do not suffer from what else the machine does as the clock does.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import generator
from mailservers import PEERS, Peer
from servers import Server, until
from turns import FIRST_PORT, Bench, Figures, in_turns


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load.

    :param unit: what is counted: ``sessions``, ``messages`` or ``MB``.
    :param words: options of the generator, beside the mode.
    """

    title: str
    unit: str
    words: tuple[str, ...] = ()
    mode: str = "starttls"
    concurrency: int = 50


CASES: Final = {
    "starttls": Case("STARTTLS, one message of 4 KiB a session", "sessions"),
    "starttls20": Case("STARTTLS, 20 messages of 4 KiB a session", "messages", ("--messages", "20")),
    "resumed": Case("STARTTLS resumed, one message of 4 KiB a session", "sessions", ("--resume",)),
    "plain": Case("In the clear, one message of 4 KiB a session", "sessions", mode="plain"),
    "implicit": Case("Implicit TLS, one message of 4 KiB a session", "sessions", mode="implicit"),
    "large": Case(
        "STARTTLS, 4 messages of 1 MiB a session", "MB", ("--messages", "4", "--size", "1048576"), concurrency=10
    ),
}
LEVELS: Final = (1, 10, 50, 200, 500)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that was started, in its directory."""

    peer: Peer
    server: Server
    place: Path

    def delivered(self) -> int:
        """How many messages it delivered, if that is looked at."""
        return self.peer.delivered(self.place) if self.peer.delivered else 0


@contextlib.contextmanager
def started_for(bench: Bench, case: str) -> Iterator[dict[str, Running]]:
    """All servers that are asked for, are here, and take part in this case."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for number, peer in enumerate(PEERS):
            if case not in peer.cases or not bench.wants(peer.name):
                continue
            if not peer.found():
                bench.leave_out(peer.name, f"it is not here: {peer.install}")
                continue
            place = bench.place / peer.name.replace(", ", "-").replace(" ", "-")
            with bench.sparing(peer.name):
                server = stack.enter_context(peer.start(place, FIRST_PORT + number, bench.server_core))
                servers[peer.name] = Running(peer, server, place)
        yield servers


def turn(one: Running, case: Case, sessions: int) -> Figures:
    """One run, up to the last delivery where the server delivers meanwhile."""
    server, before = one.server, one.delivered()
    cpu = server.cpu()
    figures = generator.measured(
        server, "--sessions", sessions, "--concurrency", case.concurrency, "--mode", case.mode, *case.words
    )
    if one.peer.delivered:
        wanted = before + figures["messages"]
        until(lambda: one.delivered() >= wanted, f"{server.name} delivers {figures['messages']} messages")
        figures["server_cpu_s"] = max(server.cpu() - cpu, 0.01)
    counted = {"sessions": figures["sessions"], "messages": figures["messages"], "MB": figures["octets"] / 1e6}
    figures["per_cpu_second"] = counted[case.unit] / figures["server_cpu_s"]
    return figures


def enough(figures: Figures, seconds: float) -> int:
    """How many sessions take the server so much CPU time, after what a run of it took."""
    return int(figures["sessions"] / figures["server_cpu_s"] * seconds)


def throughput(bench: Bench, name: str) -> Figures:
    """A case."""
    case = CASES[name]
    sizes: dict[str, int] = {}
    with started_for(bench, name) as servers:

        def next_turn(peer: str) -> Figures:
            if peer not in sizes:  # its first: warm, and see how many fill the time
                generator.run(servers[peer].server.port, "--sessions", servers[peer].peer.warm_up, "--mode", case.mode)
                sizes[peer] = enough(turn(servers[peer], case, 2 * case.concurrency), bench.seconds)
            figures = turn(servers[peer], case, max(case.concurrency, sizes[peer]))
            sizes[peer] = enough(figures, bench.seconds)
            return figures

        runs = in_turns(bench, servers, bench.rounds, next_turn)
    return {peer: summary(each) for peer, each in runs.items()}


def summary(runs: Sequence[Figures]) -> Figures:
    """Medians, and how far apart the rates lie."""
    rates = [run["per_cpu_second"] for run in runs]
    return {
        "per_cpu_second": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
        "sessions_per_s": statistics.median(run["sessions_per_s"] for run in runs),
        "failed": sum(run["failed"] for run in runs),
        "resumed": sum(run["resumed"] for run in runs) / max(1, sum(run["handshakes"] for run in runs)),
        "busy": statistics.median(min(1.0, run["server_cpu_s"] / run["wall_s"]) for run in runs),
        **_milliseconds(runs),
    }


def _milliseconds(runs: Sequence[Figures]) -> Figures:
    return {share: statistics.median(run["session_ms"][share] for run in runs) for share in ("p50", "p95", "p99")}


def latency(bench: Bench) -> Figures:
    """Percentiles of the time of a whole STARTTLS session with one message, by the number of connections at a time."""
    rounds = 1 if bench.quick else 3
    rates: dict[str, float] = {}
    found: dict[str, Figures] = {}
    with started_for(bench, "latency") as servers:
        for level in LEVELS:

            def next_turn(name: str, level: int = level) -> Figures:
                server, peer = servers[name].server, servers[name].peer
                if name not in rates:
                    generator.run(server.port, "--sessions", peer.warm_up)
                    rates[name] = generator.run(server.port, "--sessions", 10, "--concurrency", 1)["sessions_per_s"]
                sessions = max(2 * level, int(rates[name] * bench.seconds))
                figures = generator.measured(server, "--sessions", sessions, "--concurrency", level)
                rates[name] = figures["sessions_per_s"]
                return figures

            there = [name for name in servers if name not in bench.left_out]
            for name, runs in in_turns(bench, there, rounds, next_turn).items():
                found.setdefault(name, {})[str(level)] = _milliseconds(runs)
    return found
