"""The report of a run: docs/performance.md and its pictures, from the figures alone."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parent.parent / "docs"
REFERENCE: Final = ("sink", "postfix")  # what ratios are to: the first of these that was measured
_COLOURS: Final = {"gatepost": "#0b6e4f", "sink": "#8a8f98"}
_COLOUR: Final = "#5b7db1"

HEAD: Final = """\
# Performance

<!-- Written by bench/run.py (`make bench`): run it again in place of changing this. -->

Measured on {when}, in one run on one machine: {cpu}, {cores} cores, {memory:.0f} GiB, {system}, Python {python}.
Everything ran on loopback, with one ECDSA P-256 certificate and TLS 1.3. Servers had one core and the load another. The
base is the CPU time of the server, all its processes together, so a figure reads as *per second per core*; servers took
turns in every round, and medians are given, with the lowest and the highest in brackets. Quote ratios, not figures:
machines differ. The sink is a C program that throws messages away: no server with the same library can pass it.

`make bench` measures again, with whatever of the others is installed.
"""


def machine() -> dict[str, Any]:
    """What this was measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "when": datetime.now(tz=UTC).strftime("%Y-%m-%d"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def write(results: Mapping[str, Any], titles: Mapping[str, tuple[str, str]]) -> Path:
    """Write the report.

    :param results: what ``run`` measured.
    :param titles: of each case its title and its unit.
    :return: where it is.
    """
    parts = [HEAD.format(**results["machine"]), *_durability(results)]
    pictures = DOCS / "performance"
    pictures.mkdir(exist_ok=True)
    for name, figures in results["cases"].items():
        title, unit = titles[name]
        parts += _case(name, title, unit, figures)
        bars = {peer: each["per_cpu_second"] for peer, each in figures.items()}
        (pictures / f"{name}.svg").write_text(picture(f"{title}: {unit} per CPU second", bars))
    if results["idle"]:
        parts += _idle(results["idle"])
        most = {peer: each[max(each, key=int)] for peer, each in results["idle"].items()}
        (pictures / "idle.svg").write_text(picture("KiB for each idle STARTTLS connection", most))
    path = DOCS / "performance.md"
    path.write_text("\n".join(parts) + "\n")
    return path


def _durability(results: Mapping[str, Any]) -> list[str]:
    lines = ["## What is on disk when a server says 250", "", "| server | version | at its 250 |", "|---|---|---|"]
    lines += [f"| {peer} | {each['version']} | {each['durable']} |" for peer, each in results["peers"].items()]
    return [*lines, ""]


def _case(name: str, title: str, unit: str, figures: Mapping[str, Any]) -> list[str]:
    to = next((each for each in REFERENCE if each in figures), next(iter(figures)))
    base = figures[to]["per_cpu_second"]
    lines = [
        f"## {title}", "", f"![{title}](performance/{name}.svg)", "",
        f"| server | {unit} per CPU second | to {to} | core busy | session p50 / p95 / p99, ms | resumed | failed |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for peer, each in figures.items():
        low, high = each["spread"]
        ratio = f"{each['per_cpu_second'] / base:.2f}"
        times = " / ".join(f"{each['milliseconds'][share]:.0f}" for share in ("p50", "p95", "p99"))
        lines.append(
            f"| {peer} | {each['per_cpu_second']:.0f} ({low:.0f}–{high:.0f}) | {ratio} | {each['busy']:.0%} | {times} "
            f"| {each['resumed']:.0%} | {each['failed']} |"
        )
    return [*lines, ""]


def _idle(figures: Mapping[str, Mapping[Any, float]]) -> list[str]:
    counts: Sequence[Any] = sorted({count for each in figures.values() for count in each}, key=int)
    lines = [
        "## Idle connections", "", "![memory of idle connections](performance/idle.svg)", "",
        "KiB (proportional set size of all processes) for each STARTTLS connection, by how many there are.", "",
        "| server | " + " | ".join(str(count) for count in counts) + " |", "|---" * (len(counts) + 1) + "|",
    ]  # fmt: skip
    for peer, each in figures.items():
        lines.append(
            f"| {peer} | " + " | ".join(f"{each[count]:.1f}" if count in each else "–" for count in counts) + " |"
        )
    return [*lines, ""]


def picture(title: str, bars: Mapping[str, float]) -> str:
    """A bar for each server, as SVG that needs nothing else."""
    width, left, row, top = 720, 170, 30, 44
    most = max(bars.values(), default=1) or 1
    height = top + row * len(bars) + 10
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13" role="img">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="10" y="24" font-size="15" font-weight="bold" fill="#1c2128">{escape(title)}</text>',
    ]
    for place, (peer, value) in enumerate(bars.items()):
        y = top + row * place
        long = max(2, (width - left - 90) * value / most)
        colour = _COLOURS.get(peer.partition(",")[0], _COLOUR)
        lines += [
            f'<text x="{left - 8}" y="{y + 17}" text-anchor="end" fill="#1c2128">{escape(peer)}</text>',
            f'<rect x="{left}" y="{y + 3}" width="{long:.0f}" height="20" rx="2" fill="{colour}"/>',
            f'<text x="{left + long + 6:.0f}" y="{y + 17}" fill="#1c2128">{value:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
