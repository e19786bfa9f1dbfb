"""The report of a run: docs/performance.md and its pictures, from the figures in bench/results alone.

python bench/report.py      # write it again
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import plot
from throughput import CASES, Case

RESULTS: Final = Path(__file__).parent / "results"
DOCS: Final = Path(__file__).parent.parent / "docs"

Results = Mapping[str, Any]
"""By section what ``run`` wrote, and ``machine``."""

HEAD: Final = """\
# Performance

<!-- Written by bench/report.py (`make bench`): measure again in place of changing this. -->

Measured on {when}{quickly}, in one run on one machine: {cpu}, {cores} processors, {memory:.0f} GiB, {system}, Python
{python} with {openssl}. Everything ran on loopback, with one ECDSA P-256 certificate and TLS 1.3. Servers had one
processor and the load another. The base is the CPU time of the server, all its processes together, so a figure reads as
*per second per core*; servers took turns in every round, and medians are given. Quote ratios, not figures: machines
differ. The sink is a C program that throws messages away: no server with the same library can pass it.

`make bench` measures again, with whatever of the others is installed; `make bench BENCH_ARGS=--quick` takes a few
minutes. The generator and the sink are in [bench/](../bench), and so are all figures of this run, in `bench/results`.
"""
LATENCY: Final = """\
How long a STARTTLS session with one message takes, from the connection to the reply to QUIT, by the number of
connections that are busy at a time, in milliseconds. Each opens the next when it is done, so a server that is full
answers later the more there are."""
OUTGOING: Final = """\
A queue of messages of 4 KiB is delivered over STARTTLS to the sink, counted from the command that lets it go."""
POP3: Final = """\
A session is STLS, a login, STAT, RETR of 4 KiB, QUIT. Password checks are kept out: gatepost remembers right passwords
for a while, and Dovecot has a cheap scheme."""
GATE: Final = """\
STARTTLS, or TLS from the first octet where it says so and for haproxy; the server behind is the sink, in the clear.
`sink` is STARTTLS to it without a gate. gatepost reads both sides, command by command; nginx reads up to the first
RCPT; stunnel and haproxy read nothing."""
GROWTH: Final = """\
CPU microseconds of the server while so many messages wait in the queue, so many lie in the mailbox that is delivered
to (delivery included), so many users exist, or the greylist remembers so many triplets. *maildrop* is a POP3 session
with a mailbox of so many messages, which it has to list."""


@dataclass(frozen=True, slots=True)
class Target:
    """What gatepost is to reach.

    :param path: where its figure is: the section, then keys of its figures.
    :param to: where the figure is that it is compared with; empty when the goal is a figure.
    :param unit: of what the goal is one.
    :param least: whether the goal is to be reached from below; else it is not to be passed.
    """

    title: str
    goal: float
    unit: str
    path: tuple[str, ...]
    to: tuple[str, ...] = ()
    least: bool = True

    def reached(self, results: Results) -> float | None:
        """The figure, or its ratio; None where it was not measured."""
        figure, base = _at(results, self.path), _at(results, self.to) if self.to else 1.0
        return figure / base if figure is not None and base else None

    def verdict(self, reached: float | None) -> str:
        """In words."""
        if reached is None:
            return "not measured"
        # What is printed is what is judged.
        good = round(reached, 2) >= self.goal if self.least else reached <= self.goal
        return "reached" if good else f"missed by {abs(reached / self.goal - 1):.0%}"


def _case(title: str, goal: float, section: str) -> Target:
    return _beside(title, goal, "of the sink", section, "sink", "per_cpu_second")


def _beside(title: str, goal: float, unit: str, section: str, other: str, figure: str) -> Target:
    return Target(title, goal, unit, (section, "gatepost", figure), (section, other, figure))


TARGETS: Final = (
    _case("STARTTLS, one message of 4 KiB", 0.70, "starttls"),
    _case("STARTTLS, 20 messages", 0.48, "starttls20"),
    _case("in the clear, one message", 0.42, "plain"),
    _case("STARTTLS resumed, one message", 0.66, "resumed"),
    _case("messages of 1 MiB", 0.25, "large"),
    Target("idle STARTTLS connection, 10,000 held", 42, "KiB", ("idle", "gatepost", "10000"), least=False),
    Target("outgoing, connections reused", 5_000, "messages per CPU second",
           ("drain", "gatepost", "messages per CPU second")),
    _beside("gate, STARTTLS to a plain server", 0.60, "of the sink's sessions", "gate", "sink",
            "sessions per CPU second"),
    _beside("POP3 over STLS", 0.5, "of Dovecot's sessions", "pop3", "Dovecot", "sessions per CPU second"),
    _beside("POP3, RETR of 10 MB", 1.0, "of Dovecot's MB", "pop3", "Dovecot", "RETR, MB per CPU second"),
)  # fmt: skip


def _at(results: Results, path: Sequence[str]) -> float | None:
    found: Any = results.get(path[0], {}).get("figures", {})
    for key in path[1:]:
        found = found.get(key) if found else None
    return None if found is None else float(found)


Section = Callable[[Mapping[str, Any], Path], list[str]]


def write(results: Results | None = None) -> Path:
    """Write the report.

    :param results: by section; None reads them.
    :return: where it is.
    """
    if results is None:
        results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    pictures = DOCS / "performance"
    pictures.mkdir(exist_ok=True)
    machine = results["machine"]
    parts = [HEAD.format(**machine, quickly=", quickly" if machine["quick"] else ""), *targets(results)]
    parts += _durability(machine["peers"], machine["others"])
    for name, section in SECTIONS.items():
        if figures := results.get(name, {}).get("figures"):
            parts += [*section(figures, pictures), ""]
    path = DOCS / "performance.md"
    path.write_text("\n".join([*parts, *_left_out(results)]) + "\n")
    return path


def targets(results: Results) -> list[str]:
    """What was to be reached, and what was."""
    rows = []
    for target in TARGETS:
        reached = target.reached(results)
        said = "–" if reached is None else f"{reached:.2f}" if target.goal < 2 else plot.brief(reached)
        goal = f"{'≥' if target.least else '≤'} {target.goal:.2f}" if target.goal < 2 else (
            f"{'≥' if target.least else '≤'} {target.goal:,.0f}"
        )  # fmt: skip
        rows.append((target.title, f"{goal} {target.unit}", said, target.verdict(reached)))
    return ["## Target and reached", "", *table(("per CPU second of the server", "target", "reached", ""), rows), ""]


def _durability(peers: Mapping[str, Mapping[str, str]], others: Mapping[str, str]) -> list[str]:
    rows = [(name, each["version"], each["durable"]) for name, each in peers.items() if ", implicit" not in name]
    beside = ", ".join(f"{name} {version}" for name, version in others.items())
    return [
        "## What is on disk when a server says 250", "", *table(("server", "version", "at its 250"), rows), "",
        *([f"Those that keep no messages: {beside}.", ""] if beside else []),
    ]  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *rows)]


def _throughput(name: str, case: Case) -> Section:
    title, unit = case.title, case.unit

    def section(figures: Mapping[str, Any], pictures: Path) -> list[str]:
        figures = {peer.removesuffix(", implicit"): each for peer, each in figures.items()}
        base = figures.get("sink", next(iter(figures.values())))["per_cpu_second"]
        picture(pictures / f"{name}.svg", plot.bars(
            f"{title}: {unit} per CPU second", {peer: each["per_cpu_second"] for peer, each in figures.items()}
        ))  # fmt: skip
        rows = [
            (
                peer,
                f"{each['per_cpu_second']:,.0f} ({each['lowest']:,.0f}–{each['highest']:,.0f})",
                f"{each['per_cpu_second'] / base:.2f}",
                f"{each['busy']:.0%}",
                f"{each['p50']:.0f} / {each['p95']:.0f} / {each['p99']:.0f}",
                f"{each['resumed']:.0%}",
                str(each["failed"]),
            )
            for peer, each in figures.items()
        ]
        head = (
            "server", f"{unit} per CPU second", "to the sink", "core busy", "session p50 / p95 / p99, ms", "resumed",
            "failed",
        )  # fmt: skip
        return [f"## {title}", "", f"![{title}](performance/{name}.svg)", "", *table(head, rows)]

    return section


def _latency(figures: Mapping[str, Any], pictures: Path) -> list[str]:
    lines = ["## Latency", "", LATENCY, ""]
    for share in ("p50", "p95", "p99"):
        series = {
            peer: [(float(level), each[share]) for level, each in levels.items()] for peer, levels in figures.items()
        }
        title = f"{share} of the time of a session"
        picture(pictures / f"latency-{share}.svg", plot.curves(title, "connections at a time", "milliseconds", series))
        lines += [f"![{title}](performance/latency-{share}.svg)", ""]
    levels = _keys(figures)
    rows = [(peer, *(_percentiles(each.get(level)) for level in levels)) for peer, each in figures.items()]
    return [*lines, *table(("p50 / p95 / p99 at", *levels), rows)]


def _percentiles(each: Mapping[str, float] | None) -> str:
    return " / ".join(plot.brief(each[share]) for share in ("p50", "p95", "p99")) if each else "–"


def _idle(figures: Mapping[str, Any], pictures: Path) -> list[str]:
    title = "Memory for each idle STARTTLS connection"
    series = {peer: [(float(count), kib) for count, kib in each.items() if kib > 0] for peer, each in figures.items()}
    picture(pictures / "idle.svg", plot.curves(title, "connections that are held", "KiB each", series))
    counts = _keys(figures)
    rows = [
        (peer, *(f"{each[count]:,.1f}" if count in each else "–" for count in counts)) for peer, each in figures.items()
    ]
    return [
        "## Idle connections", "", f"![{title}](performance/idle.svg)", "",
        "KiB (proportional set size of all processes) for each connection, by how many there are.", "",
        *table(("server", *(f"{int(count):,}" for count in counts)), rows),
    ]  # fmt: skip


def _keys(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return sorted({key for each in figures.values() for key in each}, key=int)


def _plain(title: str, text: str, picture_of: str, base: str) -> Section:
    """A section of figures by name, one of which is drawn, and has its ratio to that of ``base`` beside it."""

    def section(figures: Mapping[str, Any], pictures: Path) -> list[str]:
        file = f"{title.split()[0].lower()}.svg"
        drawn = {name: each[picture_of] for name, each in figures.items()}
        picture(pictures / file, plot.bars(f"{title}: {picture_of}", drawn))
        keys = list(next(iter(figures.values())))
        head = ["server", *keys]
        rows = [[name, *(plot.brief(each[key]) for key in keys)] for name, each in figures.items()]
        if base in figures:
            head.insert(2, f"to {base}")
            for row, each in zip(rows, figures.values(), strict=True):
                row.insert(2, f"{each[picture_of] / figures[base][picture_of]:.2f}")
        return [f"## {title}", "", f"![{title}](performance/{file})", "", text, "", *table(head, rows)]

    return section


def _growth(figures: Mapping[str, Any], pictures: Path) -> list[str]:
    lines = ["## Growth", "", GROWTH, ""]
    for file, wanted in (("session", "a session"), ("message", "a message of twenty")):
        series = {
            kind: [(float(size), each[wanted]) for size, each in sizes.items()]
            for kind, sizes in figures.items()
            if all(wanted in each for each in sizes.values())
        }
        title = f"CPU time of {wanted}"
        picture(pictures / f"growth-{file}.svg", plot.curves(title, "how many there are", "microseconds", series))
        lines += [f"![{title}](performance/growth-{file}.svg)", ""]
    sizes = _keys(figures)
    rows = [
        (f"{kind}: {figure}", *(plot.brief(each[size][figure]) if size in each else "–" for size in sizes))
        for kind, each in figures.items()
        for figure in next(iter(each.values()))
    ]
    return [*lines, *table(("µs", *(f"{int(size):,}" for size in sizes)), rows)]


SECTIONS: Final[Mapping[str, Section]] = {
    **{name: _throughput(name, case) for name, case in CASES.items()},
    "latency": _latency,
    "idle": _idle,
    "drain": _plain("Outgoing", OUTGOING, "messages per CPU second", "postfix"),
    "pop3": _plain("POP3", POP3, "sessions per CPU second", "Dovecot"),
    "gate": _plain("Gate", GATE, "sessions per CPU second", "sink"),
    "growth": _growth,
}  # fmt: skip


def _left_out(results: Results) -> list[str]:
    rows = [
        (name, who, _cell(why))
        for name in SECTIONS
        if name in results
        for who, why in [
            *results[name]["left out"].items(),
            *([("all of it", results[name]["failed"])] if results[name]["failed"] else []),
        ]
    ]
    rows += [(name, "all of it", "it was not asked for") for name in SECTIONS if name not in results]
    if not rows:
        return []
    return ["## What is missing here", "", *table(("section", "what", "why"), rows)]


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("\n", " ")[:300]


def picture(path: Path, text: str) -> None:
    """Keep a picture."""
    path.write_text(text)


def machine() -> dict[str, Any]:
    """What this is measured on."""
    from OpenSSL import SSL

    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "when": datetime.now(tz=UTC).strftime("%Y-%m-%d"),
        "cpu": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "openssl": " ".join(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode().split()[:2]),
    }


if __name__ == "__main__":
    print(f"wrote {write()}")
