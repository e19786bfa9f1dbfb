"""Message content on its way to the wire: judged, dot-stuffed, in pieces (RFC 5321 §4.5.2).

Invariants
----------
* The pieces joined are the content with one dot put before every line that begins with a dot, however it was cut.
* Content in which a CR or LF stands alone is refused *before* it is stuffed: a receiver that takes either for a line
  end would find commands in it (SMTP smuggling). The piece with the fault is never returned.
* Work is linear in the content, and one CR is all that is held back between chunks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, final

from gatepost.errors import LocalProtocolError

PIECE: Final = 262144  # octets: longer chunks are cut, so that stuffing never copies a whole message
END_OF_DATA: Final = b".\r\n"
_NOT_LINE_ENDS: Final = bytes(octet for octet in range(256) if octet not in b"\r\n")
_NOTE: Final = re.compile(rb"\r(?:\n\.|[^\n])")


@final
class CleanLines(bytes):
    """Octets in which each CR and LF is half of a CRLF, and no line but the first begins with a dot.

    The type is the proof: only a reader that has looked makes one (``wire.smtp.content``), so that content which is
    passed on as it comes is not looked at twice. What it is cut from or joined to is ordinary octets again.
    """

    __slots__ = ()


@final
class Stuffer:
    """Stuff content as it comes. Chunks may end anywhere, between CR and LF too."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._held = b""  # a CR at the end of the last chunk
        self._at_line_start = True

    def stuff(self, chunk: bytes) -> bytes:
        """The next octets for the wire, perhaps none.

        :raises LocalProtocolError: for a CR or LF that stands alone. What was returned before is clean.
        """
        if isinstance(chunk, CleanLines) and chunk and not self._held:
            begins_with_dot = self._at_line_start and chunk.startswith(b".")
            self._at_line_start = chunk.endswith(b"\n")
            return b"." + chunk if begins_with_dot else chunk
        data = self._held + chunk if self._held else chunk
        self._held = b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        if not data:
            return b""
        ends = data.translate(None, _NOT_LINE_ENDS)
        note = _NOTE.search(data)  # of what is nearly always, nothing: faster than to look for either by itself
        if ends != b"\r\n" * (len(ends) >> 1) or (note is not None and _lone_cr(data)):
            raise _bare_line_end()
        begins_with_dot = self._at_line_start and data.startswith(b".")
        self._at_line_start = data.endswith(b"\n")
        if note is not None:
            data = b"\n..".join(data.split(b"\n."))  # replace() would search it twice
        return b"." + data if begins_with_dot else data

    def finish(self) -> bytes:
        """The line end that a last line lacks: the final dot stands on a line of its own.

        :raises LocalProtocolError: when a CR stands alone at the end.
        """
        if self._held:
            raise _bare_line_end()
        return b"" if self._at_line_start else b"\r\n"


def stuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content as it goes on the wire, without the final dot, with the line end that the final dot needs.

    :param chunks: content in CRLF lines; a chunk may end anywhere, between CR and LF too.
    :raises LocalProtocolError: at the first CR or LF that stands alone. What was returned before it was clean.
    """
    stuffer = Stuffer()
    for chunk in chunks:
        for piece in (chunk,) if len(chunk) <= PIECE else _pieces(chunk):
            if data := stuffer.stuff(piece):
                yield data
    if end := stuffer.finish():
        yield end


def _pieces(chunk: bytes) -> Iterator[bytes]:
    for start in range(0, len(chunk), PIECE):
        yield chunk[start : start + PIECE]


def _lone_cr(data: bytes) -> bool:
    return data.count(b"\r\n") != data.count(b"\r")


def _bare_line_end() -> LocalProtocolError:
    return LocalProtocolError(
        "the content holds a CR or LF that is not part of a CRLF",
        code=554,
        enhanced="5.6.0",
        hint="content must come in CRLF lines: convert or refuse it where it is accepted",
    )
