"""Whom to lease next: oldest first, and fair to destinations, at a cost that does not grow with the queue.

Theory
------
Two walks. The first looks at the oldest due recipients, a *window* of a few times what is wanted, and passes by
destinations that are excluded or have had their share. Nearly always it finds enough.

It does not when one busy destination has a backlog: its 50,000 recipients fill any window. Then the second walk goes
from destination to destination, one index probe each, and takes each one's oldest. It begins behind the destination
where the last one stopped and is bounded in probes, so every destination's turn comes, and no call takes long.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

WINDOW: Final = 256  # at least so many of the oldest are looked at
PROBES: Final = 512  # at most so many destinations are looked at

Place: TypeAlias = tuple[int, int]  # message, position


class Chooser:
    """Remembers where the walk over destinations stopped."""

    __slots__ = ("_sql", "_stopped_at")

    def __init__(self, sql: Mapping[str, str]) -> None:
        self._sql: Final = sql
        self._stopped_at = ""

    def choose(
        self,
        connection: sqlite3.Connection,
        now: float,
        limit: int,
        *,
        exclude: Collection[str],
        per_destination: int | None,
        destination: str | None,
    ) -> dict[Place, str]:
        """Recipients to lease, with the destination of each, in the order in which to deliver them."""
        choice = _Choice(limit, limit if per_destination is None else per_destination, frozenset(exclude))
        window = max(2 * limit, WINDOW)
        if destination is not None:
            choice.take(connection.execute(self._sql["due_at_destination"], (destination, now, window)))
            return choice.places
        looked_at = choice.take(connection.execute(self._sql["due"], (now, window)))
        if looked_at == window and not choice.full:
            self._walk(connection, now, choice)
        return choice.places

    def _walk(self, connection: sqlite3.Connection, now: float, choice: _Choice) -> None:
        """From destination to destination, behind the one where the last walk stopped, at most once around."""
        following, due = self._sql["destination_after"], self._sql["due_at_destination"]
        here, wrapped = self._stopped_at, False
        for _ in range(PROBES):
            (found,) = connection.execute(following, (here,)).fetchone()
            if found is None or (wrapped and found > self._stopped_at):
                if wrapped:
                    break
                here, wrapped = "", True
                continue
            here = found
            if room := choice.room(found):
                choice.take(connection.execute(due, (found, now, room + choice.taken(found))))
            if choice.full:
                break
        self._stopped_at = here


class _Choice:
    """What was chosen so far."""

    __slots__ = ("_exclude", "_last", "_limit", "_share", "_taken", "places")

    def __init__(self, limit: int, share: int, exclude: frozenset[str]) -> None:
        self._limit = limit
        self._share = share
        self._exclude = exclude
        self._taken: dict[str, int] = {}
        self._last: tuple[int, str] | None = None  # message and destination of the last one taken
        self.places: dict[Place, str] = {}

    @property
    def full(self) -> bool:
        """Whether there are as many as were wanted."""
        return len(self.places) >= self._limit

    def taken(self, destination: str) -> int:
        """How many were taken of a destination."""
        return self._taken.get(destination, 0)

    def room(self, destination: str) -> int:
        """How many more may be taken of a destination."""
        return 0 if destination in self._exclude else max(self._share - self.taken(destination), 0)

    def take(self, rows: Iterable[tuple[int, int, str]]) -> int:
        """Take what there is room for; how many were looked at. A message's recipients at one destination are not torn
        apart."""
        places, taken = self.places, self._taken
        looked_at = 0
        for message, position, destination in rows:
            looked_at += 1
            if (message, position) in places:
                continue
            group = (message, destination)
            if group != self._last:
                if len(places) >= self._limit:
                    break
                if not self.room(destination):
                    continue
                self._last = group
            places[message, position] = destination
            taken[destination] = taken.get(destination, 0) + 1
        return looked_at
