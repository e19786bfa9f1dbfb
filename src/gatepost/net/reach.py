"""Which address of a name to try next, and for how long (a small part of RFC 8305: families take turns, no races).

The drivers share this: one connects on a loop, the other on a socket that waits.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

from gatepost.errors import DeadlineExceeded

T = TypeVar("T")

ADDRESS_LIMIT: Final = 16  # addresses of one name that are tried
Found: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class Attempt(NamedTuple):
    """One address, and how long it may take.

    :param family: ``AF_INET`` or ``AF_INET6``.
    :param address: as ``socket.connect`` takes it.
    :param seconds: its share of the time that is left.
    """

    family: int
    address: tuple[str, int] | tuple[str, int, int, int]
    seconds: float


def take_turns(first: Sequence[T], second: Sequence[T]) -> Iterator[T]:
    """Merge two families, one each in turn, so that a dead family costs one attempt."""
    for index in range(max(len(first), len(second))):
        yield from first[index : index + 1]
        yield from second[index : index + 1]


def attempts(found: Iterable[Found], deadline: float, clock: Callable[[], float]) -> Iterator[Attempt]:
    """The addresses in the order in which they are tried, each with an equal share of the time that is left.

    :param found: what ``getaddrinfo`` returned; the family that it names first goes first (RFC 6724).
    :param deadline: when, by the clock, all must be over.
    """
    entries = [(family, address) for family, _, _, _, address in found if family in (socket.AF_INET, socket.AF_INET6)]
    if len(entries) == 1:
        yield Attempt(*entries[0], max(deadline - clock(), 0.0))  # type: ignore[arg-type]
        return
    entries = list(dict.fromkeys(entries))
    lead = [entry for entry in entries if entry[0] == entries[0][0]]
    rest = [entry for entry in entries if entry[0] != entries[0][0]]
    order = list(take_turns(lead, rest))[:ADDRESS_LIMIT]
    for index, (family, address) in enumerate(order):
        yield Attempt(family, address, max(deadline - clock(), 0.0) / (len(order) - index))  # type: ignore[arg-type]


def unreached(host: str, port: int, seconds: float, failures: Sequence[tuple[str, OSError]]) -> Exception:
    """What to raise when no address could be reached. An ``OSError`` names the host as its ``filename``.

    :param failures: each address with its error; a ``TimeoutError`` is one that took too long.
    """
    where = f"{host} port {port}"
    if failures and all(isinstance(error, TimeoutError) and error.errno is None for _, error in failures):
        return DeadlineExceeded(f"no connection to {where} in {seconds:g} s")
    if len(failures) == 1:
        error = failures[0][1]
        return OSError(error.errno or errno.EHOSTUNREACH, _reason(error), where)
    said = "; ".join(f"{address}: {_reason(error)}" for address, error in failures)
    numbers = {error.errno for _, error in failures}
    number = numbers.pop() if len(numbers) == 1 else None
    return OSError(number or errno.EHOSTUNREACH, f"no address can be reached ({said or 'the name has none'})", where)


def _reason(error: OSError) -> str:
    """What the system says; an event loop may have put the address in place of it."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
