"""The memory of greylisting in SQLite: the embedded backend of ``GreylistStore``.

The file is opened when it is first used, so an object made before a fork is good in the process that uses it.

Theory
------
Most attempts change nothing: a known triplet, an allowed network, a retry that comes too early. They are two look-ups
by key outside of any transaction. What changes something is decided again inside a writing transaction, from what
stands there then: of two processes with the same triplet the second one sees what the first one wrote.

Commits are not synced one by one (``synchronous=NORMAL``): when the machine loses power the last moments may be
forgotten, and those senders wait once more. A killed process loses nothing.

SECURITY: the file is readable by its owner only. It tells who writes to whom.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from gatepost.greylist.memory import Memory, Step, Timing, Verdict, judge, refresh_after
from gatepost.greylist.triplet import TEXT_LIMIT, Triplet
from gatepost.store.greylist import Bounds, GreylistFull, Network, Remembered, Totals
from gatepost.store.sqlite.database import Database, Row

FILE_NAME: Final = "greylist.db"
BUSY_SECONDS: Final = 0.25  # a session waits for this; then mail is let through
SLICE: Final = 500  # rows that one transaction forgets, so that others get their turn
_DAY: Final = 86400.0
_ROOM: Final = 1000  # rows looked through for room when there is none


class SQLiteGreylist:
    """The memory in one SQLite file. One thread at a time may use it.

    :param path: the file, ``data/greylist.db``; made when it does not exist.
    :param clock: the time, in seconds since the Unix epoch.
    :param busy_seconds: how long a write waits for another process's.
    """

    __slots__ = ("_busy_seconds", "_clock", "_database", "path")

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.time, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self.path: Final = path
        self._clock: Final = clock
        self._busy_seconds: Final = busy_seconds
        self._database: Database | None = None

    def _open(self) -> Database:
        if self._database is None:
            self._database = Database(self.path, "greylist", busy_seconds=self._busy_seconds, durable=False)
        return self._database

    def decide(self, triplet: Triplet, timing: Timing, bounds: Bounds) -> Step:
        """See ``GreylistStore``."""
        database, now = self._open(), self._clock()
        memory, network = self.look(triplet)
        step = _decide(memory, network, now, timing, bounds)
        if step.memory is None and not _stale(step, network, now, timing):
            return step
        with database.writing("deciding") as connection:
            memory = _memory(connection.execute(database.sql["triplet"], (triplet.key,)).fetchone())
            network = _network(connection.execute(database.sql["network"], (triplet.network,)).fetchone())
            step = _decide(memory, network, now, timing, bounds)
            if step.verdict is Verdict.ALLOWED:
                self._refresh(connection, triplet.network, now, timing)
            if step.memory is not None:
                if memory is None:
                    self._make_room(connection, now, timing, bounds)
                connection.execute(database.sql["remember"], _columns(triplet, step.memory, timing))
            if step.verdict is Verdict.PASSED and bounds.auto_allow:
                expires = now + timing.lifetime
                connection.execute(
                    database.sql["count_pass"], {"network": triplet.network, "now": now, "expires_at": expires}
                )
        return step

    def look(self, triplet: Triplet) -> tuple[Memory | None, Network | None]:
        """See ``GreylistStore``."""
        database = self._open()
        memory = _memory(database.row("triplet", (triplet.key,)))
        return memory, _network(database.row("network", (triplet.network,)))

    def expire(self, timing: Timing, limit: int = SLICE) -> int:
        """See ``GreylistStore``."""
        database = self._open()
        spans = [span for span in _spans(self._clock(), timing) if (row := database.row("may_expire", span)) and row[0]]
        if not spans:
            return 0
        with database.writing("expiring") as connection:
            return _expire(connection, database, spans, limit)

    def allow(self, networks: Iterable[str]) -> None:
        """See ``GreylistStore``."""
        database, now = self._open(), self._clock()
        with database.writing("allowing") as connection:
            for network in networks:
                connection.execute(database.sql["allow"], {"network": network, "now": now})

    def forget(self, *, network: str = "", sender: str = "", recipient: str = "", everything: bool = False) -> int:
        """See ``GreylistStore``."""
        if not (network or sender or recipient or everything):
            return 0
        database, forgotten = self._open(), 0
        wanted = {"network": network, "sender": sender[:TEXT_LIMIT], "recipient": recipient[:TEXT_LIMIT]}
        while changed := database.write("forget", {**wanted, "limit": SLICE}):
            forgotten += changed
        if network and not (sender or recipient):
            forgotten += database.write("forget_network", (network,))
        while everything and (changed := database.write("forget_networks", (SLICE,))):
            forgotten += changed
        return forgotten

    def triplets(
        self, *, limit: int, state: str = "", network: str = "", sender: str = "", recipient: str = ""
    ) -> list[Remembered]:
        """See ``GreylistStore``."""
        wanted = {
            "limit": limit, "state": state, "network": network,
            "sender": sender[:TEXT_LIMIT], "recipient": recipient[:TEXT_LIMIT],
        }  # fmt: skip
        return [
            Remembered(key.lower(), Triplet(*names), Memory(first_seen, passed_at, seen_at))
            for key, *names, first_seen, passed_at, seen_at in self._open().rows("triplets", wanted)
        ]

    def networks(self, *, limit: int) -> list[Network]:
        """See ``GreylistStore``."""
        return [
            Network(name, passes, bool(said), at) for name, passes, said, at in self._open().rows("networks", (limit,))
        ]

    def totals(self) -> Totals:
        """See ``GreylistStore``."""
        row = self._open().row("totals")
        assert row is not None
        return Totals(*row)

    def check(self) -> list[str]:
        """What is wrong with the file; empty when it is sound."""
        return self._open().check()

    def backup_to(self, target: Path) -> None:
        """See ``GreylistStore``."""
        self._open().backup_to(target)

    def close(self) -> None:
        """See ``GreylistStore``."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _refresh(self, connection: sqlite3.Connection, network: str, now: float, timing: Timing) -> None:
        values = {"network": network, "now": now, "expires_at": now + timing.lifetime}
        connection.execute(self._open().sql["refresh_network"], values)

    def _make_room(self, connection: sqlite3.Connection, now: float, timing: Timing, bounds: Bounds) -> None:
        """See that there is room for one triplet and its network.

        :raises GreylistFull: when there is none.
        """
        database = self._open()
        (rows,) = connection.execute(database.sql["rows"]).fetchone()
        if rows + 2 > bounds.size and not _expire(connection, database, _spans(now, timing), _ROOM):
            raise GreylistFull


