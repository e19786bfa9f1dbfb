"""A POP3 client that says whatever it is told, for the tests of the service and of attacks on it."""

from __future__ import annotations

import base64
import socket
import struct
from pathlib import Path

from tests.attacks.raw import Raw

ALICE, PASSWORD = b"alice@example.test", b"wonderland"


class RawPOP3(Raw):
    """A connection in the clear that may start TLS. Replies are lines."""

    def reply(self) -> bytes:
        """Read one line, without its end; empty when the server closed before one came."""
        while b"\r\n" not in self.buffer:
            data = self._more()
            if not data:
                return b""
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _more(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            return b""

    def lines(self) -> list[bytes]:
        """Read an answer of several lines, dots unstuffed."""
        found = []
        while (line := self.reply()) != b".":
            assert line or self.buffer, "the answer has no end"
            found.append(line.removeprefix(b"."))
        return found

    def message(self) -> bytes:
        """Read a message: its octets, dots unstuffed."""
        data, looked = bytearray(b"\r\n" + self.buffer), 0
        while (end := data.find(b"\r\n.\r\n", looked)) < 0:
            looked = max(0, len(data) - 4)
            more = self._more()
            assert more, "the message has no end"
            data += more
        self.buffer = bytes(data[end + 5 :])
        return bytes(data[: end + 2]).replace(b"\r\n..", b"\r\n.")[2:]

    def upgrade(self, ca_file: Path, certificate: Path | None = None) -> None:
        """STLS and the handshake."""
        assert self.say(b"STLS").startswith(b"+OK")
        self.start_tls(ca_file, certificate=certificate)

    def log_in(self, user: bytes = ALICE, password: bytes = PASSWORD) -> bytes:
        """USER and PASS; the answer to PASS."""
        assert self.say(b"USER " + user).startswith(b"+OK")
        return self.say(b"PASS " + password)

    def log_in_plain(self, user: bytes = ALICE, password: bytes = PASSWORD) -> bytes:
        """AUTH PLAIN with an initial response."""
        return self.say(b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password))

    def die(self) -> None:
        """Reset the connection, in the middle of whatever is said."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send_raw(self, data: bytes) -> None:
        """Send octets beside TLS."""
        socket.socket.send(self.sock, data)

    def stall(self) -> None:
        """Take as little as the kernel allows."""
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
