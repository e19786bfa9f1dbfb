"""An SMTP server behind a gate that believes everything: every odd line end, every NUL, and it answers as it is told.

It stands for the servers that a gate protects: what reaches it as a message, it takes for one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.unit.service.gate import behind
from tests.unit.service.gate.behind import Answer, Conversation, Server

__all__ = ["LISTED", "Answer", "Behind", "Heard"]

# What the most careless servers have taken for the end of a message: any line end on either side of the dot.
LOOSE_END: Final = re.compile(rb"(?:^|\r\n|\n|\r)\.(?:\r\n|\n|\r(?!\n))")
STRICT_END: Final = re.compile(rb"(?:^|\r\n)\.\r\n")
LISTED: Final = ("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES")


@dataclass
class Heard(behind.Heard):
    """One connection, as the server heard it."""

    content: bytes = b""
    """Of the message that was begun last, up to where it went."""


class Behind(Server[Heard]):
    """The server; see ``behind.Server``.

    :param listed: what it answers EHLO with.
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
        super().__init__(answers)
        self.listed = listed
        self.private = listed if private is None else private
        self.messages: list[bytes] = []
        self._strict = strict
        self._implicit = implicit
        self.end = end
        self._starttls = starttls

    def _meet(self, sock: socket.socket) -> Conversation:
        return _Conversation(self, sock, Heard())

    @property
    def sessions(self) -> list[Heard]:
        """Connections that did more than ask how it is."""
        return [each for each in self.connections if any(line[:4].upper() == b"MAIL" for line in each.lines)]

    @property
    def said(self) -> list[bytes]:
        """All command lines of all sessions, hello and goodbye left out."""
        return [line for each in self.sessions for line in each.lines if line[:4].upper() not in (b"EHLO", b"QUIT")]

    def listing(self, *, private: bool) -> bytes:
        """The answer to EHLO."""
        words = self.private if private else self.listed + (("STARTTLS",) if self._starttls else ())
        lines = ("behind.example", *words)
        return b"".join(
            b"250%c%b\r\n" % (32 if at == len(lines) - 1 else 45, line.encode()) for at, line in enumerate(lines)
        )


class _Conversation(Conversation):
    """One connection."""

    _server: Behind

    def run(self) -> None:
        if self._server._implicit:
            self._handshake()
        self._say(self._server.answers.get("greeting", b"220 behind.example ESMTP\r\n"), b"")
        while True:
            line = self._line()
            self.heard.lines.append(line)
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
            self._say(server.listing(private=self.heard.private), line)
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
        self.heard.content = b""
        while True:
            strict = self._server._strict
            octets = self._buffer if strict else self._buffer.replace(b"\0", b"")
            end = (STRICT_END if strict else LOOSE_END).search(octets)
            if end is not None:
                self.heard.content = octets[: end.start()]
                self._server.messages.append(self.heard.content)
                self._buffer = octets[end.end() :]
                self._say(self._server.end, b"")
                return
            self.heard.content = octets
            self._more()

    def _chunk(self, line: bytes) -> None:
        words = line.split()
        count = int(words[1])
        while len(self._buffer) < count:
            self._more()
        self.heard.content += self._buffer[:count]
        self._buffer = self._buffer[count:]
        if len(words) > 2:
            self._server.messages.append(self.heard.content)
            self.heard.content = b""
            self._say(self._server.end, line)
        else:
            self._say(b"250 2.0.0 octets\r\n", line)

    def _line(self) -> bytes:
        """One line, whatever ends it."""
        while (found := re.search(rb"\r\n|\n|\r(?=.)", self._buffer, re.DOTALL)) is None:
            self._more()
        line, self._buffer = self._buffer[: found.start()], self._buffer[found.end() :]
        return line
