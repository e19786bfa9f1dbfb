"""A server behind a gate, in threads: it hears lines, answers as it is told, and becomes private when it is asked."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

from tests.interop.patience import until

from gatepost.testing.ca import TestAuthority

HOST: Final = "localhost"
Answer = bytes | Callable[[bytes], bytes]


@dataclass
class Heard:
    """One connection, as the server heard it."""

    lines: list[bytes] = field(default_factory=list)
    private: bool = False
    ended: bool = False


H = TypeVar("H", bound=Heard)


class Over(Exception):
    """The conversation is over."""


class Server(ABC, Generic[H]):
    """The server; use it as a context manager.

    :param answers: to a verb (``greeting`` for the greeting), in place of the usual: octets to send, or a function of
        the line. Empty says nothing; ``b"!"`` in front hangs up behind the rest.
    """

    def __init__(self, answers: Mapping[str, Answer] | None) -> None:
        self.answers: dict[str, Answer] = dict(answers or {})
        self.connections: list[H] = []
        self.authority: Final = TestAuthority("behind")
        self.context: ssl.SSLContext | None = None
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._sock.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False

    @property
    def name(self) -> str:
        """As the configuration writes it."""
        return f"{HOST}:{self.port}"

    @property
    @abstractmethod
    def sessions(self) -> list[H]:
        """Connections on which more was said than a health check says."""

    @abstractmethod
    def _meet(self, sock: socket.socket) -> Conversation:
        """Begin a conversation with who connected."""

    def finished(self, count: int = 1) -> list[H]:
        """Wait until so many sessions have ended."""
        until(lambda: len(self.sessions) >= count and all(each.ended for each in self.sessions), what="sessions end")
        return self.sessions

    def tls(self, directory: Path) -> Path:
        """Make its certificate; returns the file of its authority."""
        self.authority.issue(HOST).write(directory / "behind.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "behind.pem")
        self.context = context
        ca_file = directory / "behind-ca.pem"
        ca_file.write_bytes(self.authority.pem)
        return ca_file

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, name="behind")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up on everybody and be gone."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def hang_up(self) -> None:
        """Close every connection."""
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            conversation = self._meet(sock)
            self._open.add(sock)
            self.connections.append(conversation.heard)
            thread = threading.Thread(target=self._serve, args=(conversation,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, conversation: Conversation) -> None:
        with contextlib.suppress(OSError, Over):
            conversation.run()
        conversation.heard.ended = True
        self._open.discard(conversation.sock)
        conversation.sock.close()


class Conversation(ABC):
    """One connection.

    :param heard: what is written down of it.
    """

    def __init__(self, server: Server[Any], sock: socket.socket, heard: Any) -> None:
        self._server = server
        self.sock = sock
        self.heard = heard
        self._buffer = b""

    @abstractmethod
    def run(self) -> None:
        """Hold it, until it is over.

        :raises Over: when it is; OSError as well.
        """

    def _handshake(self) -> None:
        context = self._server.context
        if context is None:
            raise Over
        self._server._open.discard(self.sock)
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self._server._open.add(self.sock)
        self.heard.private = True
        self._buffer = b""

    def _say(self, answer: Answer, line: bytes) -> bytes:
        octets = answer if isinstance(answer, bytes) else answer(line)
        last = octets.startswith(b"!")
        octets = octets[last:]
        if octets:
            self.sock.sendall(octets)
        if last:
            raise Over
        return octets

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise Over
        self._buffer += data
