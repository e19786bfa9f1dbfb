"""Random hostile streams through a gate, to a server that takes anything for the end of a line or of a message.

Goal of the attacker: one message or command to the gate is two to the server, or the other way round. The streams are
made by seeds, so that a finding can be had again.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.imap_client import RawIMAP
from tests.attacks.imap_server import Behind as Conversation
from tests.attacks.imap_server import ScriptedIMAP
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import LISTED, Behind

from gatepost.testing.gate import RunningGates

STREAMS = 40  # of each kind
_SMUGGLED = b"MAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@near.example>\r\nDATA\r\nevil\r\n.\r\n"
_PIECES = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n",
    b".",
    b"..",
    b"\r\n.",
    b".\r",
    b".\n",
    b"\n.\n",
    b"\r.\r",
    b"\r\n..\r\n",
    b"\0",
    b"\0.",
    b" ",
    b"\t",
    b"x",
    b"text",
    b"\x85",
    b"\xe2\x80\xa8",
    b"\x0b",
    b"\x0c",
    b"\x1a",
    b"\r\n.\0\r\n",
    b"\r\n. \r\n",
    b"\r\r\n.",
    b"x" * 1100,
    b"\r\nQUIT\r\n",
    b"\r\nBDAT 5 LAST\r\n",
    _SMUGGLED,
    b"\n.\r\n" + _SMUGGLED,
    b"\r\n.\n" + _SMUGGLED,
)
_TAKEN = b"250 2.0.0 taken"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def hostile(chance: random.Random) -> bytes:
    """Content in which the one end that the RFC knows does not stand."""
    while True:
        body = b"".join(chance.choices(_PIECES, k=chance.randrange(1, 14)))
        framed = b"\r\n" + body + b"\r\n.\r\n"
        if framed.find(b"\r\n.\r\n") == len(framed) - 5:
            return body


def scatter(client: Raw, stream: bytes, chance: random.Random) -> None:
    """Send a stream in pieces of random sizes, while what comes is not read."""
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    at = 0
    while at < len(stream):
        size = chance.choice((1, 2, 3, 7, 64, 1000, 5000))
        client.send(stream[at : at + size])
        at += size


@pytest.mark.parametrize("line_ends", ["strict", "normalise"])
@pytest.mark.parametrize("by", ["DATA", "BDAT", "BDAT as DATA"])
def test_streams_of_messages_are_the_same_messages_to_the_server(
    tmp_path: Path, stack: ExitStack, by: str, line_ends: str
) -> None:
    """As many messages as the server has taken were told to the client; no command was in any of them."""
    listed = LISTED if by != "BDAT as DATA" else tuple(each for each in LISTED if each != "CHUNKING")
    behind = stack.enter_context(Behind(listed))
    table = {"name": "front", "protocol": "smtp", "backend": "mail", "mode": "refuse"}
    backend = {"name": "mail", "servers": [behind.name], "health_every": "1h"}
    limits = {"line_ends": line_ends, "errors": 1000}
    front = stack.enter_context(RunningGates(tmp_path, [table], [backend], limits=limits))
    taken = before = 0
    for seed in range(STREAMS):
        chance = random.Random(f"{by} {line_ends} {seed}")
        stream = b"EHLO a.example\r\n" + b"".join(_message(chance, each, by) for each in range(3)) + b"QUIT\r\n"
        with Raw(front.port("front")) as client:
            scatter(client, stream, chance)
            said = client.rest()
        assert b"421" not in said, (seed, said)
        assert said.endswith(b"221 2.0.0 Bye\r\n"), (seed, said)
        taken += said.count(_TAKEN)
        heard = [line for each in behind.finished(before + 1)[before:] for line in each.lines]
        before = len(behind.sessions)
        senders = [line for line in heard if line.startswith(b"MAIL")]
        assert [line.split()[1] for line in senders] == [b"FROM:<m%d@far.example>" % each for each in range(3)], seed
        assert not any(b"evil" in line or b"victim" in line for line in heard), seed
        assert len(behind.messages) == taken, (seed, said)
    assert taken  # some of it is no attack at all


def _message(chance: random.Random, number: int, by: str) -> bytes:
    """One message."""
    body = hostile(chance)
    begin = b"MAIL FROM:<m%d@far.example>\r\nRCPT TO:<bob@near.example>\r\n" % number
    if by == "DATA":
        return begin + b"DATA\r\n" + body + b"\r\n.\r\n"
    cuts = sorted(chance.randrange(len(body) + 1) for _ in range(chance.randrange(3)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    chunks = [b"BDAT %d\r\n" % len(piece) + piece for piece in pieces[:-1]]
    return begin + b"".join(chunks) + b"BDAT %d LAST\r\n" % len(pieces[-1]) + pieces[-1]


_LINES = (
    b"MAIL FROM:<a@far.example>",
    b"RCPT TO:<b@near.example>",
    b"RSET",
    b"NOOP",
    b"VRFY x",
    b"HELP",
    b"EHLO a.example",
    b"NOOP MAIL FROM:<evil@x>",
    b"XCLIENT ADDR=1.2.3.4",
    b"ETRN evil",
    b"BDAT evil",
    b"DATA evil",
)
_INSIDE = (
    b"\r",
    b"\n",
    b"\0",
    b"\r\r",
    b"\n\r",
    b"\x85",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\x0b",
    b"\x0c",
    b"\x1e",
    b"+0D+0A",
    b"%0d%0a",
    b"x" * 3000,
    b"\\r\\n",
    b"\t",
    b"\xc0\x8d\xc0\x8a",
    b"\xff\n",
    b"\x08\x08",
)


def test_streams_of_commands_are_the_same_commands_to_the_server(tmp_path: Path, stack: ExitStack) -> None:
    """What stands behind anything but CRLF is no command, to a server that takes all of it for a line end."""
    behind = stack.enter_context(Behind((*LISTED, "XCLIENT NAME ADDR")))
    table = {"name": "front", "protocol": "smtp", "backend": "mail", "mode": "refuse"}
    backend = {"name": "mail", "servers": [behind.name], "health_every": "1h"}
    front = stack.enter_context(RunningGates(tmp_path, [table], [backend], limits={"errors": 1000}))
    for seed in range(STREAMS):
        chance = random.Random(f"lines {seed}")
        stream = b"EHLO a.example\r\n"
        for _ in range(20):
            line, inside = chance.choice(_LINES), chance.choice(_INSIDE)
            if chance.random() < 0.7:
                at = chance.randrange(len(line) + 1)
                line = line[:at] + inside + chance.choice((b"", b"MAIL FROM:<evil@evil.example>")) + line[at:]
            if not re.match(rb"BDAT|QUIT", line, re.IGNORECASE):
                stream += line + b"\r\n"
        with Raw(front.port("front")) as client:
            scatter(client, stream + b"QUIT\r\n", chance)
            said = client.rest()
        assert re.search(rb"(221|421) [^\r]*\r\n\Z", said), (seed, said)
        for heard in behind.connections:
            for line in heard.lines:
                assert not re.match(rb"(?!NOOP |VRFY |HELP ).*evil", line), (seed, line)
                assert re.match(rb"(EHLO|MAIL|RCPT|RSET|NOOP|VRFY|HELP|QUIT)\b", line), (seed, line)


_LITERAL = re.compile(rb"\{(\d+)(\+?)\}\Z")
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\n|\r(?=.))", re.DOTALL)


class _Careless:
    """An IMAP server that sees a literal wherever a line ends like one, and ends lines at anything."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self._data = b""

    def take(self, behind: Conversation) -> None:
        """Answer every command with OK; content is not read as one."""
        self._data = behind.heard[behind.heard.index(b"LOGIN") :].partition(b"\r\n")[2]
        with contextlib.suppress(EOFError):
            while True:
                line = self._line(behind)
                self.commands.append(line)
                tag = line.split(b" ")[0]
                while (literal := _LITERAL.search(line)) is not None:
                    if not literal[2]:
                        behind.send(b"+ go on\r\n")
                    self._skip(behind, int(literal[1]))
                    line = self._line(behind)
                behind.send(tag + b" OK done\r\n")

    def _line(self, behind: Conversation) -> bytes:
        while (found := _LINE.match(self._data)) is None:
            self._more(behind)
        self._data = self._data[found.end() :]
        return found[1]

    def _skip(self, behind: Conversation, size: int) -> None:
        while len(self._data) < size:
            self._more(behind)
        self._data = self._data[size:]

    def _more(self, behind: Conversation) -> None:
        more = behind.more()
        if not more:
            raise EOFError
        self._data += more


