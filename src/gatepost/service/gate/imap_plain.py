"""Before TLS: the gate speaks by itself, and no server hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepost.net.channel import PlainChannel
from gatepost.service.gate.imap_session import NO_SERVER, IMAPSession, profile_for
from gatepost.wire.imap.events import Event, StartTLSRequested
from gatepost.wire.imap.server import PlainServer

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection


class PlainSession(IMAPSession[PlainServer]):
    """A session in the clear. It ends at the upgrade."""

    __slots__ = ()

    def __init__(self, connection: GateConnection, channel: PlainChannel) -> None:
        super().__init__(connection, channel, PlainServer(connection.origin, profile_for(connection)))
        self._await_command()

    def greet(self) -> None:
        """Say the greeting, or goodbye where there is no server."""
        if self._connection.port.pool.available():
            self._engine.greet()
        else:
            self._connection.outcome = "no server"
            self._engine.shutdown(NO_SERVER)
        self._pump()

    def drain(self) -> None:
        """End: nothing is ever under way here."""
        self._connection.outcome = "drained"
        self._engine.shutdown("Shutting down")
        self._pump()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._channel is not None and not self._engine.backlog:
            self._await_command()

    def _await_command(self) -> None:
        self._connection.wait(self._connection.command_seconds, "command")

    def _on(self, event: Event) -> None:
        if isinstance(event, StartTLSRequested):
            self._on_starttls()
        else:
            super()._on(event)

    def _on_starttls(self) -> None:
        engine, connection = self._engine, self._connection
        if connection.terms.contexts is None:  # rules contradict each other since a list has changed
            engine.refuse_upgrade()
            return
        if (spent := self._spend(engine)) is not None:
            connection.upgrade(*spent, engine.outgoing())
