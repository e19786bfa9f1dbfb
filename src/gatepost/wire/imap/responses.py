"""The server's stream: octets in, responses out. Most of it passes unread; statuses and capabilities are told apart.

Invariants
----------
* The octets of all events, in order, are the octets that were received.
* A literal is content: whatever it holds, ``a1 OK`` or ``* CAPABILITY``, it is passed on and never read as a response.
* Statuses, capabilities and ``+`` are held until their line is whole, and have a bound. All other lines may be as long
  as the server likes, and pass in pieces.
* Work is linear in what was received.
"""

from __future__ import annotations

import re
from typing import Final, final

from gatepost.wire.imap.events import Broken, Continue, Listed, Passing, ServerPiece, Tagged, Untagged
from gatepost.wire.imap.grammar import STATUS, NotALiteral, announced

HELD_LIMIT: Final = 1 << 16  # octets of a line that must be whole before it is passed on
_TAIL: Final = 64  # octets that stay behind when a line passes in pieces: more than the longest announcement has
# RFC 9051 §7.1 and §7.2.2: the responses that are read; a line that may yet become one of them waits, too.
_READ: Final = re.compile(rb"\* +(?:OK|NO|BAD|BYE|PREAUTH|CAPABILITY)(?![^ ])", re.IGNORECASE)
_DATA: Final = re.compile(rb"\* (?!(?:OK|NO|BAD|BYE|PREAUTH|CAPABILITY)(?![^ \r]))", re.IGNORECASE)
_TOO_LONG: Final = "a line that must be whole is too long"
_QUOTING: Final = re.compile(rb'["\\]')


@final
class ResponseReader:
    """Reads one server."""

    __slots__ = ("_broken", "_buffer", "_escaped", "_left", "_open", "_quoted", "_scanned", "_start")

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0
        self._scanned = 0  # up to here there is no CRLF
        self._left = 0  # octets of a literal that have not come
        self._open = False  # inside a response: behind a literal, or its line passes in pieces
        self._quoted = False  # inside a quoted string of such a line
        self._escaped = False  # behind a backslash there
        self._broken = False

    @property
    def between(self) -> bool:
        """Whether all that was passed on are whole responses, so that something else may be said."""
        return not self._open and not self._left

    def receive(self, data: bytes) -> None:
        """Take what was read."""
        if self._start < len(self._buffer):
            self._scanned = max(self._scanned - self._start, 0)
            self._buffer = self._buffer[self._start :] + data
        else:
            self._buffer, self._scanned = data, 0
        self._start = 0

    def take(self) -> bytes:
        """Take what was received and not read, at the end of this reader's life."""
        rest, self._buffer, self._start, self._scanned = self._buffer[self._start :], b"", 0, 0
        return rest

    def next(self) -> ServerPiece | None:
        """The next event, or None when more octets are needed."""
        if self._broken:
            return None
        begin = at = self._start
        buffer = self._buffer
        while at < len(buffer):
            if self._left:
                size = min(self._left, len(buffer) - at)
                self._left -= size
                at = self._scanned = at + size
                continue
            end = buffer.find(b"\r\n", max(at, self._scanned))
            if end < 0:
                self._scanned = max(at, len(buffer) - 1)
                return self._unfinished(begin, at)
            if not self._open and end - at > HELD_LIMIT and _DATA.match(buffer, at) is None:
                return self._break(_TOO_LONG)
            if not self._open and (piece := self._special(at, end)) is not None:
                if begin < at:  # what stands before it goes first
                    break
                self._start = self._scanned = end + 2
                return piece
            if not self._line_ends(buffer[at:end] if buffer[end - 1] == 125 else b"", at):  # 125 is "}"
                return self._break("no literal can stand at the end of that line")
            at = self._scanned = end + 2
        self._start = at
        return Passing(buffer[begin:at]) if begin < at else None

    def _line_ends(self, line: bytes, at: int) -> bool:
        """Go on to what the line of a response announces; whether that can be told.

        :param line: the line, or nothing where it cannot announce a literal.
        """
        quoted, escaped, goes_on = self._quoted, self._escaped, self._open
        self._open = self._quoted = self._escaped = False
        if not line or not (goes_on or _DATA.match(line)):
            return True
        try:
            literal = announced(line[1:] if escaped else line, quoted=quoted)
        except NotALiteral:
            return False
        if literal is not None:
            self._left, self._open = literal.size, True
        return True

    def _special(self, at: int, end: int) -> ServerPiece | None:
        """A line that is read, or None for one that passes unread."""
        buffer = self._buffer
        first = buffer[at]
        if first == 42:  # "*"; a number behind it is the commonest case
            if 48 <= buffer[at + 2] <= 57 or _READ.match(buffer, at, end) is None:
                return None
            line = buffer[at:end]
            status = STATUS.fullmatch(line)
            if status is None:
                return Listed(line + b"\r\n")
            return Untagged(line + b"\r\n", status[2].decode("ascii").upper())
        if first == 43:  # "+"
            return Continue(buffer[at : end + 2])
        tagged = STATUS.fullmatch(buffer, at, end)
        if tagged is None:
            return None
        status_word = tagged[2].decode("ascii").upper()
        if status_word in ("BYE", "PREAUTH"):
            return None
        return Tagged(buffer[at : end + 2], tagged[1], status_word)

    def _unfinished(self, begin: int, at: int) -> ServerPiece | None:
        """A line whose end has not come: it waits, or passes in pieces when it is long."""
        buffer = self._buffer
        stop = at
        if self._open or len(buffer) - at - buffer.endswith(b"\r") > HELD_LIMIT:
            if not self._open and _DATA.match(buffer, at) is None:
                return self._break(_TOO_LONG)
            stop = max(at, len(buffer) - _TAIL)
            self._follow_quotes(buffer[at:stop])
            self._open = self._open or stop > at
        self._start = stop
        return Passing(buffer[begin:stop]) if begin < stop else None

    def _follow_quotes(self, piece: bytes) -> None:
        """Remember whether a line that passes in pieces is inside a quoted string."""
        at = 1 if self._escaped else 0
        if piece:
            self._escaped = False
        while True:
            if not self._quoted:
                at = piece.find(b'"', at) + 1
                if not at:
                    return
                self._quoted = True
                continue
            found = _QUOTING.search(piece, at)
            if found is None:
                return
            if found[0] == b'"':
                self._quoted = False
                at = found.end()
            else:
                at = found.end() + 1
                self._escaped = at > len(piece)

    def _break(self, reason: str) -> Broken:
        self._broken = True
        self._buffer, self._start, self._scanned = b"", 0, 0
        return Broken(reason)
