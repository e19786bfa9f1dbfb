"""How a POP3 server is asked how it is: as far as a login could go, and no further."""

from __future__ import annotations

from gatepost.config.schema import Backend
from gatepost.service.gate.link import Link
from gatepost.service.gate.pop3_offer import Abilities, abilities
from gatepost.service.gate.pop3_upstream import opening, timeouts_of


async def probe(link: Link, settings: Backend) -> Abilities:
    """Greeting, CAPA, TLS and CAPA again where the backend has it, QUIT: what the server lists.

    :raises GatepostError: when it refuses, or breaks the protocol; ``OSError`` when it is gone.
    """
    engine = await link.run(opening(link.wire.origin, link.tls, settings.tls, timeouts_of(settings.reply_timeout)))
    listed = engine.listed
    assert listed is not None
    await link.run(engine.quit())
    return abilities(listed)