_ARGUMENTS = (
    b"x",
    b'"q"',
    b'"{5}"',
    b'"a\\"{5}"',
    b"{5}",
    b"{5+}",
    b"~{5}",
    b"~{5+}",
    b"x{5}",
    b'"x{5+}',
    b"{05}",
    b"{5 }",
    b"({5+}",
    b"({5}",
    b"{5}x",
    b"{-5}",
    b"{5}\0",
    b"[{5+}",
    b"\\{5+}",
    b'"\\{5+}',
    b"{5++}",
    b"{0}",
    b"{0+}",
    b"{4294967301+}",
    b"BODY[{5+}",
)


def test_streams_of_imap_never_hide_a_command(tmp_path: Path, stack: ExitStack) -> None:
    """COMPRESS is what the gate refuses: hidden behind whatever looks like a literal, it reaches no careless server."""
    careless = _Careless()
    server = stack.enter_context(ScriptedIMAP(takes=careless.take, listed=b"IMAP4rev1 LITERAL+ BINARY"))
    table = {"name": "front", "protocol": "imap", "backend": "mail", "mode": "refuse"}
    front = stack.enter_context(RunningGates(tmp_path, [table], [{**server.backend, "health_every": "1h"}]))
    for seed in range(STREAMS * 2):
        chance = random.Random(f"imap {seed}")
        stream = b""
        for number in range(8):
            stream += b"t%d APPEND " % number + b" ".join(chance.choices(_ARGUMENTS, k=chance.randrange(1, 4)))
            stream += chance.choice((b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n12345\r\n", b"\r\n12345 {5+}\r\nabcde\r\n"))
            stream += b"e%d COMPRESS evil\r\n" % number
        with RawIMAP(front.port("front")) as client:
            client.log_in()
            scatter(client, stream, chance)
            client.sock.shutdown(socket.SHUT_WR)
            client.rest()
        assert not any(b"COMPRESS" in line for line in careless.commands), (seed, careless.commands[-5:])
    assert any(b"APPEND" in line for line in careless.commands)  # some of it is no attack at all
