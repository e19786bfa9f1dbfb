"""Opening connections, for the asyncio driver."""

from __future__ import annotations

import asyncio
import errno
import functools
import itertools
import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from gatepost.errors import DeadlineExceeded
from gatepost.net.drive import Wire
from gatepost.net.reach import Attempt, Found, attempts, unreached
from gatepost.net.tap import tap
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

    :param host: an IP address, or a name for the system to look up: each address it has is tried in turn.
    :param dialer: names who dials, in the origin and so in the logs.
    :param tls: what an upgrade on this connection uses.
    :param source: the local address to connect from, or None.
    :return: a wire that has read nothing.
    :raises DeadlineExceeded: when the connection takes longer than ``connect_seconds``.
    :raises OSError: when it is refused or unreachable, or the name is unknown.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connect_seconds
    found = as_address(host, port) or await _look_up(loop, host, port, connect_seconds)
    failures: list[tuple[str, OSError]] = []
    for attempt in attempts(found, deadline, loop.time):
        try:
            sock = await _connect(loop, attempt, source)
        except OSError as error:
            failures.append((attempt.address[0], error))
        else:
            return wrap(loop, sock, dialer=dialer, tls=tls, handshake_seconds=handshake_seconds)
    raise unreached(host, port, connect_seconds, failures) from None


async def _connect(loop: asyncio.AbstractEventLoop, attempt: Attempt, source: str | None) -> socket.socket:
    """A connected socket, or none: also when the attempt is cancelled.

    :raises OSError: when it is refused or unreachable; ``TimeoutError`` when it takes too long.
    """
    sock = socket.socket(attempt.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            sock.bind((source, 0))
        await _established(loop, sock, attempt)
    except BaseException:
        sock.close()
        raise
    return sock


async def _established(loop: asyncio.AbstractEventLoop, sock: socket.socket, attempt: Attempt) -> None:
    """Wait for a connection. Not by ``loop.sock_connect``: uvloop's has a thread look up what is an address already.

    :raises OSError: when it is refused or unreachable; ``TimeoutError`` without a number when it takes too long.
    """
    code = sock.connect_ex(attempt.address)
    if code == errno.EINPROGRESS:
        code = sock.connect_ex(attempt.address)  # a server on this machine has answered by now
    if code in (errno.EALREADY, errno.EINPROGRESS, errno.EINTR):
        settled: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(attempt.seconds, _settle, settled, TimeoutError())
        loop.add_writer(sock, _settle, settled)
        try:
            await settled
        finally:
            loop.remove_writer(sock)
            timer.cancel()
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _settle(settled: asyncio.Future[None], error: TimeoutError | None = None) -> None:
    if settled.done():
        return
    if error is None:
        settled.set_result(None)
    else:
        settled.set_exception(error)


def wrap(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    *,
    dialer: str,
    tls: ClientTLS | None = None,
    handshake_seconds: float = 30.0,
) -> Wire:
    """Make a wire of a connected socket."""
    transport, origin = Transport(loop, sock), origin_of(sock, dialer)
    transport.tap = tap(origin, "client")
    return Wire(loop, transport, origin, tls=tls, handshake_seconds=handshake_seconds)


def origin_of(sock: socket.socket, dialer: str) -> Origin:
    """The origin of a socket that we connected."""
    peer, local = sock.getpeername(), sock.getsockname()
    if not isinstance(peer, tuple):
        peer = local = ("local", 0)  # AF_UNIX
    return Origin(peer[:2], local[:2], dialer, time.time(), f"{os.getpid():x}-{next(_serial):x}")


@functools.lru_cache(256)
def as_address(host: str, port: int) -> Sequence[Found]:
    """An address stands for itself; nothing is found of a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return ((family, 0, 0, "", (host, port)),)
    return ()


async def _look_up(loop: asyncio.AbstractEventLoop, host: str, port: int, seconds: float) -> Sequence[Found]:
    try:
        async with asyncio.timeout(seconds):
            return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise DeadlineExceeded(f"no address of {host} in {seconds:g} s") from None
