"""Questions whose answers strangers decide: a bounded number at a time, answered in time or not at all, and kept.

SECURITY: who connects decides what is asked, and servers of his say when it is answered. How many questions are open at
once, how many wait, how long one may take and how many answers are kept are bounded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar, final

K = TypeVar("K")
V = TypeVar("V")


class Allowance(NamedTuple):
    """What questions of one kind may cost.

    :param seconds: for one question, its wait for a turn included.
    :param at_once: how many are asked at once.
    :param waiting: how many wait for their turn; more are given up at once.
    :param kept: how many answers are kept.
    :param kept_seconds: for how long.
    """

    seconds: float
    at_once: int = 32
    waiting: int = 256
    kept: int = 4096
    kept_seconds: float = 300.0


@final
class Asking(Generic[K, V]):
    """Asks questions of one kind.

    :param now: seconds, on a clock that does not jump.
    """

    __slots__ = ("_allowance", "_kept", "_now", "_open", "_turns")

    def __init__(self, now: Callable[[], float], allowance: Allowance) -> None:
        self._now: Final = now
        self._allowance: Final = allowance
        self._turns: Final = asyncio.Semaphore(allowance.at_once)
        self._open = 0
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def known(self, key: K) -> V | None:
        """The answer, where it was given lately."""
        found = self._kept.get(key)
        return found[1] if found is not None and found[0] > self._now() else None

    async def find(self, ask: Callable[[], Awaitable[V]]) -> V | None:
        """Ask, when it is this question's turn.

        :return: the answer, which is not kept by itself; None where none came in time, or where too many wait already.
        """
        allowance = self._allowance
        if self._open >= allowance.at_once + allowance.waiting:
            return None
        self._open += 1
        try:
            async with asyncio.timeout(allowance.seconds), self._turns:
                return await ask()
        except TimeoutError:
            return None
        finally:
            self._open -= 1

    def keep(self, key: K, answer: V) -> None:
        """Remember an answer for a while, and forget the oldest one where there is no room."""
        self._kept[key] = (self._now() + self._allowance.kept_seconds, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > self._allowance.kept:
            self._kept.popitem(last=False)
