"""Open sessions that wait for the next message, and the bound on how many there are.

A session is used again only for the same address, port and server name, under the same trust, level and login (the
approach's ``key``): a connection that was made for less protection never serves a request for more.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, final

from gatepost.delivery.attempt import Approach, Target, open_session
from gatepost.delivery.session import Session
from gatepost.delivery.tally import Tally

IDLE_SECONDS: Final = 5.0
_BAD_SECONDS: Final = 60.0
_BAD_LIMIT: Final = 10_000

Key: TypeAlias = tuple[object, ...]
Opener: TypeAlias = Callable[[Target, Approach], Awaitable[Session]]


def key_of(target: Target, approach: Approach) -> Key:
    """Everything that decides whom a session speaks to, and how well protected."""
    return (target.address, target.hop.port, target.hop.host, *approach.key)


@final
class Pool:
    """All sessions of one process.

    :param approach: how servers are approached that have no approach of their own.
    :param limit: how many sessions there may be, idle ones included.
    :param messages: after how many messages a session is ended.
    :param opener: opens a session; tests replace it.
    :param tally: counts, or None.
    """

    __slots__ = (
        "_approach",
        "_bad",
        "_closing",
        "_idle",
        "_limit",
        "_messages",
        "_opener",
        "_sweeper",
        "_tally",
        "_waiters",
        "open_count",
    )

    def __init__(
        self,
        approach: Approach,
        *,
        limit: int,
        messages: int,
        opener: Opener = open_session,
        tally: Tally | None = None,
    ) -> None:
        self._approach = approach
        self._limit = limit
        self._messages = messages
        self._opener = opener
        self._tally = tally
        self._idle: OrderedDict[Session, Key] = OrderedDict()  # the one that waits longest first
        self._bad: dict[Key, float] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self.open_count = 0

    def take(self, target: Target) -> Session | None:
        """An idle session with this server, or None."""
        wanted = key_of(target, target.approach or self._approach)
        for session, key in reversed(self._idle.items()):
            if key == wanted:
                del self._idle[session]
                if session.alive:
                    return session
                self._end(session)
                return self.take(target)
        return None

    async def open(self, target: Target) -> Session:
        """A session with this server: an idle one, or a new one as soon as the limit allows.

        :raises Trouble: when it cannot be had.
        """
        while self.open_count >= self._limit:
            if (session := self.take(target)) is not None:
                return session
            if self._idle:
                oldest, _ = self._idle.popitem(last=False)
                self._end(oldest)
                continue
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if (session := self.take(target)) is not None:
            return session
        self.open_count += 1
        approach = target.approach or self._approach
        key = key_of(target, approach)
        opened = False
        try:
            session = await self._opener(target, approach)
            opened = True
        finally:
            if not opened:
                self._remember_bad(key)
                self._released()
        self._bad.pop(key, None)
        session.key = key
        if self._tally is not None:
            self._tally.connected(session.evidence)
        return session

    def was_bad(self, target: Target) -> bool:
        """Whether this server could not be reached a moment ago; others are tried before it then."""
        until = self._bad.get(key_of(target, target.approach or self._approach))
        return until is not None and until > time.monotonic()

    def spent(self, session: Session) -> bool:
        """Whether a session must not take another message."""
        return not session.alive or session.messages >= session.messages_limit(self._messages)

    def give(self, session: Session) -> None:
        """Give a session back: it waits a few seconds for another message, or is ended."""
        if self.spent(session):
            self._end(session)
            return
        session.idle_since = time.monotonic()
        self._idle[session] = session.key
        self._wake()
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    async def close(self) -> None:
        """End all idle sessions, and wait until those that are being ended have said QUIT."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            session, _ = self._idle.popitem()
            self._end(session)
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _sweep(self) -> None:
        self._sweeper = None
        limit = time.monotonic() - IDLE_SECONDS
        for session in list(self._idle):
            if session.idle_since <= limit or not session.alive:
                del self._idle[session]
                self._end(session)
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_SECONDS / 2, self._sweep)

    def _end(self, session: Session) -> None:
        """Say QUIT without making anybody wait for it."""
        self._released()
        if self._tally is not None:
            self._tally.disconnected()
        if not session.alive:
            session.abort()
            return
        task = asyncio.get_running_loop().create_task(session.quit())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _released(self) -> None:
        self.open_count -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return

    def _remember_bad(self, key: Key) -> None:
        if len(self._bad) >= _BAD_LIMIT:
            self._bad.clear()
        self._bad[key] = time.monotonic() + _BAD_SECONDS
