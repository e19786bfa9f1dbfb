"""Measure gatepost and the servers that are installed beside it, one run, the same certificate; write the report.

    python bench/run.py                                # all cases, all peers that are here; writes docs/performance.md
    python bench/run.py --cases starttls --peers sink,gatepost --rounds 3 --no-report
    python bench/run.py --load ./loadgen …             # another generator with the same options, to compare with ours

The base of every figure is the CPU time of the server, all of its processes together: sessions per CPU second are
sessions per second per core, and do not suffer from what else the machine does as the clock does. Servers run on one
core and the load on another; peers take turns within each round, so that a drift of the machine touches all alike;
medians are quoted, and ratios within one run only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import report
from peers import PEERS, Peer
from servers import Server, end_on_sigterm

HERE: Final = Path(__file__).parent
FIRST_PORT: Final = 12701
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load.

    :param unit: what is counted: ``sessions``, ``messages`` or ``MB``.
    :param words: options of the generator.
    :param share: sessions of a run, as a share of what one second brings.
    """

    title: str
    unit: str
    words: tuple[str, ...]
    concurrency: int = 50


CASES: Final = {
    "starttls": Case("STARTTLS, one 4 KiB message", "sessions", ()),
    "starttls20": Case("STARTTLS, 20 messages of 4 KiB", "messages", ("--messages", "20")),
    "plain": Case("in the clear, one 4 KiB message", "sessions", ("--mode", "plain")),
    "resumed": Case("STARTTLS resumed, one 4 KiB message", "sessions", ("--resume",)),
    "implicit": Case("implicit TLS, one 4 KiB message", "sessions", ("--mode", "implicit")),
    "large": Case("STARTTLS, 4 messages of 1 MiB", "MB", ("--messages", "4", "--size", "1048576"), 10),
}


def load(server: Server, case: Case, sessions: int, core: int | None, generator: Sequence[str]) -> Figures:
    """One run of the generator; what it says, and what the server took."""
    cpu = server.cpu()
    done = subprocess.run(
        [*_pinned(core), *generator, "--port", str(server.port), "--sessions", str(sessions),
         "--concurrency", str(case.concurrency), *case.words, "--json"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if not done.stdout:
        raise SystemExit(f"the generator said nothing against {server.name}: {done.stderr[-400:]}")
    figures: Figures = json.loads(done.stdout)
    figures["server_cpu_s"] = max(server.cpu() - cpu, 0.01)
    count = {"sessions": "sessions", "messages": "messages", "MB": "octets"}[case.unit]
    scale = 1e-6 if case.unit == "MB" else 1.0
    figures["per_cpu_second"] = figures[count] * scale / figures["server_cpu_s"]
    return figures


def _pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]


def measure(
    case: Case, servers: Sequence[tuple[Peer, Server]], rounds: int, seconds: float, core: int | None,
    generator: Sequence[str],
) -> dict[str, Figures]:  # fmt: skip
    """All servers in turn, so many rounds; medians."""
    sizes = {}
    for peer, server in servers:
        first = load(server, case, 60, core, generator)
        wanted = load(server, case, max(60, int(first["sessions_per_s"] / 2)), core, generator)["sessions_per_s"]
        sizes[peer.name] = max(40, int(wanted * seconds))
    runs: dict[str, list[Figures]] = {peer.name: [] for peer, _ in servers}
    for _ in range(rounds):
        for peer, server in servers:
            runs[peer.name].append(load(server, case, sizes[peer.name], core, generator))
    return {name: _summary(each) for name, each in runs.items()}


def _summary(runs: Sequence[Figures]) -> Figures:
    rates = [run["per_cpu_second"] for run in runs]
    return {
        "per_cpu_second": statistics.median(rates),
        "spread": (min(rates), max(rates)),
        "wall": statistics.median(run["sessions_per_s"] for run in runs),
        "failed": sum(run["failed"] for run in runs),
        "resumed": sum(run["resumed"] for run in runs) / max(1, sum(run["handshakes"] for run in runs)),
        "busy": statistics.median(run["server_cpu_s"] / run["wall_s"] for run in runs),
        "milliseconds": {
            share: statistics.median(run["session_ms"][share] for run in runs) for share in ("p50", "p95", "p99")
        },
    }


def idle(peer: Peer, server: Server, counts: Sequence[int], core: int | None) -> dict[int, float]:
    """KiB of memory for each of so many STARTTLS connections that are held, by their number."""
    figures = {}
    for count in counts:
        with _held(server, 50, core):
            pass  # what is allocated once
        time.sleep(2)
        before = server.memory()
        with _held(server, count, core) as held:
            time.sleep(2)
            figures[count] = (server.memory() - before) / max(1, held) / 1024
        time.sleep(1)
    return figures


@contextlib.contextmanager
def _held(server: Server, count: int, core: int | None) -> Iterator[int]:
    """So many connections, held; yields how many there are."""
    command = [*_pinned(core), sys.executable, str(HERE / "load.py"), "--port", str(server.port), "--hold", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        yield int(json.loads(holder.stdout.readline())["held"])
        holder.stdin.close()
        holder.wait(60)


def everything(asked: argparse.Namespace, place: Path) -> Figures:
    """All that was asked for."""
    chosen = [peer for peer in PEERS if not asked.peers or peer.name in asked.peers.split(",")]
    here = [peer for peer in chosen if peer.found()]
    for peer in chosen:
        if peer not in here:
            print(f"{peer.name} is left out: {peer.install}", file=sys.stderr)
    cores = sorted(os.sched_getaffinity(0))
    load_core, server_core = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    generator = [asked.load] if asked.load else [sys.executable, str(HERE / "load.py")]
    results: Figures = {"cases": {}, "idle": {}, "peers": {}}
    for name in asked.cases.split(","):
        case = CASES.get(name)
        with contextlib.ExitStack() as stack:
            servers = []
            for number, peer in enumerate(here):
                if peer.cases and name not in peer.cases:
                    continue
                folder = place / peer.name.replace(", ", "-").replace(" ", "-")
                servers.append((peer, stack.enter_context(peer.start(folder, FIRST_PORT + number, server_core))))
                results["peers"][peer.name] = {"durable": peer.durable, "version": peer.version()}
            if case is None:
                counts = [int(each) for each in asked.idle.split(",")]
                for peer, server in servers:
                    results["idle"][peer.name] = idle(peer, server, counts, load_core)
                    print(f"idle: {peer.name}: {results['idle'][peer.name]}", flush=True)
            else:
                results["cases"][name] = measured = measure(
                    case, servers, asked.rounds, asked.seconds, load_core, generator
                )
                for each, figures in measured.items():
                    print(f"{name}: {each}: {figures['per_cpu_second']:.0f} {case.unit} per CPU second", flush=True)
    return results


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", default=",".join([*CASES, "idle"]))
    parser.add_argument("--peers", default="", help="by default all that are installed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run, about")
    parser.add_argument("--idle", default="1000", help="how many connections are held, with commas between")
    parser.add_argument("--load", default="", help="a generator to use in place of bench/load.py")
    parser.add_argument("--results", type=Path, default=HERE / "results.json", help="where the figures are kept")
    parser.add_argument("--no-report", action="store_true", help="leave docs/performance.md as it is")
    asked = parser.parse_args()
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as place:
        results = everything(asked, Path(place))
    results["machine"] = report.machine()
    asked.results.write_text(json.dumps(results, indent=1) + "\n")
    if not asked.no_report:
        titles = {name: (case.title, case.unit) for name, case in CASES.items()}
        print(f"wrote {report.write(results, titles)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
