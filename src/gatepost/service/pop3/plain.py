"""A session in the clear: its engine knows no login, and it ends at the upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepost.net.channel import PlainChannel
from gatepost.service.pop3.session import Session
from gatepost.wire.pop3 import events
from gatepost.wire.pop3.reply import TLS_UNAVAILABLE
from gatepost.wire.pop3.server import PlainServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade

if TYPE_CHECKING:
    from gatepost.service.pop3.connection import POP3Connection


class PlainSession(Session):
    """A session in the clear. It ends at the upgrade."""

    __slots__ = ()

    def __init__(self, connection: POP3Connection, channel: PlainChannel) -> None:
        super().__init__(connection, channel, PlainServer(connection.origin, connection.terms.profile))

    def _on_stls(self, event: events.StartTLSRequested) -> None:
        engine, connection, channel = self._engine, self._connection, self._channel
        assert isinstance(engine, PlainServer)
        assert isinstance(channel, PlainChannel)
        if connection.terms.contexts is None:  # rules contradict each other since a list has changed
            engine.answer(TLS_UNAVAILABLE)
            return
        try:
            ready, early = engine.grant_upgrade()
        except PlaintextAfterUpgrade as finding:
            connection.plaintext_found(finding.residue)
            return
        self._channel = None
        connection.upgrade(channel, ready, early, engine.outgoing())


PlainSession._handlers = {**Session._handlers, events.StartTLSRequested: PlainSession._on_stls}
