"""The listening sockets of the server, over reloads: unchanged ones are kept, new ones bound, gone ones closed.

SECURITY: binds the addresses of the configuration, and takes those that the service manager passed; makes the local
socket ``sendmail.sock`` (mode 0666: the kernel tells who connects) and takes its file away at the end. The workers of a
role inherit only their own; ``close_except`` closes the rest in them.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from gatepost.config.endpoints import format_endpoint, parse_bind
from gatepost.config.schema import Config, Listener
from gatepost.net.listen import BindError, bind, bind_local, show
from gatepost.observe.logs import event
from gatepost.observe.shared import BoundListener
from gatepost.serve.roles import METRICS_LISTENER

SENDMAIL_SOCKET: Final = "sendmail.sock"
"""The local socket that ``sendmail`` hands its messages to, below ``config.runtime``."""


@final
@dataclass(frozen=True, slots=True)
class _Bound:
    sock: socket.socket
    path: Path | None = None  # of a local socket
    identity: tuple[int, int] = (0, 0)  # of its file: device and inode


@final
class Bindings:
    """All listening sockets, by address.

    :param passed: sockets of the service manager by listener name; they stand in for the listener's ``bind``.
    """

    __slots__ = ("_by_key", "_passed")

    def __init__(self, passed: Mapping[str, list[socket.socket]] | None = None) -> None:
        self._by_key: dict[str, _Bound] = {}
        self._passed = dict(passed or {})

    def plan(self, config: Config) -> Plan:
        """Bind what a configuration asks for and is not bound yet. Nothing is given up before ``Plan.commit``.

        :raises BindError: when an address cannot be had; what was bound on the way is closed again.
        """
        new: dict[str, _Bound] = {}
        listeners: list[BoundListener] = []
        used: set[str] = set()
        try:
            for listener in (*config.listeners, *_metrics_listener(config)):
                sockets = self._passed.get(listener.name)
                if sockets is None:
                    sockets = self._sockets(listener, new, used)
                listeners.append(BoundListener(listener.name, listener, tuple(sockets)))
            if not config.gates_only:
                listeners.append(self._local(config, new, used))
        except BaseException:
            for bound in new.values():
                _stop_listening(bound)
            raise
        return Plan(self, tuple(listeners), new, used)

    def _sockets(self, listener: Listener, new: dict[str, _Bound], used: set[str]) -> list[socket.socket]:
        sockets = []
        for text in listener.bind:
            host, port = parse_bind(text)
            # Port 0 lets the kernel choose: each such bind is a socket of its own.
            key = format_endpoint(host, port) if port else f"{listener.name} {text}"
            bound = self._by_key.get(key) or new.get(key)
            if bound is None:
                try:
                    bound = new[key] = _Bound(bind((host, port)))
                except (BindError, OSError) as error:
                    if len(listener.bind) == 1 or not _has_no_such_family(host, error):
                        raise
                    event("listener.skipped", "notice", listener=listener.name, address=text, reason="no IPv6 here")
                    continue
            used.add(key)
            sockets.append(bound.sock)
        return sockets

    def _local(self, config: Config, new: dict[str, _Bound], used: set[str]) -> BoundListener:
        """The socket for programs of this machine: there whatever is configured, and not a listener of the file."""
        from gatepost.service.smtp.port import local_listener  # not before a start has chosen how OpenSSL is loaded

        path = config.runtime / SENDMAIL_SOCKET
        key = str(path)
        bound = self._by_key.get(key)
        if bound is None:
            sock = bind_local(path)
            status = path.lstat()
            bound = new[key] = _Bound(sock, path, (status.st_dev, status.st_ino))
        used.add(key)
        listener = local_listener()
        return BoundListener(listener.name, listener, (bound.sock,))

    def _commit(self, new: Mapping[str, _Bound], used: set[str]) -> None:
        self._by_key.update(new)
        for key in [each for each in self._by_key if each not in used]:
            _stop_listening(self._by_key.pop(key))

    def close_except(self, keep: Iterable[BoundListener]) -> None:
        """In a worker: close every listening socket that is not one of these."""
        kept = {sock for listener in keep for sock in listener.sockets}
        every = [bound.sock for bound in self._by_key.values()]
        every += [sock for sockets in self._passed.values() for sock in sockets]
        for sock in every:
            if sock not in kept:
                sock.close()

    def stop(self, *, keep: socket.socket | None = None) -> None:
        """Refuse new connections from now on, also in the workers that drain. Passed sockets go on queueing.

        :param keep: one that stays open for now.
        """
        for key in [key for key, bound in self._by_key.items() if bound.sock is not keep]:
            _stop_listening(self._by_key.pop(key))


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """Sockets that are bound for a configuration which is not in force yet."""

    bindings: Bindings
    listeners: tuple[BoundListener, ...]
    new: dict[str, _Bound]
    used: set[str]

    def commit(self) -> None:
        """Take the new ones over and close those that are gone."""
        self.bindings._commit(self.new, self.used)

    def adopt(self) -> None:
        """Take the new ones over and keep the rest, so that the workers of both configurations can be forked."""
        self.bindings._by_key.update(self.new)

    def abandon(self) -> None:
        """Close the new ones; nothing else has changed."""
        for key, bound in self.new.items():
            self.bindings._by_key.pop(key, None)
            _stop_listening(bound)


def shown(sock: socket.socket) -> str:
    """Where a socket listens, as people write it."""
    address = sock.getsockname()
    return str(address) if sock.family == socket.AF_UNIX else show(address[:2])


def _stop_listening(bound: _Bound) -> None:
    # A listening socket that other processes share goes on queueing connections until the last of them closes it;
    # shutdown(2) ends that at once, in all of them.
    with contextlib.suppress(OSError):
        bound.sock.shutdown(socket.SHUT_RDWR)
    bound.sock.close()
    if bound.path is None:
        return
    with contextlib.suppress(OSError):
        status = bound.path.lstat()
        if (status.st_dev, status.st_ino) == bound.identity:  # else it is another server's by now
            bound.path.unlink()


def _has_no_such_family(host: str, error: Exception) -> bool:
    """Whether the machine has no IPv6 loopback: in a container, a listener on both loopbacks still serves one."""
    cause = error.__cause__ if isinstance(error, BindError) else error
    known = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return host == "::1" and isinstance(cause, OSError) and cause.errno in known


def _metrics_listener(config: Config) -> tuple[Listener, ...]:
    if config.metrics.bind is None:
        return ()
    # Not a listener of the configuration, but bound and inherited like one.
    bind_to = (config.metrics.bind,)
    return (Listener.model_construct(None, name=METRICS_LISTENER, protocol=METRICS_LISTENER, bind=bind_to),)
