"""Reaching an IMAP server behind the gate: a connection, TLS where the backend has it, and what the server can do."""

from __future__ import annotations

import math
from typing import Final

from gatepost.config.schema import Backend
from gatepost.errors import GatepostError
from gatepost.net.ownname import own_name
from gatepost.service.gate.backends import BackendUnavailable, Client, Link, Pool
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
    link = await pool.dial(client)
    try:
        return link, await opened(link, pool.settings)
    except (GatepostError, OSError) as error:
        link.condemn(str(error))
        raise BackendUnavailable(pool.name, f"{link.server}: {error}") from error
    except BaseException:
        link.abort()
        raise


async def hear(link: Link) -> bytes:
    """What the server says next, whenever that is; empty at the end. The session's clock bounds it.

    :raises OSError: when the connection is lost; likewise ``UpgradeError`` when it was broken inside TLS.
    """
    return await link.receive(math.inf, ANSWER)
