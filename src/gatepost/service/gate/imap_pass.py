"""Mode ``pass``: the server behind is asked for TLS, and when it agrees it has it with the client itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gatepost.net.channel import PlainChannel
from gatepost.service.gate.imap_relay import RelaySession
from gatepost.service.gate.imap_session import profile_for
from gatepost.service.gate.passing import begin_passing, plaintext_of_server
from gatepost.wire.imap.events import Event, UpgradeAgreed
from gatepost.wire.imap.passing import PassingServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade, Role

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

_REFUSAL: Final = b"* BYE [UNAVAILABLE] The server behind broke off the upgrade\r\n"


class PassSession(RelaySession[PassingServer]):
    """A session in the clear that is read until the server agrees to STARTTLS."""

    __slots__ = ()

    def __init__(self, connection: GateConnection, channel: PlainChannel) -> None:
        engine = PassingServer(connection.origin, profile_for(connection))
        super().__init__(connection, channel, engine, greets=True)

    def _on(self, event: Event) -> None:
        if isinstance(event, UpgradeAgreed):
            self._on_agreed()
        else:
            super()._on(event)

    def _on_agreed(self) -> None:
        """Both engines are spent; from here on the gate is blind (RFC 9051 §6.2.1)."""
        engine, connection, channel, link = self._engine, self._connection, self._channel, self._link
        assert isinstance(channel, PlainChannel)
        assert link is not None
        try:
            near, early, far = engine.hand_over(link.wire.origin)
        except PlaintextAfterUpgrade as finding:
            if finding.role is Role.SERVER:
                connection.plaintext_found(finding.residue)
            else:
                plaintext_of_server(connection, link.server, finding)
            return
        self._channel = self._link = None
        begin_passing(connection, channel, link, far, near, early, engine.outgoing(), refusal=_REFUSAL)
