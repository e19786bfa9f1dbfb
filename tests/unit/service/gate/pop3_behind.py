"""A POP3 server behind a gate, in threads, that answers as it is told: whole maildrops, and every way to misbehave."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.interop.patience import until

from gatepost.testing.ca import TestAuthority

HOST: Final = "localhost"
LISTED: Final = ("TOP", "UIDL", "RESP-CODES", "PIPELINING", "USER", "SASL PLAIN LOGIN SCRAM-SHA-256-PLUS EXTERNAL")
MESSAGE: Final = b"Subject: one\r\n\r\n.dots\r\n..\r\nend\r\n"
Answer = bytes | Callable[[bytes], bytes]


@dataclass
class Heard:
    """One connection, as the server heard it."""

    lines: list[bytes] = field(default_factory=list)
    private: bool = False
    ended: bool = False

    @property
    def commands(self) -> list[bytes]:
        """What came of a client: what every conversation begins with is left out."""
        return [line for line in self.lines if line not in (b"CAPA", b"STLS")]


class _Over(Exception):
    """The conversation is over."""


class Behind:
    """The server; use it as a context manager.

    :param answers: to a verb (``greeting`` for the greeting), in place of the usual: octets to send, or a function of
        the line. Empty says nothing; ``b"!"`` in front hangs up behind the rest.
    :param listed: what it answers CAPA with.
    :param starttls: list and speak STLS.
    :param message: the only message, as it is, its lines ended by CRLF.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        listed: tuple[str, ...] = LISTED,
        starttls: bool = False,
        message: bytes = MESSAGE,
    ) -> None:
        self.answers: dict[str, Answer] = dict(answers or {})
        self.listed = listed
        self.message = message
        self.connections: list[Heard] = []
        self.authority: Final = TestAuthority("behind")
        self.context: ssl.SSLContext | None = None
        self._starttls = starttls
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
    def sessions(self) -> list[Heard]:
        """Connections on which more was said than a health check says."""
        return [each for each in self.connections if any(line != b"QUIT" for line in each.commands)]

    def finished(self, count: int = 1) -> list[Heard]:
        """Wait until so many sessions have ended."""
        until(lambda: len(self.sessions) >= count and all(each.ended for each in self.sessions), what="sessions end")
        return self.sessions

    def tls(self, directory: Path) -> Path:
        """Make its certificate; returns the file of its authority."""
        self.authority.issue(HOST).write(directory / "behind.pem")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "behind.pem")
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
            heard = Heard()
            self.connections.append(heard)
            thread = threading.Thread(target=self._serve, args=(sock, heard))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, heard: Heard) -> None:
        conversation = _Conversation(self, sock, heard)
        with contextlib.suppress(OSError, _Over):
            conversation.run()
        heard.ended = True
        conversation.close()

    def usual(self, line: bytes) -> bytes:
        """The answer of a server that means well."""
        verb, _, argument = line.partition(b" ")
        stuffed = self.message.replace(b"\r\n.", b"\r\n..")
        stuffed = b"." * stuffed.startswith(b".") + stuffed
        tags = "".join(f"{tag}\r\n" for tag in self.listed).encode()
        answers = {
            b"CAPA": b"+OK\r\n" + tags + (b"STLS\r\n" if self._starttls else b"") + b".\r\n",
            b"USER": b"+OK\r\n",
            b"PASS": b"+OK Welcome\r\n" if argument == b"secret" else b"-ERR [AUTH] Wrong\r\n",
            b"AUTH": b"+ \r\n",
            b"STAT": b"+OK 1 %d\r\n" % len(self.message),
            b"LIST": b"+OK 1 %d\r\n" % len(self.message) if argument else b"+OK\r\n1 %d\r\n.\r\n" % len(self.message),
            b"UIDL": b"+OK 1 uid-1\r\n" if argument else b"+OK\r\n1 uid-1\r\n.\r\n",
            b"RETR": b"+OK here it is\r\n" + stuffed + b".\r\n",
            b"TOP": b"+OK\r\nSubject: one\r\n\r\n.\r\n",
            b"DELE": b"+OK marked\r\n",
            b"RSET": b"+OK unmarked\r\n",
            b"NOOP": b"+OK still here\r\n",
            b"QUIT": b"!+OK gone\r\n",
            b"STLS": b"+OK begin\r\n" if self._starttls else b"-ERR no TLS here\r\n",
        }
        return answers.get(verb.upper(), b"+OK\r\n" if b" " not in line else b"-ERR unknown\r\n")


class _Conversation:
    """One connection."""

    def __init__(self, server: Behind, sock: socket.socket, heard: Heard) -> None:
        self._server = server
        self._sock = sock
        self._heard = heard
        self._buffer = b""
        server._open.add(sock)

    def close(self) -> None:
        self._server._open.discard(self._sock)
        self._sock.close()

    def run(self) -> None:
        self._say(self._server.answers.get("greeting", b"+OK ready\r\n"), b"")
        while True:
            line = self._line()
            self._heard.lines.append(line)
            verb = line.partition(b" ")[0].upper()
            answer = self._server.answers.get(verb.decode("latin-1"), self._server.usual)
            said = self._say(answer, line)
            if verb == b"STLS" and said.startswith(b"+OK"):
                self._handshake()

    def _handshake(self) -> None:
        context = self._server.context
        if context is None:
            raise _Over
        self._server._open.discard(self._sock)
        self._sock = context.wrap_socket(self._sock, server_side=True)
        self._server._open.add(self._sock)
        self._heard.private = True
        self._buffer = b""

    def _say(self, answer: Answer, line: bytes) -> bytes:
        octets = answer if isinstance(answer, bytes) else answer(line)
        last = octets.startswith(b"!")
        octets = octets[last:]
        if octets:
            self._sock.sendall(octets)
        if last:
            raise _Over
        return octets

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            data = self._sock.recv(65536)
            if not data:
                raise _Over
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line
