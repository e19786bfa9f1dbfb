"""An SMTP server behind a gate that believes everything: every odd line end, every NUL, and it answers as it is told.

It stands for the servers that a gate protects: what reaches it as a message, it takes for one.
"""

from __future__ import annotations

import contextlib
import re
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
# What the most careless servers have taken for the end of a message: any line end on either side of the dot.
LOOSE_END: Final = re.compile(rb"(?:^|\r\n|\n|\r)\.(?:\r\n|\n|\r(?!\n))")
STRICT_END: Final = re.compile(rb"(?:^|\r\n)\.\r\n")
LISTED: Final = ("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES")
Answer = bytes | Callable[[bytes], bytes]


@dataclass
class Heard:
    """One connection, as the server heard it."""

    lines: list[bytes] = field(default_factory=list)
    private: bool = False
    ended: bool = False
    content: bytes = b""
    """Of the message that was begun last, up to where it went."""


class Behind:
    """The server, in threads; use it as a context manager.

    :param listed: what it answers EHLO with.
    :param answers: to a verb, in place of the usual: octets to send, or a function of the whole line. Nothing at all
        where that is empty; and ``b"!"`` in front hangs up after the rest.
    :param starttls: list and speak STARTTLS.
    :param private: what it lists inside TLS; unset: the same.
    :param implicit: speak TLS from the first octet; call ``tls`` first.
    :param strict: only CRLF.CRLF ends a message.
    :param end: what is said to a message.
    """

    def __init__(
        self,
        listed: tuple[str, ...] = LISTED,
        answers: Mapping[str, Answer] | None = None,
        *,
        starttls: bool = False,
        private: tuple[str, ...] | None = None,
        implicit: bool = False,
        strict: bool = False,
        end: bytes = b"250 2.0.0 taken\r\n",
    ) -> None:
        self.listed = listed
        self.answers: dict[str, Answer] = dict(answers or {})
        self.private = listed if private is None else private
        self.messages: list[bytes] = []
        self.connections: list[Heard] = []
        self.authority: Final = TestAuthority("behind")
        self._strict = strict
        self._implicit = implicit
        self.end = end
        self._starttls = starttls
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._sock.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._context: ssl.SSLContext | None = None
        self._closing = False

    @property
    def name(self) -> str:
        """As the configuration writes it."""
        return f"{HOST}:{self.port}"

    @property
    def sessions(self) -> list[Heard]:
        """Connections that did more than ask how it is."""
        return [each for each in self.connections if any(line[:4].upper() == b"MAIL" for line in each.lines)]

    @property
    def said(self) -> list[bytes]:
        """All command lines of all sessions, hello and goodbye left out."""
        return [line for each in self.sessions for line in each.lines if line[:4].upper() not in (b"EHLO", b"QUIT")]

    def finished(self, count: int) -> list[Heard]:
        """Wait until so many sessions have ended."""
        until(lambda: len(self.sessions) >= count and all(each.ended for each in self.sessions), what="sessions end")
        return self.sessions

    def tls(self, directory: Path) -> Path:
        """Make its certificate; returns the file of its authority."""
        issued = self.authority.issue(HOST)
        issued.write(directory / "behind.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "behind.pem")
        self._context = context
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
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

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
        self._open.add(sock)
        conversation = _Conversation(self, sock, heard)
        try:
            conversation.run()
        except (OSError, _Over):
            pass
        finally:
            heard.content = conversation.content
            heard.ended = True
            self._open.discard(sock)
            conversation.close()

    def listing(self, *, private: bool) -> bytes:
        """The answer to EHLO."""
        words = self.private if private else self.listed + (("STARTTLS",) if self._starttls else ())
        lines = ("behind.example", *words)
        return b"".join(
            b"250%c%b\r\n" % (32 if at == len(lines) - 1 else 45, line.encode()) for at, line in enumerate(lines)
        )


class _Over(Exception):
    """The conversation is over."""


class _Conversation:
    """One connection."""

    def __init__(self, server: Behind, sock: socket.socket, heard: Heard) -> None:
        self._server = server
        self._sock = sock
        self._heard = heard
        self._buffer = b""
        self.content = b""

    def close(self) -> None:
        self._sock.close()

    def run(self) -> None:
        if self._server._implicit:
            self._handshake()
        self._say(self._server.answers.get("greeting", b"220 behind.example ESMTP\r\n"), b"")
        while True:
            line = self._line()
            self._heard.lines.append(line)
            self._answer(line.split(b" ")[0].upper().decode("latin-1"), line)

    def _answer(self, verb: str, line: bytes) -> None:
        server = self._server
        if verb in server.answers:
            said = self._say(server.answers[verb], line)
            if verb == "DATA" and said.startswith(b"354"):
                self._dots()
            elif verb == "STARTTLS" and said.startswith(b"220") and said.endswith(b"\r\n"):
                self._handshake()
        elif verb in ("EHLO", "LHLO"):
            self._say(server.listing(private=self._heard.private), line)
        elif verb == "DATA":
            self._say(b"354 go on\r\n", line)
            self._dots()
        elif verb == "BDAT":
            self._chunk(line)
        elif verb == "STARTTLS":
            self._say(b"220 go on\r\n", line)
            self._handshake()
        elif verb == "QUIT":
            self._say(b"!221 bye\r\n", line)
        elif verb == "XCLIENT":
            self._say(b"220 behind.example anew\r\n", line)
        elif verb == "VRFY":
            self._say(b"252 2.1.5 perhaps\r\n", line)
        elif verb == "HELP":
            self._say(b"214 2.0.0 no help behind\r\n", line)
        else:
            self._say(b"250 2.0.0 fine\r\n", line)

    def _dots(self) -> None:
        self.content = b""
        while True:
            strict = self._server._strict
            octets = self._buffer if strict else self._buffer.replace(b"\0", b"")
            end = (STRICT_END if strict else LOOSE_END).search(octets)
            if end is not None:
                self.content = octets[: end.start()]
                self._server.messages.append(self.content)
                self._buffer = octets[end.end() :]
                self._say(self._server.end, b"")
                return
            self.content = octets
            self._more()

    def _chunk(self, line: bytes) -> None:
        words = line.split()
        count = int(words[1])
        while len(self._buffer) < count:
            self._more()
        self.content += self._buffer[:count]
        self._buffer = self._buffer[count:]
        if len(words) > 2:
            self._server.messages.append(self.content)
            self.content = b""
            self._say(self._server.end, line)
        else:
            self._say(b"250 2.0.0 octets\r\n", line)

    def _handshake(self) -> None:
        context = self._server._context
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
        """One line, whatever ends it."""
        while (found := re.search(rb"\r\n|\n|\r(?=.)", self._buffer, re.DOTALL)) is None:
            self._more()
        line, self._buffer = self._buffer[: found.start()], self._buffer[found.end() :]
        return line

    def _more(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise _Over
        self._buffer += data
