"""Answers of several lines, on their way out (RFC 1939 §3): line ends made, dots stuffed, in pieces of any size.

Invariants
----------
* What goes out is the content with each LF that has no CR made a CRLF, one dot put before every line that begins with a
  dot, a CRLF at the end when there was none, and ``.`` CRLF, however it was cut.
* A CRLF stays one, and a CR that stands alone stays alone: a Maildir may hold either, and neither is a line end that
  could end the answer.
* ``octets`` is the size of the message as RFC 1939 §11 counts it: what goes out, without the stuffed dots and without
  the final ``.`` CRLF. ``wire_octets`` counts the same without writing.
* Nothing is held back between pieces, so memory is one piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, final

from gatepost.wire.smtp.stuffing import END_OF_DATA

# Asked of every piece: for two octets a compiled expression is three times as fast as ``in``.
_DOT_LINE: Final = re.compile(rb"\n\.")


@final
class LineEnds:
    """Give content the line ends of the wire, piece by piece. Whether a line is unfinished, ``tail`` says."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 10  # the last octet that went through; at the beginning a line begins

    @property
    def at_line_start(self) -> bool:
        """Whether the last line is complete, or there is none."""
        return self._last == 10

    def convert(self, piece: bytes) -> bytes:
        """The piece with CRLF line ends. It must not be empty."""
        half = self._last == 13 and piece[0] == 10  # the CR of this LF went out with the piece before
        self._last = piece[-1]
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n")
        piece = piece.replace(b"\n", b"\r\n")
        return piece[1:] if half else piece

    def finish(self) -> bytes:
        """What the last line lacks."""
        return b"" if self._last == 10 else b"\r\n"


@final
class MultilineWriter:
    """Write one answer of several lines."""

    __slots__ = ("_ends", "octets", "written")

    def __init__(self) -> None:
        self._ends: Final = LineEnds()
        self.octets = 0
        """Octets of content so far, as a client counts them: see the module."""
        self.written = b""
        """What ``write`` or ``finish`` returned last, without the doubled dots and the end."""

    def write(self, piece: bytes) -> bytes:
        """A piece of content as it goes on the wire."""
        if not piece:
            return b""
        ends = self._ends
        begins_with_dot = ends.at_line_start and piece.startswith(b".")
        data = self.written = ends.convert(piece)
        self.octets += len(data)
        if _DOT_LINE.search(data) is not None:
            data = data.replace(b"\n.", b"\n..")
        return b"." + data if begins_with_dot else data

    def finish(self) -> bytes:
        """The end of the answer, with the line end that it needs."""
        rest = self.written = self._ends.finish()
        self.octets += len(rest)
        return rest + END_OF_DATA


@final
class ExactWriter:
    """Write one answer of several lines whose octets are those of the wire already: lines ended, dots stuffed.

    What another server sent goes on as it came, octet for octet, and so ends where it ended.
    """

    __slots__ = ("_before", "_piece", "octets")

    def __init__(self) -> None:
        self._before = b"\r\n"  # the last octets before the last piece
        self._piece = b""
        self.octets = 0
        """Octets so far, stuffed dots counted in."""

    @property
    def written(self) -> bytes:
        """What ``write`` or ``finish`` returned last, without the doubled dots and the end."""
        return (self._before + self._piece).replace(b"\r\n.", b"\r\n")[len(self._before) :]

    def write(self, piece: bytes) -> bytes:
        """A piece, as it is."""
        self._before = (self._before + self._piece)[-2:]
        self._piece = piece
        self.octets += len(piece)
        return piece

    def finish(self) -> bytes:
        """The end of the answer; what was written ends with CRLF, or is nothing."""
        self._piece = b""
        return END_OF_DATA


def wire_octets(pieces: Iterable[bytes]) -> int:
    """How many octets LIST and STAT say of a message: exactly what RETR sends of it (RFC 1939 §11)."""
    ends, total = LineEnds(), 0
    for piece in pieces:
        if piece:
            total += len(ends.convert(piece))
    return total + len(ends.finish())


def top_filter(pieces: Iterable[bytes], lines: int) -> Iterator[bytes]:
    """The header of a message, the blank line, and the first lines of its body (RFC 1939 §7, TOP).

    Nothing more is read from ``pieces`` than what is needed, and no more than one piece is held.

    :param pieces: the message, its lines ended by LF or CRLF, cut anywhere.
    :param lines: how many lines of the body, 0 or more.
    """
    before = b"\n"  # the last two octets before this piece, while the header lasts; at the beginning a line begins
    in_header = True
    left = lines
    for piece in pieces:
        start = 0
        if in_header:
            body = _body_start(before + piece)
            if body < 0:
                before = (before + piece)[-2:]
                if piece:
                    yield piece
                continue
            in_header = False
            start = body - len(before)
        while left and (feed := piece.find(b"\n", start)) >= 0:
            start, left = feed + 1, left - 1
        if not left:
            yield piece[:start]
            return
        if piece:
            yield piece


def _body_start(data: bytes) -> int:
    """Where the line behind the first blank line begins, or -1. ``data`` begins with the end of a line."""
    found = [at + len(blank) for blank in (b"\n\n", b"\n\r\n") if (at := data.find(blank)) >= 0]
    return min(found, default=-1)
