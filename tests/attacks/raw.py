"""A client that says whatever it is told, byte by byte, and never helps the server: for attack tests."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

TIMEOUT = 10.0


class Raw:
    """A connection in the clear that may start TLS with the standard library's engine, an implementation not ours.

    :param port: on 127.0.0.1.
    :param source: the local address to come from.
    """

    def __init__(self, port: int, *, greeted: bool = True, source: str = "127.0.0.1", timeout: float = TIMEOUT) -> None:
        self.plain = socket.create_connection(("127.0.0.1", port), timeout, source_address=(source, 0))
        self.sock: socket.socket = self.plain
        self.buffer = b""
        if greeted:
            try:
                self.greeting = self.reply()
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def send(self, data: bytes) -> None:
        """Write octets, as they are."""
        self.sock.sendall(data)

    def reply(self) -> bytes:
        """Read one whole reply; empty when the server closed before one came."""
        while True:
            lines = self.buffer.split(b"\r\n")
            for index, line in enumerate(lines[:-1]):
                if line[3:4] != b"-":
                    self.buffer = b"\r\n".join(lines[index + 1 :])
                    return b"\r\n".join(lines[: index + 1])
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLError):
                data = b""
            if not data:
                return b""
            self.buffer += data

    def say(self, line: bytes) -> bytes:
        """Send a line, with its CRLF, and read the reply."""
        self.send(line + b"\r\n")
        return self.reply()

    def rest(self) -> bytes:
        """Read until the server closes; what came."""
        data, self.buffer = self.buffer, b""
        while True:
            try:
                more = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLError):
                return data
            if not more:
                return data
            data += more

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing at all arrives within a short while. (The one place where a test waits for nothing.)"""
        if self.buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(TIMEOUT)
        self.buffer += data
        return not data

    def start_tls(
        self, ca_file: Path | None, name: str = "localhost", certificate: Path | None = None
    ) -> ssl.SSLSocket:
        """Run the handshake on the socket, whatever was said before.

        :param certificate: a file with a certificate and key to show when asked, however bad it is.
        """
        context = ssl.create_default_context(cafile=ca_file)
        if ca_file is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.load_cert_chain(certificate)
        secure = context.wrap_socket(self.plain, server_hostname=name, suppress_ragged_eofs=False)
        self.sock = secure
        return secure

    def upgrade(self, ca_file: Path, certificate: Path | None = None) -> None:
        """EHLO, STARTTLS, handshake, EHLO: an honest client up to here."""
        assert self.say(b"EHLO attacker.example").startswith(b"250")
        assert self.say(b"STARTTLS").startswith(b"220")
        self.start_tls(ca_file, certificate=certificate)
        assert self.say(b"EHLO attacker.example").startswith(b"250")


def hello_record(name: str = "localhost") -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO, bytes]:
    """A ClientHello made in memory: the engine, its two buffers, and the record."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        engine.do_handshake()
    return engine, incoming, outgoing, outgoing.read()
