"""What a memory of greylisting holds, and what every backend of it must do.

What it answers with is decided by ``gatepost.greylist``; a backend sees to it that one transaction decides, whichever
process asks, and that nothing is written where nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, final

from gatepost.greylist.memory import Memory, Step, Timing
from gatepost.greylist.triplet import Triplet


class Bounds(NamedTuple):
    """What is allowed to a memory.

    :param auto_allow: how many triplets of a client network pass before it is no stranger; 0: it always is.
    :param size: how many rows there may be.
    """

    auto_allow: int = 5
    size: int = 2_000_000


@final
@dataclass(frozen=True, slots=True)
class Remembered:
    """One triplet, for people to read: its addresses may be cut (``triplet.TEXT_LIMIT``).

    :param key: what it is found by, in hexadecimal.
    """

    key: str
    triplet: Triplet
    memory: Memory


@final
@dataclass(frozen=True, slots=True)
class Network:
    """A client network that has passed, or that the operator allowed.

    :param passes: how many of its triplets have passed.
    :param allowed: whether the operator said so; such an entry is never forgotten by itself.
    :param seen_at: when its last mail came, roughly; seconds since the Unix epoch.
    """

    network: str
    passes: int
    allowed: bool
    seen_at: float


@final
@dataclass(frozen=True, slots=True)
class Totals:
    """How much is remembered."""

    waiting: int
    passed: int
    networks: int
    allowed: int


class GreylistFull(Exception):
    """There is no room for another triplet, though everything that may be forgotten was."""


class GreylistStore(Protocol):
    """The durable memory of greylisting. Every method raises ``StoreError`` when the store fails."""

    def decide(self, triplet: Triplet, timing: Timing, bounds: Bounds) -> Step:
        """Decide an attempt, and remember it. Exact: of two processes that ask at once, one is first.

        :raises GreylistFull: when a stranger comes and there is no room; nothing was changed.
        """

    def look(self, triplet: Triplet) -> tuple[Memory | None, Network | None]:
        """What is remembered of a triplet and of its client network; changes nothing."""

    def expire(self, timing: Timing, limit: int) -> int:
        """Forget what may be forgotten, the oldest first; how many rows that were.

        :param limit: no more than so many in this transaction.
        """

    def allow(self, networks: Iterable[str]) -> None:
        """The operator says that client networks are no strangers."""

    def forget(self, *, network: str = "", sender: str = "", recipient: str = "", everything: bool = False) -> int:
        """Forget what matches all that is given, the networks' own entries included where only they are given.

        :return: how many triplets and networks are forgotten.
        """

    def triplets(
        self, *, limit: int, state: str = "", network: str = "", sender: str = "", recipient: str = ""
    ) -> list[Remembered]:
        """Triplets, the newest first.

        :param state: ``waiting``, ``passed``, or empty for both.
        """

    def networks(self, *, limit: int) -> list[Network]:
        """Client networks: those that the operator allowed, then by how many triplets have passed."""

    def totals(self) -> Totals:
        """How much is remembered."""

    def backup_to(self, target: Path) -> None:
        """Copy the store into a new file while it is in use."""

    def close(self) -> None:
        """Close it; it opens again when it is used again."""
