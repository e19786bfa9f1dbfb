"""Clients that come through a proxy in front: whom its PROXY header names is whom everything goes by.

From the addresses of ``proxy_from`` the header is mandatory and comes before anything else; there is no guessing
whether one is there (proxy-protocol.txt §2). Who sends none in time, or anything else, is dropped without a word, and
the log says why. From every other address nothing is looked at: such a header is then what it is, rubbish in the
protocol.

Limits, rules and greylisting count the client that the header names, once it has named one. Those that have not said it
yet are bounded by themselves.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import socket
from collections.abc import Callable
from typing import Final, TypeAlias, final

from gatepost.net.header import HeaderWait, Outcome
from gatepost.observe import logs
from gatepost.policy.addresses import AddressList
from gatepost.service.tally import Tally
from gatepost.wire.proxy import Told
from gatepost.wire.upgrade import Origin

HEADER_SECONDS: Final = 5.0  # §2: at least 3, for a segment that was lost
WAITING_LIMIT: Final = 512  # connections without a header yet, for each gate and process

Admit: TypeAlias = Callable[[socket.socket, Origin], None]


@final
class Vestibule:
    """Where connections of proxies wait until their header is there.

    :param listener: the gate's name.
    :param proxies: whose connections begin with a header.
    :param seconds: how long it may take.
    :param most: how many may wait at a time.
    """

    __slots__ = ("_listener", "_loop", "_most", "_proxies", "_seconds", "_tally", "_waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: str,
        proxies: AddressList,
        tally: Tally,
        *,
        seconds: float = HEADER_SECONDS,
        most: int = WAITING_LIMIT,
    ) -> None:
        self._loop: Final = loop
        self._listener: Final = listener
        self._proxies: Final = proxies
        self._tally: Final = tally
        self._seconds: Final = seconds
        self._most: Final = most
        self._waiting: Final[dict[socket.socket, HeaderWait]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def takes(self, address: str) -> bool:
        """Whether connections from this address begin with a header."""
        return self._proxies.matches(address)

    def wait(self, sock: socket.socket, origin: Origin, admit: Admit) -> None:
        """Wait for the header of a connection, then admit it as coming from whom that names, or drop it.

        :param origin: the proxy's own.
        """
        if len(self._waiting) >= self._most:
            self._drop(sock, origin, f"{self._most} connections wait for their header")
            return
        done = functools.partial(self._done, sock, origin, admit)
        try:
            sock.setblocking(False)
            self._waiting[sock] = HeaderWait(self._loop, sock, self._seconds, done)
        except OSError:  # it is gone already
            sock.close()

    def close(self) -> None:
        """Drop all that wait: the gate closes."""
        while self._waiting:
            sock, waiting = self._waiting.popitem()
            waiting.cancel()
            sock.close()

    def _done(self, sock: socket.socket, origin: Origin, admit: Admit, outcome: Outcome) -> None:
        del self._waiting[sock]
        if not isinstance(outcome, Told):
            self._drop(sock, origin, outcome)
        elif outcome.source is None or outcome.destination is None:
            admit(sock, origin)
        else:
            admit(
                sock,
                dataclasses.replace(origin, peer=outcome.source, local=outcome.destination, proxy=origin.peer[0]),
            )

    def _drop(self, sock: socket.socket, origin: Origin, reason: str) -> None:
        sock.close()
        if not reason:  # it looked whether we are there
            return
        self._tally.count(f"{self._tally.family}_connections_refused_total", reason="proxy")
        logs.event(
            "proxy.refused",
            "warning",
            connection=origin.connection,
            rip=origin.peer[0],
            listener=self._listener,
            reason=reason,
        )
