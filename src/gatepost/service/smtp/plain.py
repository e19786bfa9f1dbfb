"""A session in the clear: its engine has no AUTH, and it ends at the upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepost.net.channel import PlainChannel
from gatepost.observe import logs
from gatepost.service.smtp.session import Session
from gatepost.wire.smtp import events
from gatepost.wire.smtp.reply import TLS_UNAVAILABLE
from gatepost.wire.smtp.server import PlainServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade

if TYPE_CHECKING:
    from gatepost.service.smtp.connection import Connection


class PlainSession(Session):
    """A session in the clear. It ends at the upgrade."""

    __slots__ = ()

    def __init__(self, connection: Connection, channel: PlainChannel) -> None:
        origin = connection.origin
        super().__init__(connection, channel, PlainServer(origin, connection.terms.profile))

    def _on_starttls(self, event: events.StartTLSRequested) -> None:
        engine, connection, channel = self._engine, self._connection, self._channel
        assert isinstance(engine, PlainServer)
        assert isinstance(channel, PlainChannel)
        if connection.terms.contexts is None:  # rules contradict each other since a list has changed
            engine.answer(TLS_UNAVAILABLE)
            return
        try:
            ready, early = engine.grant_upgrade()
        except PlaintextAfterUpgrade as finding:
            connection.record.outcome = "plaintext after the upgrade"
            connection.port.tally.count("plaintext_after_upgrade_total", side="server")
            logs.event(
                "tls.plaintext-after-upgrade",
                severity="warning",
                connection=connection.origin.connection,
                rip=connection.origin.peer[0],
                listener=connection.port.listener.name,
                octets=len(finding.residue),
                evidence=finding.residue[:256],
            )
            return
        self._channel = None
        connection.upgrade(channel, ready, early, engine.outgoing())


PlainSession._handlers = {**Session._handlers, events.StartTLSRequested: PlainSession._on_starttls}
