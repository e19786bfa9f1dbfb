"""An IMAP client that says whatever it is told, for attacks on a gate."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.attacks.raw import Raw


class RawIMAP(Raw):
    """A connection in the clear that may start TLS. Replies are lines."""

    def reply(self) -> bytes:
        """Read one line, without its end; empty when the server closed before one came."""
        while b"\r\n" not in self.buffer:
            try:
                data = self.sock.recv(65536)
            except (ConnectionResetError, ssl.SSLError):
                data = b""
            if not data:
                return b""
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def upgrade(self, ca_file: Path, certificate: Path | None = None) -> None:
        """STARTTLS and the handshake."""
        assert self.say(b"s STARTTLS").startswith(b"s OK")
        self.start_tls(ca_file, certificate=certificate)

    def log_in(self) -> None:
        """As bob."""
        assert self.say(b"l LOGIN bob secret").startswith(b"l OK")
