"""A mail server that does as it is told: one thread a connection, real sockets, TLS by the standard library.

It shares no code with what is tested. Behaviour is data: what it says at each step, what it does about STARTTLS.
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from gatepost.testing.ca import Issued

Reply = bytes


class _Gone(Exception):
    """The conversation is over."""


@dataclass
class Behaviour:
    """How a server answers. A reply of ``b""`` hangs up.

    :param starttls: ``absent``; ``offer``; ``refuse`` (454); ``garbage`` in place of the handshake; ``inject``
        plaintext behind the go-ahead; ``hang`` up after it.
    :param recipients: replies to RCPT by address.
    """

    greeting: Reply = b"220 mx.example.com ESMTP\r\n"
    ehlo: Reply | None = None
    keywords: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 100000")
    starttls: str = "absent"
    mail: Reply = b"250 2.1.0 ok\r\n"
    recipients: dict[str, Reply] = field(default_factory=dict)
    data: Reply = b"354 go\r\n"
    final: Reply | Callable[[int], Reply] = b"250 2.0.0 taken\r\n"
    password: str = ""
    implicit: bool = False
    messages_each: int = 1000  # after so many it answers 421 to MAIL
    hang_up_after_final: bool = False


@dataclass
class Delivered:
    """A message as it arrived."""

    sender: str
    recipients: list[str]
    content: bytes
    tls: bool
    connection: int


class ScriptedServer:
    """Serves one behaviour on a free port.

    :param issued: its certificate, for STARTTLS.
    :param folder: where the certificate is written.
    """

    def __init__(
        self, behaviour: Behaviour, *, issued: Issued | None = None, folder: Path | None = None,
        address: str = "127.0.0.1", port: int = 0,
    ) -> None:  # fmt: skip
        self.behaviour = behaviour
        self.messages: list[Delivered] = []
        self.commands: list[str] = []
        self.connections = 0
        self.quits = 0
        self._context: ssl.SSLContext | None = None
        if issued is not None and folder is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(issued.write(folder / f"server-{id(self):x}.pem"))
        self._listener = socket.create_server((address, port))
        self.address, self.port = self._listener.getsockname()
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._lock = threading.Lock()

    def __enter__(self) -> ScriptedServer:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        with self._lock:
            for sock in self._sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._sockets.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        conversation = _Conversation(self, sock, number)
        try:
            conversation.run()
        except (_Gone, OSError):
            pass
        finally:
            with self._lock:
                self._sockets.discard(sock)
            conversation.sock.close()
            sock.close()

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context; only where there is a certificate."""
        assert self._context is not None
        return self._context


class _Conversation:
    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self.tls = False
        self.buffer = b""
        self.count = 0
        self.open = False
        self.sender = ""
        self.recipients: list[str] = []

    def run(self) -> None:
        behaviour = self.server.behaviour
        if behaviour.implicit:
            self.sock = self.server.context.wrap_socket(self.sock, server_side=True)
            self.tls = True
        self.say(behaviour.greeting)
        while True:
            line = self.line()
            self.server.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            handler = getattr(self, f"do_{verb.lower()}", None)
            if handler is None:
                self.say(b"500 5.5.1 what?\r\n")
            else:
                handler(line)

    def say(self, reply: Reply) -> None:
        if not reply:
            raise _Gone
        self.sock.sendall(reply)

    def line(self) -> str:
        while b"\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise _Gone
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode()

    def do_ehlo(self, line: str) -> None:
        behaviour = self.server.behaviour
        if behaviour.ehlo is not None:
            self.say(behaviour.ehlo)
            return
        words = ["mx.example.com", *behaviour.keywords]
        if behaviour.starttls != "absent" and not self.tls:
            words.append("STARTTLS")
        if behaviour.password and self.tls:
            words.append("AUTH PLAIN")
        self.say(b"".join(f"250{' ' if word is words[-1] else '-'}{word}\r\n".encode() for word in words))

    def do_helo(self, line: str) -> None:
        self.say(self.server.behaviour.ehlo or b"250 mx.example.com\r\n")

    def do_starttls(self, line: str) -> None:
        kind = self.server.behaviour.starttls
        if kind == "refuse":
            self.say(b"454 4.7.0 not now\r\n")
        elif kind == "inject":
            self.say(b"220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n")
        elif kind == "garbage":
            self.say(b"220 go\r\n")
            self.sock.recv(65536)
            self.say(b"\x15\x03\x01\x00\x02\x02\x28")  # a fatal handshake_failure alert
            raise _Gone
        elif kind == "hang":
            self.say(b"220 go\r\n")
            raise _Gone
        else:
            self.say(b"220 go\r\n")
            self.sock = self.server.context.wrap_socket(self.sock, server_side=True)
            self.tls = True

    def do_auth(self, line: str) -> None:
        given = base64.b64decode(line.split(" ")[2]).split(b"\0")[-1].decode()
        good = self.tls and given == self.server.behaviour.password
        self.say(b"235 2.7.0 ok\r\n" if good else b"535 5.7.8 no\r\n")

    def do_mail(self, line: str) -> None:
        if self.count >= self.server.behaviour.messages_each:
            self.say(b"421 4.7.0 enough\r\n")
            raise _Gone
        self.sender, self.recipients = line.split("<")[1].split(">")[0], []
        self.open = self.server.behaviour.mail.startswith(b"2")
        self.say(self.server.behaviour.mail)

    def do_rcpt(self, line: str) -> None:
        if not self.open:
            self.say(b"503 5.5.1 MAIL first\r\n")
            return
        address = line.split("<")[1].split(">")[0]
        reply = self.server.behaviour.recipients.get(address, b"250 2.1.5 ok\r\n")
        if reply.startswith(b"2"):
            self.recipients.append(address)
        self.say(reply)

    def do_data(self, line: str) -> None:
        if not self.recipients:
            self.say(b"503 5.5.1 no recipients\r\n")
            return
        self.say(self.server.behaviour.data)
        while b"\r\n.\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise _Gone
            self.buffer += data
        content, _, self.buffer = self.buffer.partition(b"\r\n.\r\n")
        self.count += 1
        final = self.server.behaviour.final
        reply = final(self.number) if callable(final) else final
        if reply.startswith(b"250"):
            self.server.messages.append(
                Delivered(self.sender, self.recipients, content + b"\r\n", self.tls, self.number)
            )
        self.say(reply)
        if self.server.behaviour.hang_up_after_final:
            raise _Gone

    def do_rset(self, line: str) -> None:
        self.say(b"250 2.0.0 ok\r\n")

    def do_quit(self, line: str) -> None:
        self.server.quits += 1
        self.say(b"221 2.0.0 bye\r\n")
        raise _Gone
