"""The metrics process: a small HTTP server for ``/metrics``, ``/healthz`` and ``/readyz``.

One thread, one ``select`` loop, HTTP/1.0-style: one request a connection, then it is closed (RFC 9112 §9.6). A client
may be slow, silent or many; each costs one of 32 places for at most five seconds.

SECURITY: reads from whoever can reach ``metrics.bind``, at most 8 KiB each; holds that listening socket and the shared
counters, which it could write and does not. It opens no file, no database and no connection, and knows no mail address.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, final

from gatepost.observe import logs
from gatepost.observe.exposition import CONTENT_TYPE, new_registry, render
from gatepost.observe.shared import Shared

_CONNECTIONS: Final = 32
_REQUEST_LIMIT: Final = 8192
_SECONDS: Final = 5.0
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}  # fmt: skip  # noqa: E501

Answer = tuple[int, str, bytes]


@final
class _Client:
    """One connection: its request so far, or its answer that is left."""

    __slots__ = ("deadline", "outgoing", "received", "sock")

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.received = b""
        self.outgoing = b""
        self.deadline = now + _SECONDS


@final
class Page:
    """The server.

    :param sockets: listening, non-blocking.
    :param shared: whose counters are shown.
    :param clock: the monotonic time, in seconds.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], shared: Shared, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, _Client] = {}
        self._clock = clock
        self._shared = shared
        self._registry = new_registry(shared)
        self._ready_column = shared.counters.index("ready")
        self._sockets = sockets
        self.stopping = False
        for sock in sockets:
            self._selector.register(sock, selectors.EVENT_READ)

    def watch(self, sock: socket.socket) -> None:
        """Stop once this socket has something to read."""
        self._selector.register(sock, selectors.EVENT_READ, "stop")

    def serve(self) -> None:
        """Answer until told to stop, then finish what is being written."""
        while not self.stopping:
            self.turn()
        for sock in self._sockets:
            self._selector.unregister(sock)
        while any(client.outgoing for client in self._clients.values()):
            self.turn()
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()

    def turn(self, timeout: float | None = None) -> None:
        """Wait for what happens next, and deal with it."""
        deadlines = [client.deadline for client in self._clients.values()]
        if deadlines:
            left = max(0.0, min(deadlines) - self._clock())
            timeout = left if timeout is None else min(timeout, left)
        for key, _ in self._selector.select(timeout):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if key.data == "stop":
                self.stopping = True
                self._selector.unregister(sock)
            elif sock in self._clients:
                self._advance(self._clients[sock])
            else:
                self._accept(sock)
        now = self._clock()
        for client in [client for client in self._clients.values() if client.deadline <= now]:
            self._drop(client)

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except OSError:
            return
        sock.setblocking(False)
        if len(self._clients) >= _CONNECTIONS:
            # The oldest has had most of its time.
            self._drop(min(self._clients.values(), key=lambda client: client.deadline))
        self._clients[sock] = _Client(sock, self._clock())
        self._selector.register(sock, selectors.EVENT_READ)

    def _advance(self, client: _Client) -> None:
        try:
            if not client.outgoing:
                data = client.sock.recv(_REQUEST_LIMIT)
                client.received += data
                complete = b"\r\n\r\n" in client.received or b"\n\n" in client.received
                if not data or (not complete and len(client.received) > _REQUEST_LIMIT):
                    self._drop(client)
                    return
                if not complete:
                    return
                client.outgoing = _response(client.received, self.answer)
                self._selector.modify(client.sock, selectors.EVENT_WRITE)
            client.outgoing = client.outgoing[client.sock.send(client.outgoing) :]
        except BlockingIOError:
            return
        except OSError:
            client.outgoing = b""
        if not client.outgoing:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        del self._clients[client.sock]
        self._selector.unregister(client.sock)
        with contextlib.suppress(OSError):
            client.sock.shutdown(socket.SHUT_WR)
        client.sock.close()

    def answer(self, path: str) -> Answer:
        """Status, content type and body for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE, render(self._registry)
        if path == "/healthz":
            return 200, "text/plain", b"ok\n"
        if path == "/readyz":
            ready = self._shared.counters.total(self._ready_column) > 0
            return (200, "text/plain", b"ready\n") if ready else (503, "text/plain", b"not ready\n")
        return 404, "text/plain", b"there are /metrics, /healthz and /readyz\n"


def _response(request: bytes, answer: Callable[[str], Answer]) -> bytes:
    """Read the request line (RFC 9112 §3); its header fields do not matter here."""
    words = request.split(b"\n", 1)[0].strip().split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        status, kind, body = 400, "text/plain", b"not an HTTP/1 request\n"
    elif words[0] not in (b"GET", b"HEAD"):
        status, kind, body = 405, "text/plain", b"GET only\n"
    else:
        status, kind, body = answer(words[1].split(b"?", 1)[0].decode("latin-1"))
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"{'Allow: GET, HEAD' + chr(13) + chr(10) if status == 405 else ''}Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if words[0] == b"HEAD" else body)


def run(sockets: Sequence[socket.socket], shared: Shared) -> None:
    """Serve until SIGTERM. The entry point of the role ``metrics``."""
    receiving, sending = socket.socketpair()
    sending.setblocking(False)
    signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)  # before there is a handler: no signal is lost
    signal.signal(signal.SIGTERM, lambda *_: None)
    page = Page(sockets, shared)
    page.watch(receiving)
    shared.ready()
    try:
        page.serve()
    finally:
        signal.set_wakeup_fd(-1)
        receiving.close()
        sending.close()
        logs.flush()
