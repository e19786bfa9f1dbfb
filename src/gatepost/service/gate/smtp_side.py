"""What a gate brings along for an SMTP client, by its settings and by where the client comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepost.service.gate.smtp_offer import NO_ABILITIES, Abilities, Side
from gatepost.service.gate.smtp_upstream import Dialect

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection
    from gatepost.service.gate.port import GateTerms


def dialect_of(connection: GateConnection) -> Dialect:
    """How a gate's clients and servers speak."""
    return "LMTP" if connection.port.settings.protocol == "lmtp" else "SMTP"


def side_of(connection: GateConnection, terms: GateTerms, *, logins: bool, listed: Abilities = NO_ABILITIES) -> Side:
    """What the gate brings along for a client.

    :param listed: what the server lists: with ``mode = "pass"`` STARTTLS is its own.
    """
    port = connection.port
    limits = port.config.limits
    offered = terms.starttls != "deny" and not port.implicit
    passed = port.settings.mode == "pass"
    return Side(
        hostname=port.config.hostname,
        dialect=dialect_of(connection),
        max_size=limits.message_size,
        max_recipients=limits.recipients,
        max_errors=limits.errors,
        normalise=terms.normalise,
        starttls=offered and (listed.starttls or not passed),
        required=terms.starttls == "require",
        logins=logins,
        proxy=port.settings.xclient_from.matches(connection.origin.peer[0]),
    )
