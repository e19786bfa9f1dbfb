"""Measure gatepost and the servers that are installed beside it, on loopback with one certificate; write the report.

    python bench/run.py                     # all of it, in half an hour; writes docs/performance.md
    python bench/run.py --quick             # all of it with fewer rounds
    python bench/run.py --only starttls,gate --peers sink,gatepost

Servers run on one processor and the load on another; they take turns within each round, so that a drift of the machine
touches all alike; medians are quoted, and ratios within one run only. Each section's figures are written to
bench/results when it ends, so that one that fails leaves the others; the report says what failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import report
from drain import drain
from gate import gate
from generator import program
from growth import growth
from idle import idle
from mailservers import PEERS, printed_version
from pop3 import pop3
from servers import end_on_sigterm, found, look_in_sbin
from throughput import CASES, latency, throughput
from turns import Bench, Figures, take_cores

SECTIONS: Final[Mapping[str, Callable[[Bench], Figures]]] = {
    **{name: partial(throughput, name=name) for name in CASES},
    "latency": latency, "idle": idle, "drain": drain, "pop3": pop3, "gate": gate, "growth": growth,
}  # fmt: skip

OTHERS: Final = {
    "Dovecot": ("dovecot", "--version"), "stunnel": ("stunnel", "-version"), "nginx": ("nginx", "-v"),
    "haproxy": ("haproxy", "-v"),
}  # fmt: skip
"""What beside mail servers is measured, and how it says its version."""


def measure(name: str, quick: bool, only: frozenset[str], server_core: int | None) -> dict[str, Any]:
    """One section, in a directory of its own: its figures, what was left out, and what failed."""
    begun = time.monotonic()
    failed: str | None = None
    figures: Figures = {}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as place:
        Path(place).chmod(0o755)
        bench = Bench(Path(place), server_core, 3 if quick else 5, 0.4 if quick else 1.5, quick, only, left_out)
        try:
            figures = SECTIONS[name](bench)
        except Exception as error:  # noqa: BLE001 - the other sections are measured
            traceback.print_exc()
            failed = f"{type(error).__name__}: {error}"
    return {"figures": figures, "left out": left_out, "failed": failed, "seconds": round(time.monotonic() - begun, 1)}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="all of it with fewer rounds")
    parser.add_argument("--only", default=",".join(SECTIONS), help="these sections, with commas between: %(default)s")
    parser.add_argument("--peers", default="", help="these servers; by default all that are installed")
    parser.add_argument("--no-report", action="store_true", help="leave docs/performance.md as it is")
    asked = parser.parse_args()
    names = asked.only.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    end_on_sigterm()
    look_in_sbin()
    for source in ("load", "sink"):
        program(source)
    server_core = take_cores()
    report.RESULTS.mkdir(exist_ok=True)
    peers = {peer.name: {"durable": peer.durable, "version": peer.version()} for peer in PEERS if peer.found()}
    others = {name: printed_version(*command) for name, command in OTHERS.items() if found(command[0])}
    _write("machine", {**report.machine(), "quick": asked.quick, "peers": peers, "others": others})
    bad = []
    for name in names:
        print(f"{name} ...", flush=True)
        section = measure(name, asked.quick, frozenset(asked.peers.split(",")) - {""}, server_core)
        _write(name, section)
        print(f"{name}: {section['failed'] or 'done'} in {section['seconds']:.0f} s", flush=True)
        if section["failed"]:
            bad.append(name)
    if not asked.no_report:
        print(f"wrote {report.write()}")
    return 1 if bad else 0


def _write(name: str, section: Mapping[str, Any]) -> None:
    (report.RESULTS / f"{name}.json").write_text(json.dumps(section, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
