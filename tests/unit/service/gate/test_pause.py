"""Coroutines without a task."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from gatepost.service.gate.pause import Pause, Turn


class Errand:
    """A turn, and what became of it.

    :param work: what it does.
    """

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.over = False
        self.turn = Turn(work, self.advance)

    def advance(self) -> None:
        self.over = self.turn.advance()


def test_turn_goes_on_where_what_it_waits_for_is_settled() -> None:
    """In the same call, and not a turn of a loop later."""
    pause: Pause[int] = Pause()
    found: list[int] = []

    async def work() -> None:
        found.append(await pause)

    errand = Errand(work())
    errand.advance()
    assert not errand.over
    pause.settle(7)
    assert (errand.over, found) == (True, [7])


def test_turn_does_not_wait_for_what_is_there() -> None:
    """It comes to its end at once."""
    pause: Pause[int] = Pause()
    pause.settle(7)

    async def work() -> None:
        assert await pause == 7

    errand = Errand(work())
    errand.advance()
    assert errand.over


def test_error_is_raised_where_it_is_waited_for() -> None:
    """The coroutine may deal with it; what it does not deal with comes out of ``advance``."""
    pauses: list[Pause[int]] = [Pause(), Pause()]

    async def work() -> None:
        with pytest.raises(OSError, match="first"):
            await pauses[0]
        await pauses[1]

    errand = Errand(work())
    errand.advance()
    pauses[0].settle(None, OSError("first"))
    with pytest.raises(OSError, match="second"):
        pauses[1].settle(None, OSError("second"))


def test_turn_that_is_closed_gives_back_what_it_holds() -> None:
    """And is not called any more when what it waited for comes."""
    pause: Pause[int] = Pause()
    left: list[str] = []

    async def work() -> None:
        try:
            await pause
        finally:
            left.append("left")

    errand = Errand(work())
    errand.advance()
    errand.turn.close()
    pause.settle(7)
    assert (errand.over, left) == (False, ["left"])


@pytest.mark.parametrize("closed", [False, True])
def test_turn_waits_for_a_future_of_the_loop(closed: bool) -> None:
    """As a task does; one that was closed is not woken."""

    async def scenario() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            assert await future == 7
            await asyncio.sleep(0.001)

        errand = Errand(work())
        errand.advance()
        if closed:
            errand.turn.close()
        future.set_result(7)
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if errand.over or closed:
                break
        assert errand.over is not closed

    asyncio.run(scenario())


def test_turn_that_was_closed_goes_on_no_more() -> None:
    """Not even where what it waited for had come, and the loop was about to say so."""
    resumed: list[int] = []

    async def scenario() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            await future

        turn = Turn(work(), lambda: resumed.append(1))
        assert not turn.advance()
        future.set_result(None)
        turn.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert not resumed
