"""What is counted of the servers behind the gate, a backend's servers together."""

from __future__ import annotations

from typing import Final, final

from gatepost.observe.metrics import Counters


@final
class BackendTally:
    """The columns of a backend, looked up once.

    :param backend: its name.
    :param speaks: whether this process tells how many servers are well: of those that ask them all, one does.
    """

    __slots__ = ("_add", "_columns", "_put", "_speaks")

    def __init__(self, counters: Counters, backend: str, *, speaks: bool = True) -> None:
        self._add: Final = counters.add
        self._put: Final = counters.put
        self._speaks = speaks
        index = counters.index
        self._columns: Final = {
            "connections": index("gate_backend_connections_total", backend=backend),
            "open": index("gate_backend_connections_open", backend=backend),
            "failures": index("gate_backend_failures_total", backend=backend),
            "unavailable": index("gate_backend_unavailable_total", backend=backend),
            "well": index("gate_backend_checks_total", backend=backend, result="ok"),
            "ill": index("gate_backend_checks_total", backend=backend, result="failed"),
            "up": index("gate_backend_servers", backend=backend, state="up"),
            "down": index("gate_backend_servers", backend=backend, state="down"),
        }

    def connected(self) -> None:
        """A connection for a client."""
        self._add(self._columns["connections"])
        self._add(self._columns["open"])

    def released(self) -> None:
        """It is over."""
        self._add(self._columns["open"], -1)

    def failed(self) -> None:
        """A server could not be dialled."""
        self._add(self._columns["failures"])

    def unavailable(self) -> None:
        """A client got no server at all."""
        self._add(self._columns["unavailable"])

    def checked(self, *, well: bool) -> None:
        """A check was made."""
        self._add(self._columns["well" if well else "ill"])

    def standing(self, up: int, down: int) -> None:
        """How many servers are well, and how many are not."""
        if self._speaks:
            self._put(self._columns["up"], up)
            self._put(self._columns["down"], down)

    def hush(self) -> None:
        """Tell nothing any more of how servers are: another process does."""
        self.standing(0, 0)
        self._speaks = False
