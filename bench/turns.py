"""What a section of the bench is given, and the rounds that servers take in turn."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

Key = TypeVar("Key")
Figures = dict[str, Any]
FIRST_PORT: Final = 13801


@dataclass(frozen=True, slots=True)
class Bench:
    """How much is measured, and where.

    :param place: a directory for all that is needed meanwhile.
    :param server_core: the processor that servers run on; the bench itself, and with it the load, has another.
    :param rounds: how often each server has its turn.
    :param seconds: how long a turn is, about.
    :param quick: the same with less of it.
    :param only: names of the servers that are asked for; empty is all.
    :param left_out: of each server that could not be measured, why.
    """

    place: Path
    server_core: int | None
    rounds: int
    seconds: float
    quick: bool
    only: frozenset[str] = frozenset()
    left_out: dict[str, str] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        """Whether this server is asked for, by what stands before its comma."""
        return not self.only or name.partition(",")[0] in self.only

    def leave_out(self, name: str, error: object) -> None:
        """Remember why this server has no figures, and go on with the others."""
        self.left_out[name] = str(error)
        print(f"  {name} is left out: {error}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def sparing(self, name: str) -> Iterator[None]:
        """What fails within leaves this server out."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are measured
            self.leave_out(name, error)


def take_cores() -> int | None:
    """Keep this process, and what it starts, to the first processor.

    :return: the one for the servers; None where there is no other.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None
    os.sched_setaffinity(0, {cores[0]})
    return cores[-1]


def in_turns(
    bench: Bench, names: Iterable[str], rounds: int, turn: Callable[[str], Figures]
) -> dict[str, list[Figures]]:
    """What each turn gave, by server. They take turns within each round, so that a drift of the machine touches all
    alike; one that fails has no further turns, and no figures."""
    runs: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in list(runs):
            with bench.sparing(name):
                runs[name].append(turn(name))
                continue
            del runs[name]
    return runs


def medians(runs: Mapping[Key, Sequence[Figures]]) -> dict[Key, Figures]:
    """Of each figure its median."""
    return {
        name: {figure: statistics.median(run[figure] for run in each) for figure in each[0]}
        for name, each in runs.items()
        if each
    }
