"""One process's greylisting for tests: on a loop and a clock that move when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gatepost.config.schema import Config
from gatepost.errors import StoreError
from gatepost.greylist.facts import Facts
from gatepost.greylist.memory import Memory, Step, Timing
from gatepost.greylist.triplet import Triplet
from gatepost.net.confirmed import ConfirmedNames
from gatepost.net.resolve import DNSResolver
from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.service.greylisting import Greylisting, Judged
from gatepost.store.greylist import Bounds, GreylistStore, Network, Remembered, Totals
from gatepost.store.sqlite.greylist import SQLiteGreylist
from gatepost.testing.dns import FakeDNS

ANN = Facts("192.0.2.7", "mx", "ann@example.com", "bob@x.test")


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Broken:
    """A memory that cannot answer."""

    def __init__(self) -> None:
        self.asked = 0

    def decide(self, triplet: Triplet, timing: Timing, bounds: Bounds) -> Step:
        self.asked += 1
        raise StoreError("greylist.db: deciding: the disk is full")

    def expire(self, timing: Timing, limit: int) -> int:
        raise StoreError("greylist.db: expiring: the disk is full")

    def look(self, triplet: Triplet) -> tuple[Memory | None, Network | None]:
        raise AssertionError

    def allow(self, networks: Iterable[str]) -> None:
        raise AssertionError

    def forget(self, *, network: str = "", sender: str = "", recipient: str = "", everything: bool = False) -> int:
        raise AssertionError

    def triplets(
        self, *, limit: int, state: str = "", network: str = "", sender: str = "", recipient: str = ""
    ) -> list[Remembered]:
        raise AssertionError

    def networks(self, *, limit: int) -> list[Network]:
        raise AssertionError

    def totals(self) -> Totals:
        raise AssertionError

    def backup_to(self, target: Path) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


class Rig:
    """One process's greylisting, on a loop that runs when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.loop = asyncio.new_event_loop()
        self.counters = Counters(("mx",))
        self.log = folder / "log"
        self._made: list[Greylisting] = []

    def make(
        self,
        *,
        store: GreylistStore | None = None,
        rules: list[dict[str, Any]] | None = None,
        dns: FakeDNS | None = None,
        **settings: Any,
    ) -> Greylisting:
        """Greylisting with these keys."""
        given = {"enabled": True, **settings}
        config = Config.model_validate(
            {
                "hostname": "mx.x.test", "data": self.folder, "greylist": given, "greylist_rule": rules or [],
                "delivery": {"resolver": dns.nameserver} if dns else {},
            }
        )  # fmt: skip
        memory = store or SQLiteGreylist(self.folder / "greylist.db", clock=self.clock)

        def names() -> ConfirmedNames:
            assert dns is not None
            return ConfirmedNames(DNSResolver([dns.nameserver]), self.loop.time, seconds=30.0)

        self._made.append(Greylisting(self.loop, config, memory, self.counters, names))
        return self._made[-1]

    def ask(self, greylisting: Greylisting, facts: Facts = ANN) -> Judged:
        """Judge a recipient, waiting for DNS where it is asked."""
        answered: asyncio.Future[Judged] = self.loop.create_future()
        found = greylisting.at_recipient(facts, "c1", answered.set_result)
        return found or self.loop.run_until_complete(answered)

    def count(self, result: str) -> int:
        """How many decisions ended like that."""
        return self.counters.total(self.counters.index("greylist_decisions_total", result=result))

    def events(self) -> list[str]:
        """The log's lines."""
        logs.flush()
        return self.log.read_text().splitlines()

    def close(self) -> None:
        """End all."""
        for each in self._made:
            each.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def said(judged: Judged) -> str:
    """The reply; empty for what is let in."""
    return str(judged.reply) if judged.reply else ""
