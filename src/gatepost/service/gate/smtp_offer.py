"""What an SMTP gate offers a client: what both it and the server behind can do. Pure.

A keyword is listed when the server lists it and the gate can keep its promise. PIPELINING and SIZE are the gate's own:
it reads ahead whatever the server does, and it has a limit of its own. STARTTLS is as the mode says, and never inside
TLS. AUTH is left out in the clear. Two kinds of mechanisms are left out everywhere, since they are about the handshake,
and the one with the client is not the one with the server: those with ``-PLUS``, whose channel binding names it, and
EXTERNAL, by which every client would log in with the gate's own certificate. Unknown extensions are hidden.
"""

from __future__ import annotations

import functools
from typing import Final, Literal, NamedTuple

from gatepost.service.gate.mechanisms import passing
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.extensions import Extensions
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.xclient import listed

_MECHANISMS_LIMIT: Final = 32
_VERBS: Final = frozenset({"XCLIENT", "XFORWARD"})  # read from everybody, so that strangers get an answer of ours
_STRANGERS: Final = Extensions(verbs=_VERBS)
_PROXIES: Final = Extensions((listed("XCLIENT"), listed("XFORWARD")), _VERBS)


class Side(NamedTuple):
    """What the gate itself brings along for one client.

    :param starttls: whether STARTTLS is listed.
    :param required: whether nothing else is served before it.
    :param logins: whether AUTH may be listed: inside TLS, or where the operator has decided against TLS.
    :param proxy: whether the client may say whom it speaks for.
    """

    hostname: str
    dialect: Literal["SMTP", "LMTP"]
    max_size: int
    max_recipients: int
    max_errors: int
    normalise: bool
    starttls: bool
    required: bool
    logins: bool
    proxy: bool


class Abilities(NamedTuple):
    """What a server listed, as far as a gate can pass it on."""

    starttls: bool = False
    size: int | None = None
    eightbitmime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    chunking: bool = False
    enhanced: bool = False
    recipients: int = 0
    auth: tuple[str, ...] = ()


NO_ABILITIES: Final = Abilities()
"""Of a server that was not asked yet."""


@functools.lru_cache(64)
def abilities(listed: Capabilities) -> Abilities:
    """What a server's list comes to."""
    usable = passing(listed.auth)
    return Abilities(
        listed.starttls,
        listed.size,
        listed.eightbitmime,
        listed.smtputf8 and listed.eightbitmime,  # RFC 6531 §3.1: one asks for the other
        listed.dsn,
        listed.chunking,
        listed.enhanced,
        listed.limits.get("RCPTMAX", 0),
        usable[:_MECHANISMS_LIMIT],
    )


def offer(side: Side, server: Abilities) -> ServerProfile:
    """The settings of the engine towards the client."""
    extensions = _PROXIES if side.proxy else _STRANGERS
    return ServerProfile(
        hostname=side.hostname,
        dialect=side.dialect,
        starttls=side.starttls,
        require_tls=side.starttls and side.required,
        auth_mechanisms=server.auth if side.logins else (),
        max_size=min(side.max_size, server.size or side.max_size),
        max_recipients=min(side.max_recipients, server.recipients or side.max_recipients),
        max_errors=side.max_errors,
        normalise=side.normalise,
        allow_smtputf8=server.smtputf8,
        allow_8bitmime=server.eightbitmime,
        allow_dsn=server.dsn,
        allow_chunking=server.chunking,
        enhanced=server.enhanced,
        allow_nul=True,
        relays=True,
        asks_hello=True,
        plain_extensions=extensions,
        secure_extensions=extensions,
    )
