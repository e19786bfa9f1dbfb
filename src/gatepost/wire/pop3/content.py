"""The content of an answer of several lines, off the wire: dots unstuffed, in pieces (RFC 1939 §3).

Invariants
----------
* The end is the first ``CRLF . CRLF``, the CRLF of the status line counted in; nothing else ends an answer. Before it,
  ``CRLF .`` means ``CRLF``. Everything else is passed on as it came: a mailbox may hold any octet.
* The pieces joined are the same for every cut. What may yet become the end, four octets at most, waits for the rest.
"""

from __future__ import annotations

import re
from typing import Final, final

from gatepost.wire.framing import LineFramer
from gatepost.wire.smtp.content import PIECE

_END: Final = b"\r\n.\r\n"
_DOT: Final = re.compile(rb"\r\n\.")
_TAILS: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


@final
class ContentReader:
    """Read one answer's content from a framer, behind the status line.

    :param stuffed: leave the dots as they are: the pieces are the octets of the wire up to the end.
    """

    __slots__ = ("_fresh", "_stuffed", "ended")

    def __init__(self, *, stuffed: bool = False) -> None:
        self._stuffed: Final = stuffed
        self._fresh = True  # at the beginning of the first line
        self.ended = False
        """Whether the end was read."""

    def read(self, framer: LineFramer) -> bytes:
        """The next piece of content; empty when the end was read, or more octets are needed."""
        buffer, start = framer.peek()
        if self._fresh:
            head = buffer[start : start + 3]
            if head == b".\r\n":
                self.ended = True
                framer.advance(start + 3)
                return b""
            if b".\r\n".startswith(head):
                return b""
            self._fresh = False
            if not self._stuffed:
                start += head[0] == 46  # the first line is dot-stuffed
        window = min(len(buffer), start + PIECE)
        # The first line that begins with a dot: there is none in most pieces, and in the last one it is mostly the end.
        dot = _DOT.search(buffer, start, window)
        at = -1 if dot is None else dot.start()
        plain = dot is None or buffer.startswith(_END, at)
        end = at if plain else buffer.find(_END, at, window)
        if end >= 0:
            self.ended = True
            stop, position = end + 2, end + 5
        else:
            held = next((len(tail) for tail in _TAILS if buffer.endswith(tail, start, window)), 0)
            stop = position = window - held
        framer.advance(position)
        piece = buffer[start:stop]
        return piece if plain or self._stuffed else piece.replace(b"\r\n.", b"\r\n")
