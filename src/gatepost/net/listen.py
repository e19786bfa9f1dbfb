"""Listening sockets: binding them, and accepting from them."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gatepost.errors import GatepostError

BACKLOG: Final = 1024
_ACCEPTS_A_TURN: Final = 32
_PAUSE_WHEN_FULL: Final = 0.2  # seconds without accepting, when descriptors have run out
_TELL_SECONDS: Final = 60.0  # between two words about that

Address = tuple[str, int]


class BindError(GatepostError):
    """An address cannot be listened on."""


def bind(address: Address) -> socket.socket:
    """Bind and listen on a TCP address.

    IPPROTO_TCP is named because asyncio sets TCP_NODELAY only on sockets that name it.

    :param address: host and port; an IPv6 host without brackets.
    :raises BindError: when the address is taken, forbidden or not ours.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it: the replies after a handshake must not wait for a delayed acknowledgement, which
        # costs 40 ms a session.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise BindError(f"cannot listen on {show(address)}: {error.strerror}", hint=_advice(error, port)) from error
    sock.setblocking(False)
    return sock


def bind_local(path: Path, mode: int = 0o666) -> socket.socket:
    """Bind and listen on a local socket, in place of whatever socket stood at its path.

    :param mode: the file's permissions; who connects is checked by SO_PEERCRED, not by them.
    :raises BindError: when the path cannot be used.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            path.unlink()
        # Not chmod(2) afterwards: who owns the directory could by then have put a link to another file there.
        before = os.umask(0o777 & ~mode)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise BindError(f"cannot listen on {path}: {error.strerror or error}", hint="set run_directory") from error
    sock.setblocking(False)
    return sock


_KEEPALIVE: Final = {
    option: value
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    if (option := getattr(socket, name, None)) is not None
}


def show(address: Address) -> str:
    """An address as people write it: ``192.0.2.1:25``, ``[::1]:25``."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _advice(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another program listens there; find it with: ss -ltnp 'sport = :{port}'"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address"
    return ""


class Acceptor:
    """Accept from one listening socket, a bounded number a turn, and survive running out of descriptors.

    :param loop: the running loop.
    :param sock: the listening socket, shared with the other processes of its role.
    :param accepted: called with each connected socket and its peer's address.
    :param starved: called with what the kernel said when descriptors have run out, at most once a minute: clients wait
        until some are free again.
    """

    __slots__ = ("_accepted", "_loop", "_quiet_until", "_sock", "_starved", "_waiting", "stopped")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        accepted: Callable[[socket.socket, object], None],
        starved: Callable[[OSError], None] = lambda error: None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._accepted = accepted
        self._starved = starved
        self._quiet_until = 0.0
        self._waiting: asyncio.TimerHandle | None = None
        self.stopped = False
        loop.add_reader(sock.fileno(), self._ready)

    def stop(self) -> None:
        """Accept no more. The socket stays open: other processes share it."""
        if not self.stopped:
            self.stopped = True
            self._loop.remove_reader(self._sock.fileno())
            if self._waiting is not None:
                self._waiting.cancel()

    def _ready(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._rest(error)
                return
            self._accepted(sock, peer)
            if self.stopped:
                return

    def _rest(self, error: OSError) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._waiting = self._loop.call_later(_PAUSE_WHEN_FULL, self._wake)
        now = self._loop.time()
        if now >= self._quiet_until:
            self._quiet_until = now + _TELL_SECONDS
            self._starved(error)

    def _wake(self) -> None:
        self._waiting = None
        if not self.stopped:
            self._loop.add_reader(self._sock.fileno(), self._ready)


def peer_uid(sock: socket.socket) -> int:
    """The user id at the other end of a local socket (SO_PEERCRED)."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, _gid = struct.unpack("iII", credentials)
    return int(uid)


def watch_for_death(sock: socket.socket) -> None:
    """Have the kernel find out, in about two minutes, that an idle peer is gone without a word (RFC 1122 §4.2.3.6).

    :param sock: a TCP socket: a connected one, or a listening one for all that is accepted from it.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
