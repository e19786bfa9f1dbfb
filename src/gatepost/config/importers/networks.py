"""Addresses as old servers write them, as entries of our lists."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import product
from math import prod
from typing import Final

from gatepost.policy.addresses import AddressList

_GLOB: Final = re.compile(r"[0-9*]{1,15}(?:\.[0-9*]{1,15}){0,3}")
_ENTRIES: Final = 1024


def wildcard_entries(pattern: str) -> tuple[str, ...]:
    """What a pattern of DMail's stands for: ``*`` is any text, so ``10.0.*`` is a network and ``10.0.0.1*`` a hundred
    and eleven addresses. A star counts within its octet, and one at the end for the octets that are not written.

    :raises ValueError: when the pattern is none, or stands for too many separate addresses.
    """
    if "*" not in pattern:
        AddressList((pattern,))
        return (pattern,)
    octets = pattern.split(".")
    if not _GLOB.fullmatch(pattern) or (len(octets) < 4 and octets[-1] != "*"):
        raise ValueError(f'"{pattern[:80]}" is not a pattern of addresses')
    octets += ["*"] * (4 - len(octets))
    while len(octets) > 1 and set(octets[-1]) == {"*"}:
        octets.pop()
    if set(octets[0]) == {"*"} and len(octets) == 1:
        return ("*",)
    choices = [_runs([number for number in range(256) if fnmatchcase(str(number), octet)]) for octet in octets]
    if not all(choices):
        raise ValueError(f'"{pattern[:80]}" stands for no address')
    count = prod(sum(high - low + 1 for low, high in runs) for runs in choices[:-1]) * len(choices[-1])
    if count > _ENTRIES:
        raise ValueError(f'"{pattern[:80]}" stands for {count} separate networks; write the networks')
    leading = [[number for low, high in runs for number in range(low, high + 1)] for runs in choices[:-1]]
    return tuple(_entry(prefix, low, high) for prefix in product(*leading) for low, high in choices[-1])


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs


def _entry(prefix: tuple[int, ...], low: int, high: int) -> str:
    """Addresses whose first octets are ``prefix`` and whose next is from low to high."""
    written = [*map(str, prefix)]
    rest = 3 - len(prefix)
    if low == high:
        return ".".join([*written, str(low), *["*"] * rest]) if rest else ".".join([*written, str(low)])
    return "-".join(".".join([*written, str(edge), *[fill] * rest]) for edge, fill in ((low, "0"), (high, "255")))


def uncovered(entries: tuple[str, ...], by: tuple[str, ...]) -> tuple[str, ...]:
    """The entries of a list that stand for an address which another list has not.

    :raises ValueError: when an entry cannot be read.
    """
    cover = AddressList(by)
    edges = list(cover.edges())
    missing: list[str] = []
    for entry in entries:
        own = AddressList((entry,))
        samples = [*own.edges(), *edges]
        if any(own.matches(sample) and not cover.matches(sample) for sample in samples):
            missing.append(entry)
    return tuple(missing)


def postfix_network(text: str) -> str:
    """``[::1]/128`` as ``::1/128``; anything else as it is."""
    mark = "!" if text.startswith("!") else ""
    body = text.removeprefix("!").strip()
    return mark + re.sub(r"^\[([0-9A-Fa-f:.]+)\]", r"\1", body)
