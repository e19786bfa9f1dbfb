"""Pictures as SVG that needs nothing else: bars, and lines over logarithmic axes.

Text and paper follow the reader's choice of light or dark; the colours of servers stand out on both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

COLOURS: Final = {
    "gatepost": "#1f9d63", "gatepost, delivering": "#6cbf94", "sink": "#8a929c", "postfix": "#4f83cc",
    "exim": "#d9822b", "aiosmtpd": "#d1495b",
    "aiosmtpd, Maildir": "#a85a9c", "Haraka": "#8b75d7", "smtp-server": "#2aa0ad", "Dovecot": "#4f83cc",
    "stunnel": "#d9822b", "nginx": "#4f83cc", "haproxy": "#8b75d7",
}  # fmt: skip
OTHERS: Final = ("#1f9d63", "#4f83cc", "#d9822b", "#8b75d7", "#d1495b", "#2aa0ad")
STYLE: Final = """\
<style>
  .paper { fill: #ffffff } .ink { fill: #1c2128 } .faint { fill: #59636e } .grid { stroke: #d8dde3 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #161b22 } .ink { fill: #e6edf3 } .faint { fill: #9aa4af } .grid { stroke: #343b44 }
  }
</style>"""
WIDTH: Final = 760

Points = Sequence[tuple[float, float]]


def bars(title: str, values: Mapping[str, float]) -> str:
    """A bar for each server."""
    left, row, top = 190, 30, 46
    most = max(values.values(), default=1) or 1
    lines = []
    for place, (name, value) in enumerate(values.items()):
        y, long = top + row * place, max(2, (WIDTH - left - 90) * value / most)
        lines += [
            f'<text class="ink" x="{left - 8}" y="{y + 17}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y + 3}" width="{long:.0f}" height="20" rx="2" fill="{_colour(name, 0)}"/>',
            f'<text class="ink" x="{left + long + 6:.0f}" y="{y + 17}">{brief(value)}</text>',
        ]
    return _sheet(title, top + row * len(values) + 10, lines)


def curves(title: str, x_title: str, y_title: str, series: Mapping[str, Points]) -> str:
    """A line for each name; both axes are logarithmic."""
    left, right, top, bottom, height = 74, 170, 48, 52, 420
    points = [point for each in series.values() for point in each]
    xs, ys = sorted({x for x, _ in points}), _decades([y for _, y in points])
    inner = WIDTH - left - right

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + inner * _share(x, xs[0], xs[-1]),
            height - bottom - (height - top - bottom) * _share(y, ys[0], ys[-1]),
        )

    lines = []
    for y in _ticks(ys[0], ys[-1]):
        at = place(xs[0], y)[1]
        lines += [
            f'<line class="grid" x1="{left}" x2="{left + inner}" y1="{at:.1f}" y2="{at:.1f}"/>',
            f'<text class="faint" x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{brief(y)}</text>',
        ]
    for x in xs:
        at = place(x, ys[0])[0]
        lines += [
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{height - bottom}"/>',
            f'<text class="faint" x="{at:.1f}" y="{height - bottom + 18}" text-anchor="middle">{brief(x)}</text>',
        ]
    middle = (height - bottom + top) / 2
    turned = f'x="16" y="{middle}" transform="rotate(-90 16 {middle})"'
    lines += [
        f'<text class="faint" x="{left + inner / 2}" y="{height - 12}" text-anchor="middle">{escape(x_title)}</text>',
        f'<text class="faint" {turned} text-anchor="middle">{escape(y_title)}</text>',
    ]
    ends = []
    for number, (name, each) in enumerate(series.items()):
        colour, placed = _colour(name, number), [place(*point) for point in sorted(each)]
        ends.append((placed[-1][1], placed[-1][0], name, colour))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in placed]
    return _sheet(title, height, lines + _names(ends, left + inner + 20, top, height - bottom))


def _names(ends: Iterable[tuple[float, float, str, str]], x: float, top: float, bottom: float) -> list[str]:
    """Names beside the ends of their lines, moved apart where they would cover each other."""
    step, ordered = 18, sorted(ends)
    places: list[float] = []
    for y, *_ in ordered:
        places.append(max(y, places[-1] + step) if places else max(y, top))
    for number in reversed(range(len(places))):
        most = bottom if number == len(places) - 1 else places[number + 1] - step
        places[number] = min(places[number], most)
    lines = []
    for (y, at, name, colour), place in zip(ordered, places, strict=True):
        lines += [
            f'<line x1="{at + 5:.1f}" y1="{y:.1f}" x2="{x - 4}" y2="{place:.1f}" stroke="{colour}" opacity="0.5"/>',
            f'<text x="{x}" y="{place + 4:.1f}" fill="{colour}" font-weight="bold">{escape(name)}</text>',
        ]
    return lines


def brief(value: float) -> str:
    """A number as it is read: three digits and a bit."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _share(value: float, low: float, high: float) -> float:
    return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low)) if high > low else 0.5


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """What an axis spans: from 1, 2 or 5 times a power of ten to another."""
    steps = [digit * 10.0**power for power in range(-3, 10) for digit in (1, 2, 5)]
    low = max((step for step in steps if step <= min(values)), default=steps[0])
    high = min((step for step in steps if step >= max(values)), default=steps[-1])
    return (low, high) if high > low else (low, low * 2)


def _ticks(low: float, high: float) -> list[float]:
    """All of 1, 2 and 5 times a power of ten where there is room, else powers of ten."""
    digits = (1, 2, 5) if high / low <= 20_000 else (1,)
    ticks = [digit * 10.0**power for power in range(-3, 10) for digit in digits]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def _colour(name: str, number: int) -> str:
    return COLOURS.get(name) or COLOURS.get(name.partition(",")[0]) or OTHERS[number % len(OTHERS)]


def _sheet(title: str, height: int, lines: Iterable[str]) -> str:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13" role="img">',
            f"<title>{escape(title)}</title>",
            STYLE,
            '<rect class="paper" width="100%" height="100%" rx="6"/>',
            f'<text class="ink" x="14" y="27" font-size="15" font-weight="bold">{escape(title)}</text>',
            *lines,
            "</svg>",
            "",
        ]
    )
