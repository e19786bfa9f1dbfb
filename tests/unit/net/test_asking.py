"""Questions whose answers strangers decide: so many at once, so long, and so many answers kept."""

from __future__ import annotations

import asyncio

import pytest

from gatepost.net.asking import Allowance, Asking


def _asking(allowance: Allowance = Allowance(60.0)) -> Asking[str, int]:  # noqa: B008 - a value
    return Asking[str, int](lambda: 0.0, allowance)


def test_oldest_answer_makes_room() -> None:
    """What strangers ask for cannot grow without end; an answer that is given anew is the youngest."""

    async def keep() -> list[int | None]:
        asking = _asking(Allowance(60.0, kept=2))
        for number, key in enumerate("abac"):
            asking.keep(key, number)
        return [asking.known(key) for key in "abc"]

    assert asyncio.run(keep()) == [2, None, 3]


def test_question_that_takes_too_long_is_given_up_and_makes_room() -> None:
    """The next one is asked as if it had never been; nothing is kept of it."""

    async def ask() -> None:
        asking = _asking(Allowance(0.05, at_once=1, waiting=0))

        async def never() -> int:
            await asyncio.Event().wait()
            return 1

        async def seven() -> int:
            return 7

        assert await asking.find(never) is None
        assert await asking.find(seven) == 7
        assert asking.known("a") is None

    asyncio.run(ask())


def test_error_is_passed_on_and_makes_room() -> None:
    """A question that breaks is its own asker's trouble."""

    async def ask() -> None:
        asking = _asking(Allowance(60.0, at_once=1, waiting=0))

        async def breaks() -> int:
            raise ValueError("no idea")

        for _ in range(3):
            with pytest.raises(ValueError, match="no idea"):
                await asking.find(breaks)

    asyncio.run(ask())
