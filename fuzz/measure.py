"""What an input costs: time that must grow no faster than the input, and octets that a parser holds.

Wall clocks lie on a busy machine, so time is the processor's, and it is compared only with itself: the same input,
repeated to two lengths. What is linear takes eight times as long for eight times the octets, what is quadratic
sixty-four times.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final, TypeAlias

Target: TypeAlias = Callable[[bytes], None]

SHORT: Final = 1 << 13
LONG: Final = 1 << 16
STEEPEST: Final = 4.0  # how often the cost of an octet may be that of one in the short input
NEGLIGIBLE: Final = 0.1  # seconds of the long input that are not worth a question
SLOW: Final = 2.0  # seconds of an input as a fuzzer makes them, of a few KiB

_OPAQUE: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, int, float, Enum, type(None))


class NotLinear(AssertionError):
    """The work grows faster than the input."""


def grown(data: bytes, size: int) -> bytes:
    """``data``, again and again, about ``size`` octets: whole, so that both lengths are read or refused alike."""
    return data * max(1, size // len(data))


def cost(target: Target, data: bytes, times: int = 1) -> float:
    """Seconds of the processor that an input takes, the least of some."""
    spent = []
    for _ in range(times):
        began = time.thread_time()
        target(data)
        spent.append(time.thread_time() - began)
    return min(spent)


def check_growth(target: Target, data: bytes) -> None:
    """Whether the work is linear in the length of an input that is this one, repeated.

    :raises NotLinear: when it is not.
    """
    if not data or cost(target, grown(data, LONG)) < NEGLIGIBLE:
        return
    short, long = (cost(target, grown(data, size), times=3) for size in (SHORT, LONG))
    if long > NEGLIGIBLE and long / LONG > STEEPEST * short / SHORT:
        raise NotLinear(f"{SHORT} octets take {short:.3f} s, {LONG} take {long:.3f} s")


def held(thing: object, besides: object = None) -> int:
    """Octets of the strings and buffers that can be reached from ``thing``, through its attributes and containers, and
    through the variables of a generator that waits. What classes, functions and modules hold is everybody's.

    :param besides: what lives for ever, like an engine's profile: what can be reached from it does not count.
    """
    return _reach(thing, set(_of_all(besides)))


@functools.cache
def _of_all(thing: Any) -> frozenset[int]:
    seen: set[int] = set()
    _reach(thing, seen)
    return frozenset(seen)


def _reach(thing: object, seen: set[int]) -> int:
    """The octets of what is not in ``seen``, and is then."""
    total = 0
    waiting: list[Any] = [thing]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _OPAQUE):
            continue
        seen.add(id(each))
        if isinstance(each, bytes | bytearray | str | memoryview):
            total += len(each)
        elif isinstance(each, Mapping):
            waiting += each.keys()
            waiting += each.values()
        elif isinstance(each, Generator):
            waiting.append(getattr(each, "gi_yieldfrom", None))
            if (frame := getattr(each, "gi_frame", None)) is not None:
                waiting += frame.f_locals.values()
        elif isinstance(each, list | tuple | set | frozenset | deque):
            waiting += each
        else:
            waiting += getattr(each, "__dict__", {}).values()
            waiting += (getattr(each, name, None) for name in _slots(type(each)))  # type: ignore[arg-type]  # a class can be hashed
    return total


@functools.cache
def _slots(kind: type) -> tuple[str, ...]:
    """The names of a class' slots, its bases' too."""
    found = (vars(each).get("__slots__", ()) for each in kind.__mro__)
    return tuple(name for names in found for name in ((names,) if isinstance(names, str) else names))
