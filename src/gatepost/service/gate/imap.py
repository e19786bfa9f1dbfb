"""The sessions of an IMAP gate, by what the gate may do: end TLS, pass STARTTLS on, or offer none.

================  ======================================  ==========================================
session           when                                    who answers
================  ======================================  ==========================================
``PlainSession``  in the clear, TLS ends here             the gate alone; it ends at STARTTLS
``RelaySession``  inside TLS                              the server
``RelaySession``  in the clear, TLS is not offered        the server
``PassSession``   in the clear, ``mode = "pass"``         the server; its STARTTLS goes through
================  ======================================  ==========================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.gate.imap_pass import PassSession
from gatepost.service.gate.imap_plain import PlainSession
from gatepost.service.gate.imap_relay import RelaySession
from gatepost.service.gate.imap_session import profile_for
from gatepost.wire.imap.relay import ClearServer, SecureServer

if TYPE_CHECKING:
    from gatepost.service.connection import Session
    from gatepost.service.gate.connection import GateConnection


def PlainGate(connection: GateConnection, channel: PlainChannel) -> Session:  # noqa: N802  # it makes a session
    """A session in the clear."""
    if connection.terms.starttls == "deny":
        logins = connection.port.settings.mode == "refuse"  # the operator has chosen the clear, and not for TLS alone
        engine = ClearServer(connection.origin, profile_for(connection), logins=logins)
        return RelaySession(connection, channel, engine, greets=True)
    if connection.port.settings.mode == "pass":
        return PassSession(connection, channel)
    return PlainSession(connection, channel)


def SecureGate(connection: GateConnection, channel: SecureChannel) -> Session:  # noqa: N802  # it makes a session
    """A session inside TLS: from the channel, that is from origin and evidence, and nothing else."""
    engine = SecureServer(channel.origin, channel.evidence, profile_for(connection))
    return RelaySession(connection, channel, engine, greets=connection.port.implicit)
