"""The control socket: one request a connection, one line of JSON each way.

    {"command": "status"}            -> {"ok": true, "version": …}
    {"command": "reload"}            -> {"ok": true} or {"ok": false, "error": …, "problems": […]}
    {"command": "queue-list", …}     -> {"ok": true, …}

SECURITY: a local socket with mode 0600 in the run directory, owned by the supervisor's account; the peer's account is
asked of the kernel (SO_PEERCRED) and must be that one or root. The supervisor reads at most 64 KiB from a connection,
never blocks on one, and keeps at most 16. It parses the line and nothing more: what needs a database is answered by a
short-lived child that has given up root.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from gatepost.errors import GatepostError
from gatepost.net.listen import peer_uid

SOCKET_NAME: Final = "control.sock"

_REQUEST_LIMIT: Final = 65536
_REPLY_LIMIT: Final = 64 << 20
_CONNECTIONS: Final = 16
_IDLE_SECONDS: Final = 10.0

Message = dict[str, Any]


class ControlError(GatepostError):
    """The server cannot be asked, or it refused; ``reply`` holds its answer when it gave one."""

    def __init__(self, message: str, *, hint: str = "", reply: Message | None = None) -> None:
        super().__init__(message, hint=hint, temporary=True)
        self.reply = reply or {}


def request(path: Path, message: Message, timeout: float = 10.0) -> Message:
    """Ask a running server.

    :param path: of its control socket (``config.runtime / SOCKET_NAME``).
    :param message: with the key ``command``.
    :param timeout: in seconds, for the whole exchange.
    :return: its answer; ``ok`` is true or false.
    :raises ControlError: when nobody answers, in time or at all.
    """
    until = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.settimeout(timeout)
            sock.connect(str(path))
            sock.sendall(json.dumps(message).encode() + b"\n")
            received = bytearray()
            while not received.endswith(b"\n") and len(received) < _REPLY_LIMIT:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                sock.settimeout(left)
                data = sock.recv(65536)
                if not data:
                    break
                received += data
        except TimeoutError:
            raise ControlError(f"the server at {path} did not answer within {timeout:g} s") from None
        except PermissionError:
            raise ControlError(
                f"{path}: permission denied", hint="ask as root, or as the account that started the server"
            ) from None
        except OSError as error:
            hint = "is it running, and is this its data directory?"
            raise ControlError(f"no server answers at {path}: {error.strerror}", hint=hint) from error
    try:
        answer = json.loads(received)
    except ValueError:
        raise ControlError(f"the server at {path} closed without an answer", hint="see its log") from None
    if not isinstance(answer, dict):
        raise ControlError(f"the server at {path} gave an answer that is not one")
    return answer


@final
class Connection:
    """One request being read, answered or written."""

    __slots__ = ("_control", "_outgoing", "_received", "deadline", "sock")

    def __init__(self, control: ControlSocket, sock: socket.socket) -> None:
        self._control = control
        self.sock = sock
        self._received = bytearray()
        self._outgoing = b""
        self.deadline: float | None = time.monotonic() + _IDLE_SECONDS

    def readable(self) -> None:
        """Read what came; hand the request over when its line is complete."""
        try:
            data = self.sock.recv(_REQUEST_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        line, end, _ = bytes(self._received).partition(b"\n")
        if not end:
            if not data or len(self._received) >= _REQUEST_LIMIT:
                self.close()
            return
        self._control.selector.unregister(self.sock)
        self.deadline = None
        try:
            message = json.loads(line)
            command = message["command"]
        except (ValueError, TypeError, KeyError, RecursionError):
            self.answer({"ok": False, "error": 'a request is a JSON object with the key "command"'})
            return
        try:
            self._control.handle(self, str(command), message)
        except Exception as error:
            self.answer({"ok": False, "error": f"the server met an error, see its log: {type(error).__name__}"})
            raise

    def answer(self, message: Message) -> None:
        """Write the answer, at the peer's pace, and close."""
        self._outgoing = encode(message)
        self.deadline = time.monotonic() + _IDLE_SECONDS
        self._write()

    def _write(self) -> None:
        try:
            sent = self.sock.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._outgoing = self._outgoing[sent:]
        if not self._outgoing:
            self.close()
        elif self.sock not in self._control.selector.get_map():
            self._control.selector.register(self.sock, selectors.EVENT_WRITE, self._write)

    def close(self) -> None:
        """Forget the connection."""
        with contextlib.suppress(KeyError, ValueError):
            self._control.selector.unregister(self.sock)
        self.sock.close()
        self._control.connections.discard(self)


def encode(message: Message) -> bytes:
    """A message as its line."""
    return json.dumps(message, default=str).encode() + b"\n"


@final
class ControlSocket:
    """The supervisor's end.

    :param path: where it is made; an old one that nobody listens on is replaced.
    :param selector: the supervisor's; what is registered carries a callable.
    :param handle: called with the connection, the command and the message; it answers now or later.
    :raises OSError: when it cannot be made.
    """

    __slots__ = ("_identity", "_listening", "connections", "handle", "path", "selector")

    def __init__(
        self,
        path: Path,
        selector: selectors.BaseSelector,
        handle: Callable[[Connection, str, Message], None],
    ) -> None:
        self.path = path
        self.selector = selector
        self.handle = handle
        self.connections: set[Connection] = set()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            if path.is_socket():
                path.unlink()
        before = os.umask(0o177)
        try:
            self._listening.bind(str(path))
        finally:
            os.umask(before)
        status = path.lstat()
        self._identity = (status.st_dev, status.st_ino)
        self._listening.listen(16)
        self._listening.setblocking(False)
        selector.register(self._listening, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except OSError:
            return
        if len(self.connections) >= _CONNECTIONS or peer_uid(sock) not in (0, os.geteuid()):
            sock.close()
            return
        sock.setblocking(False)
        connection = Connection(self, sock)
        self.connections.add(connection)
        self.selector.register(sock, selectors.EVENT_READ, connection.readable)

    def expire(self, now: float) -> float | None:
        """Close what is overdue; returns when the next one will be."""
        for connection in [each for each in self.connections if each.deadline is not None and each.deadline <= now]:
            connection.close()
        return min((each.deadline for each in self.connections if each.deadline is not None), default=None)

    def close_in_worker(self, keep: Connection | None = None) -> None:
        """After a fork: close our copies; the socket stays the supervisor's."""
        self._listening.close()
        for connection in self.connections:
            if connection is not keep:
                connection.sock.close()

    def close(self) -> None:
        """Close it and take its file away, when the file is still ours."""
        for connection in list(self.connections):
            connection.close()
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(self._listening)
        self._listening.close()
        with contextlib.suppress(OSError):
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._identity:
                self.path.unlink()
