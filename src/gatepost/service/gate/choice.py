"""Which server of a pool a connection goes to. Pure: the servers' state in, the order of trying out.

Servers that answered their last check come before those that have not been asked yet; one that is down is not tried at
all, its check finds out when it is back. Among equals the one with the fewest connections is next, and of those with
equally many the turns go round.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple


class Health(IntEnum):
    """What is known of a server; the greater, the better."""

    DOWN = 0
    UNKNOWN = 1
    UP = 2


class Standing(NamedTuple):
    """A server at the moment of the choice.

    :param health: what is known of it.
    :param connections: how many lead to it now, those of all processes.
    """

    health: Health
    connections: int


def order(standings: Sequence[Standing], most: int, turn: int) -> list[int]:
    """The servers that may be tried, as indices, best first.

    :param standings: every server of the pool.
    :param most: connections that a server takes at a time; one that has as many is left out.
    :param turn: a number that grows by one with every choice, so that equals take turns.
    """
    count: Final = len(standings)
    able = [
        at for at, each in enumerate(standings) if each.health is not Health.DOWN and each.connections < most
    ]  # fmt: skip
    return sorted(able, key=lambda at: (-standings[at].health, standings[at].connections, (at - turn) % count))
