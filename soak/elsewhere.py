"""What is behind the server: servers that mail is relayed to, those among them that stall, and those behind gates."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from accounting import Book, read_copy
from traffic import NOBODY, World

from gatepost.smtp import Handler, IncomingMessage, Mailbox, Reply, Server, Session

STEPS: Final = (
    "connection", "greeting", "EHLO", "STARTTLS", "handshake", "MAIL", "RCPT", "DATA", "content", "dot",
)  # fmt: skip
"""Where a server of ``STALLING`` stops talking, one each."""

_SHARE: Final = 0.7
"""Of its sessions those that stall."""

_SECONDS: Final = (5.0, 45.0)
"""How long they do, before the connection is closed."""


class Taking(Handler):
    """Takes most, puts some off, refuses nobody@."""

    def __init__(self, book: Book, chance: random.Random) -> None:
        self.book = book
        self.chance = chance

    async def on_rcpt(self, session: Session, recipient: Mailbox, parameters: object) -> Reply | None:
        """Refuse whom nobody knows."""
        return Reply(550, "5.1.1", "No such user") if str(recipient) == NOBODY else None

    async def on_message(self, session: Session, message: IncomingMessage) -> Reply | None:
        """Take it, or not: what is refused after the content is not counted."""
        octets = await message.read()
        if self.chance.random() < 0.05:
            return Reply(451, "4.3.0", "Not now")
        if (copy := read_copy(octets)) is None:
            return Reply(554, "5.6.0", "That is not ours")
        for each in message.recipients:
            self.book.relayed[copy.token, str(each)].append(copy.message)
        return None


def taking(book: Book, chance: random.Random, certificate: Path) -> Server:
    """The server for ``elsewhere.test``."""
    return Server(lambda: Taking(book, chance), hostname="elsewhere.test", certificate=certificate)


class Stalling(asyncio.Protocol):
    """A server that stops at one step, in most of its sessions, and takes mail in the others.

    :param step: one of ``STEPS``.
    """

    def __init__(self, step: str, world: World) -> None:
        self._step = step if world.going and world.chance.random() < _SHARE else ""
        self._secure = self._step in ("STARTTLS", "handshake")  # what makes a client ask for TLS
        self._world = world
        self._held = bytearray()
        self._in_content = False
        self._recipients: list[str] = []
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = transport
        if self._step == "connection":
            self._stall()
        else:
            self._say("220-stall" if self._step == "greeting" else "220 stall ESMTP\r\n", at="greeting")

    def data_received(self, data: bytes) -> None:
        """Answer what has come whole."""
        self._held += data
        while self._transport is not None:
            end = self._held.find(b"\r\n.\r\n" if self._in_content else b"\r\n")
            if end < 0:
                return
            if self._in_content:
                content = bytes(self._held[: end + 2])
                del self._held[: end + 5]
                self._take(content)
            else:
                line = self._held[:end].decode("latin-1")
                del self._held[: end + 2]
                self._answer(line)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        self._transport = None

    def _answer(self, line: str) -> None:
        verb = line[:4].upper()
        if verb == "EHLO":
            self._say("250-stall\r\n250-STARTTLS\r\n250 PIPELINING\r\n" if self._secure else
                      "250-stall\r\n250 PIPELINING\r\n", at="EHLO")  # fmt: skip
        elif verb == "STAR":
            self._say("220 go ahead\r\n", at="STARTTLS")
            if self._step == "handshake":
                self._stall()
        elif verb == "MAIL":
            self._recipients = []
            self._say("250 ok\r\n", at="MAIL")
        elif verb == "RCPT":
            self._recipients.append(line.partition("<")[2].partition(">")[0])
            self._say("250 ok\r\n", at="RCPT")
        elif verb == "DATA":
            self._say("354 go ahead\r\n", at="DATA")
            self._in_content = True
            if self._step == "content":
                self._stall()
        elif verb == "QUIT":
            self._say("221 bye\r\n", at="QUIT")
        else:
            self._say("250 ok\r\n", at="")

    def _take(self, content: bytes) -> None:
        self._in_content = False
        copy = read_copy(content)
        if self._step != "dot" and copy is not None:
            for each in self._recipients:
                self._world.book.relayed[copy.token, each].append(copy.message)
        self._say("250 taken\r\n", at="dot")

    def _say(self, text: str, *, at: str) -> None:
        if self._transport is None:
            return
        if at == self._step and at != "greeting":
            self._stall()
            return
        self._transport.write(text.encode())
        if at == self._step:
            self._stall()

    def _stall(self) -> None:
        """Say nothing more, read nothing more, and hang up some time later."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._world.served[f"stalled by a server: {self._step}"] += 1
        transport.pause_reading()
        seconds = self._world.chance.uniform(*_SECONDS)
        asyncio.get_running_loop().call_later(seconds, transport.abort)


class Echo(asyncio.Protocol):
    """Behind the gate that reads nothing: says what it hears, and hears no more than it can say."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def pause_writing(self) -> None:
        """Hear no more."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Say it."""
        self._transport.write(data)


class Mailboxes(asyncio.Protocol):
    """Behind the gate for IMAP: agrees to everything."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = transport
        self._transport.write(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")

    def data_received(self, data: bytes) -> None:
        """Agree."""
        *lines, self._held = (self._held + data).split(b"\r\n")
        for line in lines:
            tag, _, words = line.partition(b" ")
            verb = words.partition(b" ")[0].upper()
            if verb == b"CAPABILITY":
                self._transport.write(b"* CAPABILITY IMAP4rev1\r\n")
            elif verb == b"LOGOUT":
                self._transport.write(b"* BYE\r\n")
            self._transport.write(tag + b" OK done\r\n")
            if verb == b"LOGOUT":
                self._transport.close()


async def listen(made: Callable[[], asyncio.BaseProtocol], address: str, port: int) -> asyncio.Server:
    """Serve with a protocol."""
    return await asyncio.get_running_loop().create_server(made, address, port)
