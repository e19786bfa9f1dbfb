"""The strict CRLF framer: bytes in, lines out.

Invariants
----------
* Only CRLF ends a line (RFC 5321 §2.3.8). A bare CR or bare LF is a *fault of its line*, reported once, and the rest of
  that line up to its CRLF is skipped: the tail of a bad line never becomes a line of its own.
* A line longer than the limit is one fault, reported when the limit is passed, and skipped to its end.
* Work is linear: a byte is searched a bounded number of times, however the input is cut, and the events are the same
  for every cut. The first offence in the order of the bytes is the one that is named.
* The buffer never holds more than what one ``receive`` brought plus one unfinished line.

``normalise`` accepts a bare LF as the end of a line, for old peers that the operator has named.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class LineFault(Enum):
    """Why a line was refused."""

    TOO_LONG = "line too long"
    BARE_CR = "bare carriage return"
    BARE_LF = "bare line feed"


class LineFramer:
    """Cut a byte stream into CRLF lines.

    :param limit: the longest line taken, in octets, its CRLF not counted.
    :param normalise: take a bare LF as a line end.
    """

    __slots__ = ("_buffer", "_normalise", "_scanned", "_skipping", "_start", "limit", "offender")

    def __init__(self, limit: int, *, normalise: bool = False) -> None:
        self._buffer = b""
        self._start = 0  # where the unread part of the buffer begins
        self._scanned = 0  # up to here the unread part holds no line end and no fault
        self._skipping = False  # inside a line whose fault was reported
        self._normalise: Final = normalise
        self.limit = limit
        self.offender = b""
        """The line whose fault was reported last, up to its offence, for the log: at most 128 octets."""

    def __len__(self) -> int:
        return len(self._buffer) - self._start

    def receive(self, data: bytes) -> None:
        """Take what was read."""
        if self._start < len(self._buffer):
            self._scanned = max(self._scanned - self._start, 0)
            self._buffer = self._buffer[self._start :] + data
        else:
            self._scanned = 0
            self._buffer = data
        self._start = 0

    def next_line(self) -> bytes | LineFault | None:
        """The next line without its line end, the fault of the next line, or None when more bytes are needed."""
        if self._skipping and not self._skip():
            return None
        buffer, start = self._buffer, self._start
        if start == len(buffer):
            return None
        end, stop, after = self._line_end(buffer)
        if (
            0 <= end <= start + self.limit
            and buffer.find(b"\r", start, end) < 0
            and (self._normalise or buffer.find(b"\n", start, end) < 0)
        ):
            self._start = self._scanned = after
            return buffer[start:end]
        return self._judge(buffer, stop, complete=end >= 0)

    def take(self, limit: int | None = None) -> bytes:
        """Take what is buffered, or at most ``limit`` octets of it, as content that is not lines."""
        start = self._start
        if limit is not None and limit < len(self._buffer) - start:
            self._start = self._scanned = start + limit
            return self._buffer[start : start + limit]
        data = self._buffer[start:] if start else self._buffer
        self._buffer, self._start, self._scanned = b"", 0, 0
        return data

    def peek(self) -> tuple[bytes, int]:
        """The buffer and where its unread part begins, for a reader of content that looks before it takes."""
        return self._buffer, self._start

    def advance(self, position: int) -> None:
        """Say up to which position of ``peek``'s buffer was read."""
        self._start = self._scanned = position

    def give_back(self, data: bytes) -> None:
        """Put back the rest of what ``take`` gave. Nothing may have been received in between."""
        self._buffer, self._start, self._scanned = data, 0, 0

    def _line_end(self, buffer: bytes) -> tuple[int, int, int]:
        """Where the line ends (-1 while unknown), where its text to be judged stops, and where the next one begins."""
        if not self._normalise:
            end = buffer.find(b"\r\n", self._scanned)
            return end, (end if end >= 0 else len(buffer)), end + 2
        feed = buffer.find(b"\n", self._scanned)
        if feed < 0:
            return -1, len(buffer), 0
        end = feed - 1 if feed > self._start and buffer[feed - 1] == 13 else feed
        return end, end, feed + 1

    def _skip(self) -> bool:
        """Drop the rest of a refused line; whether its end was found."""
        end = self._buffer.find(b"\n" if self._normalise else b"\r\n", self._start)
        if end < 0:
            self._buffer = b"\r" if self._buffer.endswith(b"\r", self._start) else b""
            self._start = self._scanned = 0
            return False
        self._start = self._scanned = end + (1 if self._normalise else 2)
        self._skipping = False
        return True

    def _judge(self, buffer: bytes, stop: int, *, complete: bool) -> LineFault | None:
        """Name the first fault before ``stop``, or None while there is none yet."""
        start, last = self._start, self._start + self.limit
        faults: list[tuple[int, LineFault]] = []
        if not self._normalise and (feed := buffer.find(b"\n", start, stop)) >= 0:
            faults.append((feed, LineFault.BARE_LF))
        carriage = buffer.find(b"\r", start, stop)
        open_ended = carriage == stop - 1 and not complete  # it may yet be half of a CRLF
        if carriage >= 0 and not open_ended:
            faults.append((carriage, LineFault.BARE_CR))
        if stop > last and not (open_ended and carriage == last):
            faults.append((last, LineFault.TOO_LONG))
        if not faults:
            self._scanned = max(start, stop - 1)
            return None
        offset, fault = min(faults, key=lambda found: found[0])
        self.offender = buffer[start : min(offset + 1, start + 128)]
        self._start = self._scanned = offset if fault is LineFault.TOO_LONG else offset + 1
        self._skipping = True
        return fault
