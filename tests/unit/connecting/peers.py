"""Servers of a few lines, in a thread, with a TLS implementation that is not ours; and one way to call both drivers."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gatepost
import gatepost.blocking
from gatepost.testing.ca import TestAuthority

SECONDS = 30.0  # more than any machine needs: nothing here is told by time


class Talker:
    """The server's side of one connection."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.plain = self.sock = sock
        self.context = context

    def say(self, data: bytes) -> None:
        """Send octets."""
        self.sock.sendall(data)

    def hear(self, count: int = 65536) -> bytes:
        """Receive what there is; nothing at the end. In front of ``upgrade`` say how much: the hello may be next."""
        return self.sock.recv(count)

    def line(self) -> bytes:
        """Receive one line, octet by octet: nothing is read ahead."""
        line = b""
        while not line.endswith(b"\n") and (octet := self.sock.recv(1)):
            line += octet
        return line

    def upgrade(self) -> None:
        """The server's side of a handshake."""
        self.sock = self.context.wrap_socket(self.plain, server_side=True, suppress_ragged_eofs=True)

    def end(self) -> None:
        """Say inside TLS that this is all, and wait for the client to say so."""
        assert isinstance(self.sock, ssl.SSLSocket)
        with contextlib.suppress(OSError):
            self.sock.unwrap()


Script = Callable[[Talker], object]


class Server:
    """Runs a script for each connection, in threads.

    :param script: what to do with one; its errors of sockets and TLS are the client's business.
    :param directory: where its certificate is written.
    """

    def __init__(self, script: Script, directory: Path, **limits: Any) -> None:
        authority = TestAuthority()
        issued = authority.issue("localhost", "127.0.0.1")
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.pem)
        pair = directory / "server.pem"
        pair.write_bytes(issued.chain_pem + issued.key_pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair)
        for name, value in limits.items():
            setattr(self.context, name, value)
        self.script = script
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.sock.getsockname()[1]
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.sock.close()
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._run, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket) -> None:
        sock.settimeout(SECONDS)
        talker = Talker(sock, self.context)
        try:
            self.script(talker)
        except (OSError, ssl.SSLError):
            pass
        except BaseException as error:  # noqa: BLE001  # shown to the test
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                talker.sock.close()
            sock.close()


class Awaited:
    """A blocking connection or client whose calls can be awaited: one test body for both drivers."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.target, name)
        if not callable(found) or name == "poll":
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            given = found(*arguments, **named)
            return Awaited(given) if isinstance(given, gatepost.blocking.SecureConnection) else given

        return call

    async def __aenter__(self) -> Awaited:
        self.target = self.target()
        return Awaited(self.target.__enter__())

    async def __aexit__(self, *how: Any) -> None:
        self.target.__exit__(*how)


def connect_blocking(*arguments: Any, **named: Any) -> Awaited:
    """``gatepost.blocking.connect``, to be awaited."""
    return Awaited(lambda: gatepost.blocking.connect(*arguments, **named))


Connect = Callable[..., Any]


@contextlib.contextmanager
def no_new_descriptors() -> Iterator[None]:
    """What is opened in here is closed in here. The server is to be in here, too: it has descriptors of its own."""
    gc.collect()  # what earlier tests left is theirs
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    yield
    gc.collect()
    assert {path.name for path in Path("/proc/self/fd").iterdir()} <= before
