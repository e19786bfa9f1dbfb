"""One server of a pool: what is known of it, and the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, final

from gatepost.config.endpoints import parse_endpoint
from gatepost.net.dial import as_address, dial
from gatepost.net.drive import Wire
from gatepost.service.gate.choice import Health
from gatepost.tls.contexts import ClientTLS


@final
class Server:
    """One server of a pool, and what is known of it.

    :param name: as the configuration writes it.
    :param tls: what a handshake with it asks for; None where none is made.
    :param column: where its connections are counted.
    """

    __slots__ = (
        "_literal", "asked", "column", "doubt", "health", "host", "known", "name", "port", "reason", "since", "tls",
    )  # fmt: skip

    def __init__(self, name: str, tls: ClientTLS | None, column: int) -> None:
        self.name: Final = name
        self.host, self.port = parse_endpoint(name)
        self._literal: Final = bool(as_address(self.host, self.port))  # nothing is looked up
        self.tls: Final = tls
        self.column: Final = column
        self.health = Health.UNKNOWN
        self.reason = "it was not asked yet"
        self.since = 0.0  # when it went down, by the loop
        self.known: object | None = None
        self.doubt: Final = asyncio.Event()  # set when it should be asked soon
        self.asked: Final = asyncio.Event()  # set when its first check is over

    async def dial(self, dialer: str, seconds: float) -> Wire:
        """Connect, in the clear. Nothing is said.

        :param dialer: who dials, for the log.
        :param seconds: how long it may take; a handshake that follows likewise.
        :raises DeadlineExceeded: when it takes longer; OSError when it is refused, or the name is unknown.
        """
        dialling = dial(
            self.host, self.port, dialer=dialer, tls=self.tls, connect_seconds=seconds, handshake_seconds=seconds
        )
        return await (dialling if self._literal else _in_task(dialling))


async def _in_task(dialling: Coroutine[Any, Any, Wire]) -> Wire:
    """Dial a name. To look one up asks for a task; who waits for it may have none (``pause``)."""
    task = asyncio.get_running_loop().create_task(dialling)
    try:
        return await task
    except BaseException:
        task.cancel()
        task.add_done_callback(_abort)
        raise


def _abort(task: asyncio.Task[Wire]) -> None:
    """Close a connection that nobody waits for any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
