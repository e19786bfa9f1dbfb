"""How an IMAP server is asked how it is: as far as a client's first command, and LOGOUT."""

from __future__ import annotations

from gatepost.config.schema import Backend
from gatepost.service.gate.backends import Link
from gatepost.service.gate.imap_upstream import opened
from gatepost.wire.imap.client import log_out


async def probe(link: Link, settings: Backend) -> tuple[bytes, ...]:
    """Greeting, TLS where the backend has it, CAPABILITY, LOGOUT: what the server lists.

    :raises GatepostError: when it refuses, breaks the protocol, or has us logged in without a login; ``OSError`` when
        it is gone.
    """
    opening = await opened(link, settings)
    await link.run(log_out(settings.reply_timeout))
    return opening.capabilities
