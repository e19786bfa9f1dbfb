"""The message on standard input, turned into the CRLF lines that SMTP carries, in pieces.

A line end of any kind becomes CRLF: what programs write to ``sendmail`` has LF, sometimes CRLF, and the output of
progress bars has lone CR, which SMTP servers refuse (RFC 5321 §2.3.8). Nothing else is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from gatepost.sendmail import headers
from gatepost.sendmail.exits import DATA, SendmailError

HEADER_LIMIT: Final = 1 << 20
PIECE: Final = 1 << 16
AHEAD: Final = 1 << 18  # what is read before the envelope is sent, so that small messages are known whole


class Lines:
    """Turns every kind of line end into CRLF, whatever the pieces; the last line gets one too."""

    __slots__ = ("_carriage", "_open")

    def __init__(self) -> None:
        self._carriage = self._open = False

    def feed(self, data: bytes) -> bytes:
        """The next piece, but for a CR at its end, which may be half of a line end."""
        if not data:
            return b""
        if self._carriage:
            data = b"\r" + data
        self._carriage = data.endswith(b"\r")
        if self._carriage:
            data = data[:-1]
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        if data:
            self._open = not data.endswith(b"\n")
        return data

    def finish(self) -> bytes:
        """What is still missing at the end."""
        return b"\r\n" if self._carriage or self._open else b""


class Message:
    """A message that is being read.

    :ivar fields: its header; change it before ``pieces`` is called.
    :param stream: where it comes from.
    :param dot_ends: whether a line with a single dot ends it.
    :raises SendmailError: when its header is too large.
    """

    __slots__ = ("_dot_ends", "_first", "_over", "_stream", "fields")

    def __init__(self, stream: BinaryIO, *, dot_ends: bool) -> None:
        self._stream: Final = stream
        self._dot_ends: Final = dot_ends
        self._over = False
        self._first = b""  # a line of the body that was read with the header
        lines: list[bytes] = []
        size = 0
        while line := self._line():
            if not line.strip(b"\r\n"):
                break
            if not headers.is_field(line) and not (not lines and line.startswith((b"From ", b">From "))):
                self._first = line
                break
            size += len(line)
            if size > HEADER_LIMIT:
                raise SendmailError(f"the header is larger than {HEADER_LIMIT} bytes", DATA)
            lines.append(line)
        self.fields = headers.split(lines)

    def pieces(self) -> Iterator[bytes]:
        """Header and body, with CRLF."""
        lines = Lines()
        head = b"".join(field.octets if field.octets.endswith(b"\n") else field.octets + b"\n" for field in self.fields)
        yield lines.feed(head + b"\n" + self._first)
        for data in self._body():
            yield lines.feed(data)
        yield lines.finish()

    def _body(self) -> Iterator[bytes]:
        if not self._dot_ends:
            while data := self._stream.read(PIECE):
                yield data
            return
        gathered: list[bytes] = []
        size = 0
        while line := self._line():
            gathered.append(line)
            size += len(line)
            if size >= PIECE:
                yield b"".join(gathered)
                gathered, size = [], 0
        yield b"".join(gathered)

    def _line(self) -> bytes:
        """The next line, dot rule applied; empty at the end. An over-long line comes in parts."""
        if self._over:
            return b""
        line = self._stream.readline(HEADER_LIMIT)
        while line and not line.endswith(b"\n") and len(line) <= HEADER_LIMIT:
            more = self._stream.readline(PIECE)
            if not more:
                break
            line += more
        self._over = not line or (self._dot_ends and line in (b".\n", b".\r\n", b"."))
        return b"" if self._over else line


def read_ahead(pieces: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """The first pieces, up to ``AHEAD`` bytes, and whether they are the whole message."""
    gathered: list[bytes] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= AHEAD:
            return gathered, False
    return gathered, True
