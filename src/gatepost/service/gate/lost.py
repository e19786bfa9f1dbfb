"""A server that cannot be had, or was lost: what a session raises, and what the log says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from gatepost.observe import logs
from gatepost.service.gate.backends import Answered

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

R = TypeVar("R")


class ServerLost(Answered, Generic[R]):
    """There is no server, or no more: ``reply`` is what the client is told in place of an answer of it.

    :param reason: for the log.
    """

    def __init__(self, reason: str, reply: R) -> None:
        super().__init__(reason)
        self.reply: Final = reply


def unavailable(connection: GateConnection, reason: str) -> None:
    """No server can be had for a client."""
    connection.outcome = connection.outcome or "no server"
    logs.event("gate.unavailable", "warning", **about(connection), reason=reason)


def server_lost(connection: GateConnection, reason: str) -> None:
    """A server was lost, or is not to be believed, in the middle of a session. Whether that goes on is its own."""
    logs.event("gate.server-lost", "warning", **about(connection), server=connection.record.server, reason=reason)


def about(connection: GateConnection) -> dict[str, Any]:
    """What every line of the log says of a client of a gate."""
    origin, port = connection.origin, connection.port
    return {
        "connection": origin.connection, "rip": origin.peer[0], "listener": port.name, "backend": port.pool.name,
    }  # fmt: skip
