"""Whether a quantity grows: a line through its samples that a few wild ones do not bend (Theil and Sen)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Final, NamedTuple

WARM_UP: Final = 0.25
"""The part of the time in which caches fill, and which does not count."""

MOST: Final = 600
"""Samples that are looked at; of more, every second, third, … one."""


class Line(NamedTuple):
    """A line through samples.

    :param level: their median.
    :param slope: by how much the quantity grows in a minute.
    :param growth: by how much it grew over the samples' time.
    """

    level: float
    slope: float
    growth: float


def line(samples: Sequence[tuple[float, float]]) -> Line:
    """The line through samples of seconds and a quantity, without the warm-up. Fewer than three are flat."""
    if len(samples) < 3:
        return Line(samples[-1][1] if samples else 0.0, 0.0, 0.0)
    begin, end = samples[0][0], samples[-1][0]
    warm = [each for each in samples if each[0] >= begin + WARM_UP * (end - begin)]
    warm = warm[:: 1 + len(warm) // MOST]
    slopes = [
        (right[1] - left[1]) / (right[0] - left[0]) for left, right in combinations(warm, 2) if right[0] > left[0]
    ]
    slope = median(slopes) if slopes else 0.0
    return Line(median(each[1] for each in warm), 60 * slope, slope * (warm[-1][0] - warm[0][0]))
