"""A POP3 server behind a gate, in threads, that answers as it is told: whole maildrops, and every way to misbehave."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.unit.service.gate import behind
from tests.unit.service.gate.behind import Answer, Conversation, Server

__all__ = ["LISTED", "MESSAGE", "Answer", "Behind", "Heard"]

LISTED: Final = ("TOP", "UIDL", "RESP-CODES", "PIPELINING", "USER", "SASL PLAIN LOGIN SCRAM-SHA-256-PLUS EXTERNAL")
MESSAGE: Final = b"Subject: one\r\n\r\n.dots\r\n..\r\nend\r\n"


@dataclass
class Heard(behind.Heard):
    """One connection, as the server heard it."""

    @property
    def commands(self) -> list[bytes]:
        """What came of a client: what every conversation begins with is left out."""
        return [line for line in self.lines if line not in (b"CAPA", b"STLS")]


class Behind(Server[Heard]):
    """The server; see ``behind.Server``.

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
        super().__init__(answers)
        self.listed = listed
        self.message = message
        self._starttls = starttls

    def _meet(self, sock: socket.socket) -> Conversation:
        return _Conversation(self, sock, Heard())

    @property
    def sessions(self) -> list[Heard]:
        """Connections on which more was said than a health check says."""
        return [each for each in self.connections if any(line != b"QUIT" for line in each.commands)]

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


class _Conversation(Conversation):
    """One connection."""

    _server: Behind

    def run(self) -> None:
        self._say(self._server.answers.get("greeting", b"+OK ready\r\n"), b"")
        while True:
            line = self._line()
            self.heard.lines.append(line)
            verb = line.partition(b" ")[0].upper()
            answer = self._server.answers.get(verb.decode("latin-1"), self._server.usual)
            said = self._say(answer, line)
            if verb == b"STLS" and said.startswith(b"+OK"):
                self._handshake()

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line
