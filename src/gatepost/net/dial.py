"""Opening connections, for the asyncio driver."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from typing import Final

from gatepost.errors import DeadlineExceeded
from gatepost.net.drive import Wire
from gatepost.net.transport import Transport
from gatepost.tls.contexts import ClientTLS
from gatepost.wire.upgrade import Origin

CONNECT_SECONDS: Final = 30.0
_serial = itertools.count(1)


async def dial(
    host: str,
    port: int,
    *,
    dialer: str = "dial",
    tls: ClientTLS | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    handshake_seconds: float = 30.0,
    source: str | None = None,
) -> Wire:
    """Connect in the clear.

    :param host: an IP address; names are resolved by the caller (or by the system, here, when it is a name).
    :param dialer: names who dials, in the origin and so in the logs.
    :param tls: what an upgrade on this connection uses.
    :param source: the local address to connect from, or None.
    :return: a wire that has read nothing.
    :raises DeadlineExceeded: when the connection takes longer than ``connect_seconds``.
    :raises OSError: when it is refused or unreachable.
    """
    loop = asyncio.get_running_loop()
    family, address = await _address(loop, host, port)
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            sock.bind((source, 0))
        async with asyncio.timeout(connect_seconds):
            await loop.sock_connect(sock, address)
    except TimeoutError:
        sock.close()
        raise DeadlineExceeded(f"no connection to {host} port {port} in {connect_seconds:g} s") from None
    except BaseException:
        sock.close()
        raise
    return wrap(loop, sock, dialer=dialer, tls=tls, handshake_seconds=handshake_seconds)


def wrap(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    *,
    dialer: str,
    tls: ClientTLS | None = None,
    handshake_seconds: float = 30.0,
) -> Wire:
    """Make a wire of a connected socket."""
    return Wire(loop, Transport(loop, sock), origin_of(sock, dialer), tls=tls, handshake_seconds=handshake_seconds)


def origin_of(sock: socket.socket, dialer: str) -> Origin:
    """The origin of a socket that we connected."""
    if sock.family == socket.AF_UNIX:
        peer = local = ("local", 0)
    else:
        peer, local = sock.getpeername()[:2], sock.getsockname()[:2]
    return Origin(peer, local, dialer, time.time(), f"{os.getpid():x}-{next(_serial):x}")


async def _address(loop: asyncio.AbstractEventLoop, host: str, port: int) -> tuple[int, tuple[str, int]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family, (host, port)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))
