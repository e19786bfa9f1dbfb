"""What a gate brings along for an SMTP client, by its settings and by where the client comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gatepost.service.gate.smtp_offer import Abilities, Side, offer
from gatepost.service.gate.smtp_upstream import Dialect
from gatepost.wire.smtp.profile import ServerProfile

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection
    from gatepost.service.gate.port import GatePort, GateTerms

_PROFILES_LIMIT: Final = 256  # that are kept: lists change when servers do


def dialect_of(connection: GateConnection) -> Dialect:
    """How a gate's clients and servers speak."""
    return _dialect_at(connection.port)


def profile_of(
    connection: GateConnection, terms: GateTerms, *, logins: bool, listed: Abilities, starttls: bool | None = None
) -> ServerProfile:
    """How the gate speaks to a client. Many clients are alike, so what was found out for one is kept.

    :param logins: whether AUTH may be listed.
    :param listed: what the server lists: with ``mode = "pass"`` STARTTLS is its own.
    :param starttls: whether STARTTLS is listed, where that does not follow from the rest.
    """
    port = connection.port
    proxy = port.settings.xclient_from.matches(connection.origin.peer[0])
    key = (terms.starttls, terms.normalise, logins, starttls, proxy, listed)
    profile = port.profiles.get(key)
    if profile is None:
        if len(port.profiles) >= _PROFILES_LIMIT:
            port.profiles.clear()
        side = _side_of(port, terms, logins=logins, proxy=proxy, listed=listed)
        if starttls is not None:
            side = side._replace(starttls=starttls, required=side.required and starttls)
        profile = port.profiles[key] = offer(side, listed)
    return profile


def _side_of(port: GatePort, terms: GateTerms, *, logins: bool, proxy: bool, listed: Abilities) -> Side:
    limits = port.config.limits
    offered = terms.starttls != "deny" and not port.implicit
    passed = port.settings.mode == "pass"
    return Side(
        hostname=port.config.hostname,
        dialect=_dialect_at(port),
        max_size=limits.message_size,
        max_recipients=limits.recipients,
        max_errors=limits.errors,
        normalise=terms.normalise,
        starttls=offered and (listed.starttls or not passed),
        required=terms.starttls == "require",
        logins=logins,
        proxy=proxy,
    )


def _dialect_at(port: GatePort) -> Dialect:
    return "LMTP" if port.settings.protocol == "lmtp" else "SMTP"