def _decide(memory: Memory | None, network: Network | None, now: float, timing: Timing, bounds: Bounds) -> Step:
    """The decision of ``judge``, for a network that may be no stranger."""
    if network is not None and _is_allowed(network, now, timing, bounds):
        return Step(Verdict.ALLOWED)
    return judge(memory, now, timing)


def _is_allowed(network: Network, now: float, timing: Timing, bounds: Bounds) -> bool:
    if network.allowed:
        return True
    return 0 < bounds.auto_allow <= network.passes and now - network.seen_at <= timing.lifetime


def _stale(step: Step, network: Network | None, now: float, timing: Timing) -> bool:
    """Whether it is time to write down that an allowed network still sends."""
    if step.verdict is not Verdict.ALLOWED or network is None or network.allowed:
        return False
    return abs(now - network.seen_at) > refresh_after(timing)


def _spans(now: float, timing: Timing) -> list[dict[str, float]]:
    """Which ends of lives are to be forgotten: those that are over, and those that a clock set ahead has written."""
    impossible = now + max(timing.lifetime, timing.window) + _DAY
    return [{"low": -math.inf, "high": now}, {"low": impossible, "high": math.inf}]


def _expire(connection: sqlite3.Connection, database: Database, spans: Iterable[dict[str, float]], limit: int) -> int:
    return sum(
        connection.execute(database.sql[name], {**span, "limit": limit}).rowcount
        for span in spans
        for name in ("expire_triplets", "expire_networks")
    )


def _memory(row: Row | None) -> Memory | None:
    return None if row is None else Memory(*row)


def _network(row: Row | None) -> Network | None:
    return None if row is None else Network(row[0], row[1], bool(row[2]), row[3])


def _columns(triplet: Triplet, memory: Memory, timing: Timing) -> dict[str, Any]:
    return {
        "key": triplet.key,
        "network": triplet.network,
        "sender": _cut(triplet.sender),
        "recipient": _cut(triplet.recipient),
        **memory._asdict(),
        "expires_at": memory.expires_at(timing),
    }


def _cut(text: str) -> str:
    return text[:TEXT_LIMIT].encode("utf-8", "replace").decode()
