"""A server behind a gate that is not read: it says what it is told to, keeps what it hears, and echoes it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Final, Literal

from gatepost.connecting import SecureConnection
from gatepost.errors import GatepostError
from gatepost.net.listen import Acceptor, bind
from gatepost.serving import serve_protocol
from gatepost.testing.ca import TestAuthority
from gatepost.tls.contexts import TLSProfile, server_contexts

HOST: Final = "localhost"


class FarServer:
    """A server in a thread; use it as a context manager.

    :param says: what it says first, inside TLS where it speaks that.
    :param protocol: whose recipe it serves; empty speaks in the clear.
    :param tls: ``starttls`` or ``implicit``, with a protocol.
    :param answers: what it says in the clear to whatever it hears, in place of an echo.
    """

    def __init__(
        self,
        says: bytes = b"",
        protocol: str = "",
        tls: Literal["starttls", "implicit"] = "starttls",
        *,
        answers: bytes = b"",
    ) -> None:
        self._says = says
        self._answers = answers
        self._protocol = protocol
        self._implicit = tls == "implicit"
        self.authority: Final = TestAuthority()
        self._contexts = server_contexts([self.authority.issue(HOST).credential], TLSProfile())
        self._sock = bind(("127.0.0.1", 0))
        self.name: Final = f"{HOST}:{self._sock.getsockname()[1]}"
        self.heard = b""
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._socks: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, name="far server")

    def __enter__(self) -> FarServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()
        self._sock.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        acceptor = Acceptor(self._loop, self._sock, self._accepted)
        await self._stop.wait()
        acceptor.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sock in self._socks:  # those, too, whose task had not begun
            sock.close()

    def _accepted(self, sock: socket.socket, peer: object) -> None:
        sock.setblocking(False)
        self._socks.append(sock)
        self._tasks.append(self._loop.create_task(self._serve(sock)))

    async def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(GatepostError, OSError):
            if self._protocol:
                await serve_protocol(self._protocol, sock, self._contexts, self._attend, implicit=self._implicit)
            else:
                await self._echo(sock)

    async def _attend(self, connection: SecureConnection) -> None:
        if self._says:
            await connection.send(self._says)
        while data := await connection.read():
            self.heard += data
            await connection.send(data)

    async def _echo(self, sock: socket.socket) -> None:
        with sock:
            if self._says:
                await self._loop.sock_sendall(sock, self._says)
            while data := await self._loop.sock_recv(sock, 65536):
                self.heard += data
                await self._loop.sock_sendall(sock, self._answers or data)
