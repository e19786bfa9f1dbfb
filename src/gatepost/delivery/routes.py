"""The ways of one delivery process: decided once for each destination, and remembered.

Mail that goes the same way waits in one line, whatever its domains are: a server that takes the mail of a thousand
domains gets no more connections than that of one.
"""

from __future__ import annotations

from typing import Final, final

from gatepost.policy.routes import RoutePolicy, Way

_REMEMBERED: Final = 4096


@final
class Routes:
    """Which way mail for each destination goes.

    :param policy: the routes and the smarthost.
    """

    __slots__ = ("_policy", "_ways")

    def __init__(self, policy: RoutePolicy) -> None:
        self._policy: Final = policy
        self._ways: dict[str, Way] = {}

    @property
    def single(self) -> bool:
        """Whether all mail goes one way, to the smarthost."""
        return self._policy.smarthost is not None and not self._policy.rules

    def way(self, destination: str) -> Way:
        """The way of mail for a destination.

        :param destination: a domain as A-labels, or an address literal.
        """
        way = self._ways.get(destination)
        if way is None:
            if len(self._ways) >= _REMEMBERED:
                self._ways.clear()
            way = self._ways[destination] = self._policy.decide(destination).way
        return way

    def leading(self, ways: set[Way]) -> list[str]:
        """The destinations whose mail goes one of these ways, as far as they have been asked for of late."""
        if not ways:
            return []
        named = [way.destination for way in ways if way.destination]
        return [*named, *(destination for destination, way in self._ways.items() if way in ways)]
