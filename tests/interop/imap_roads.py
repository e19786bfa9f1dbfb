"""The ways through a gate to Dovecot's mailboxes, and a client that speaks IMAP by hand."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.raw import Raw
from tests.interop.gates import Gates

PASSWORD = "secret"  # of everybody, at that Dovecot


@dataclass(frozen=True, slots=True)
class Road:
    """One way in.

    :param implicit: TLS with the gate from the first octet, otherwise STARTTLS.
    :param backend: how the gate speaks to Dovecot: ``none``, ``starttls`` or ``implicit``.
    """

    implicit: bool
    backend: str

    @property
    def gate(self) -> str:
        """The gate's name."""
        return f"{'imaps' if self.implicit else 'imap'}-{self.backend}"

    def port(self, gates: Gates) -> int:
        """Its port."""
        return gates.ports[self.gate]


ROADS = tuple(Road(implicit, backend) for backend in ("none", "starttls", "implicit") for implicit in (False, True))


def somebody() -> str:
    """A user whose mailbox is empty."""
    return f"user{secrets.token_hex(6)}"


class Hand(Raw):
    """IMAP by hand."""

    def reply(self) -> bytes:
        """One line, without its end; empty when the server closed before one came."""
        while b"\r\n" not in self.buffer:
            more = self.sock.recv(1 << 20)
            if not more:
                return b""
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def until(self, beginning: bytes) -> list[bytes]:
        """Lines, up to the one that begins so."""
        lines = [self.reply()]
        while not lines[-1].startswith(beginning):
            assert lines[-1] or self.buffer, lines
            lines.append(self.reply())
        return lines

    def octets(self, count: int) -> bytes:
        """So many octets, whatever they are."""
        while len(self.buffer) < count:
            more = self.sock.recv(1 << 20)
            assert more, "the stream ended in a literal"
            self.buffer += more
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def command(self, text: bytes) -> list[bytes]:
        """Say a command, and read to its answer, which must be OK."""
        self.send(b"t " + text + b"\r\n")
        lines = self.until(b"t ")
        assert lines[-1].startswith(b"t OK"), lines
        return lines


def by_hand(gates: Gates, road: Road, user: str) -> Hand:
    """Somebody, logged in over verified TLS."""
    hand = Hand(road.port(gates), greeted=not road.implicit, timeout=60.0)
    if not road.implicit:
        hand.command(b"STARTTLS")
    hand.start_tls(gates.ca_file)
    if road.implicit:
        assert hand.reply().startswith(b"* OK [CAPABILITY ")
    hand.command(f'LOGIN {user} "{PASSWORD}"'.encode())
    return hand


def append(hand: Hand, content: bytes) -> None:
    """Store a message in the INBOX."""
    hand.send(b"p APPEND INBOX {%d}\r\n" % len(content))
    hand.until(b"+ ")
    hand.send(content + b"\r\n")
    assert hand.until(b"p ")[-1].startswith(b"p OK")


def stored(gates: Gates, user: str, mailbox: str = "INBOX") -> list[bytes]:
    """The messages of a mailbox, octet for octet."""
    with by_hand(gates, ROADS[0], user) as hand:
        lines = hand.command(f"SELECT {mailbox}".encode())
        count = next(int(line.split()[1]) for line in lines if line.endswith(b" EXISTS"))
        found = []
        for number in range(1, count + 1):
            hand.send(b"f FETCH %d BODY.PEEK[]\r\n" % number)
            line = hand.until(b"* %d FETCH" % number)[-1]
            found.append(hand.octets(int(line.rpartition(b"{")[2][:-1])))
            hand.until(b"f OK")
        hand.command(b"LOGOUT")
        return found


def write(directory: Path, content: bytes) -> Path:
    """A file with a message."""
    path = directory / "message.eml"
    path.write_bytes(content)
    return path
