"""How an SMTP server is asked how it is: as far as a message could go, and no further."""

from __future__ import annotations

from gatepost.config.schema import Backend
from gatepost.net.ownname import own_name
from gatepost.service.gate.backends import Link
from gatepost.service.gate.smtp_offer import Abilities, abilities
from gatepost.service.gate.smtp_upstream import Dialect, opening, takes_xclient, timeouts_of


async def probe(link: Link, settings: Backend) -> Abilities:
    """Greeting, EHLO, TLS and EHLO again where the backend has it, QUIT: what the server lists.

    :raises GatepostError: when it refuses, or breaks the protocol; ``OSError`` when it is gone.
    """
    return await _ask(link, settings, "SMTP")


async def probe_lmtp(link: Link, settings: Backend) -> Abilities:
    """The same in LMTP."""
    return await _ask(link, settings, "LMTP")


async def _ask(link: Link, settings: Backend, dialect: Dialect) -> Abilities:
    engine = await link.run(
        opening(
            link.wire.origin,
            link.tls,
            settings.tls,
            hostname=own_name(),
            timeouts=timeouts_of(settings.reply_timeout),
            dialect=dialect,
        )
    )
    if settings.client == "xclient":
        takes_xclient(engine.capabilities)
    listed = abilities(engine.capabilities)
    await link.run(engine.quit())
    return listed
