"""Waiting without a task: a coroutine goes on in the stack of whoever brings what it waits for.

A session answers most commands at once, and each of the others waits for one thing, as a rule a reply of the server. A
task and a future for that would cost two more turns of the loop each time. ``Turn`` runs a coroutine by hand; it may
await a ``Pause``, or a future of the loop, and nothing that asks for a task, as ``asyncio.timeout`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Generic, TypeVar, final

T = TypeVar("T")


@final
class Pause(Generic[T]):
    """What is waited for: it comes once, perhaps before anybody waits."""

    __slots__ = ("_error", "_resume", "_settled", "_value")

    def __init__(self) -> None:
        self._settled = False
        self._value: T | None = None
        self._error: Exception | None = None
        self._resume: Callable[[], None] | None = None

    def settle(self, value: T | None, error: Exception | None = None) -> None:
        """It has come, or will not: whoever waits goes on before this returns."""
        self._settled, self._value, self._error = True, value, error
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def then(self, resume: Callable[[], None] | None) -> None:
        """Have somebody called when it comes; with None nobody."""
        self._resume = resume

    def __await__(self) -> Generator[Pause[T], None, T]:
        if not self._settled:
            yield self
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # settled with a value, which may well be None


@final
class Turn:
    """A coroutine that is run by hand, from where it stands to where it waits.

    :param coroutine: not begun yet.
    :param resume: called when what it waits for is there: ``advance`` is due.
    """

    __slots__ = ("_coroutine", "_resume", "_waits")

    def __init__(self, coroutine: Coroutine[Any, Any, None], resume: Callable[[], None]) -> None:
        self._coroutine: Final = coroutine
        self._resume: Final = resume
        self._waits: Pause[Any] | asyncio.Future[Any] | None = None

    def advance(self) -> bool:
        """Go on; whether it is over. Raises what it raises."""
        self._waits = None
        try:
            waits = self._coroutine.send(None)
        except StopIteration:
            return True
        self._waits = waits
        if isinstance(waits, Pause):
            waits.then(self._resume)
        else:
            waits._asyncio_future_blocking = False  # what a task says to a future that it waits for
            waits.add_done_callback(self._came)
        return False

    def close(self) -> None:
        """Leave it where it stands: what it holds is given back."""
        waits, self._waits = self._waits, None
        if isinstance(waits, Pause):
            waits.then(None)
        elif waits is not None:
            waits.remove_done_callback(self._came)
        self._coroutine.close()

    def _came(self, future: asyncio.Future[Any]) -> None:
        if future is self._waits:  # else it was closed when the call was due already
            self._resume()
