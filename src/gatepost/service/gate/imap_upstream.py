"""Reaching an IMAP server behind the gate: a connection, TLS where the backend has it, and what the server can do."""

from __future__ import annotations

import math
from typing import Final

from gatepost.config.schema import Backend
from gatepost.net.ownname import own_name
from gatepost.service.gate.backends import Client, Link, Pool
from gatepost.wire.imap.client import Opening, open_here, open_upgraded
from gatepost.wire.recipes.imap import IMAP
from gatepost.wire.recipes.recipe import ClientTerms

ANSWER: Final = "answer of the server"


async def opened(link: Link, settings: Backend) -> Opening:
    """Go as far as the first command of a client.

    :raises GatepostError: when the server refuses, or breaks the protocol; ``OSError`` when it is gone.
    """
    seconds = settings.reply_timeout
    if settings.tls == "starttls":
        terms = ClientTerms(hostname=own_name(), seconds=seconds)
        return await link.run(open_upgraded(link.wire.origin, terms, IMAP.client))
    return await link.run(open_here(seconds))


async def reach(pool: Pool, client: Client) -> tuple[Link, Opening]:
    """A server that is ready for a client's commands.

    :raises BackendUnavailable: when none can be had.
    """

    async def begin(link: Link) -> tuple[Link, Opening]:
        return link, await opened(link, pool.settings)

    return await pool.open(client, begin)


async def hear(link: Link) -> bytes:
    """What the server says next, whenever that is; empty at the end. The session's clock bounds it.

    :raises OSError: when the connection is lost; likewise ``UpgradeError`` when it was broken inside TLS.
    """
    return await link.receive(math.inf, ANSWER)
