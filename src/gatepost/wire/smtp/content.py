"""Message content off the wire: the reader behind DATA and the reader of BDAT chunks.

Theory
------
Behind DATA the wire carries lines, each ended by CRLF; a line that begins with a dot has one dot more than it means,
and the line of a single dot is the end (RFC 5321 §4.5.2). So with the CRLF of the DATA line itself counted in:

* the end is the first ``CRLF . CRLF``, and nothing else ends a message (RFC 5321 §4.1.1.4);
* before it, ``CRLF .`` means ``CRLF``: one replacement unstuffs a whole piece.

Content arrives in cuts anywhere. At the end of what has come, the longest suffix that may still become
``CRLF . CRLF`` is left unread; it has at most four octets. Therefore no piece ends inside a CRLF, nor inside a
``CRLF .``, and whatever is asked of a piece (unstuffing it, pairing its CRs with its LFs) may be asked of each piece
alone: the pieces, joined, are the same for every cut, and each octet is looked at a bounded number of times.

A message that holds a bare CR, a bare LF or a NUL is consumed to its true end and refused: a CR or LF that the next
system takes for a line end is how a message smuggles another one (CVE-2023-51764 and its relatives). With ``normalise``
a bare LF becomes CRLF; it still never ends the message. There a piece does not end with a bare LF either, since a dot
may follow.

A NUL is no line end to anybody, but there are receivers that drop it: where NULs are let through (``nul``), one at the
beginning of a line is refused all the same, because without it the line could be a single dot.
"""

from __future__ import annotations

import re
from typing import Final, final

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.stuffing import CleanLines

PIECE: Final = 262144  # octets of one piece, at most
_END: Final = b"\r\n.\r\n"
_STRICT_TAILS: Final = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")
_NORMAL_TAILS: Final = (*_STRICT_TAILS, b"\n")
_ORDINARY: Final = bytes(octet for octet in range(256) if octet not in b"\r\n\0")
_ORDINARY_OR_NUL: Final = b"\0" + _ORDINARY
_LONE_CR: Final = re.compile(rb"\r[^\n]")
_NOTE: Final = re.compile(rb"\r(?:\n\.|[^\n])")
_OFFENCE: Final = re.compile(rb"\0|\r(?!\n)|(?<!\r)\n")
_OFFENCE_BUT_NUL: Final = re.compile(rb"(?<=\n)\0|\r(?!\n)|(?<!\r)\n")


class _Judge:
    """What both readers ask of every piece.

    :param limit: the longest message taken, in octets.
    :param normalise: turn a bare LF into CRLF.
    :param nul: let NULs through where they cannot make a line look like another.
    """

    __slots__ = ("_limit", "_line_begins", "_normalise", "_nul", "octets", "refusal")

    def __init__(self, limit: int, *, normalise: bool, nul: bool = False) -> None:
        self._limit: Final = limit
        self._normalise: Final = normalise
        self._nul: Final = nul
        self._line_begins = True
        self.octets = 0
        """Octets of content so far."""
        self.refusal: Reply | None = None
        """Why the message is refused, once that is known. No content is given from then on."""

    def _judge(self, piece: bytes, *, plain: bool = False) -> bytes:
        """The piece, or nothing when it, or what came before it, breaks a rule. The first offence is named.

        Two passes in C decide for a whole piece: it holds no NUL and as many CRs as LFs, in turn; and behind each CR
        stands an LF. Then every LF has its CR.

        :param plain: known is that behind each CR stands an LF, and behind none of those a dot.
        """
        kept = piece.translate(None, _ORDINARY)
        well_formed = kept == b"\r\n" * (len(kept) >> 1) and (plain or _LONE_CR.search(piece) is None)
        total = self.octets + len(piece)
        if well_formed and total <= self._limit:
            self.octets = total
            self._line_begins = piece.endswith(b"\n")
            return CleanLines(piece) if plain else piece
        if self._nul and b"\0" in kept:
            return self._judge_with_nul(piece)
        return self._offended(_OFFENCE.search(piece))

    def _judge_with_nul(self, piece: bytes) -> bytes:
        """The same for a piece with a NUL, where those are let through, but none at the beginning of a line."""
        kept = piece.translate(None, _ORDINARY_OR_NUL)
        well_formed = kept == b"\r\n" * (len(kept) >> 1) and _LONE_CR.search(piece) is None
        total = self.octets + len(piece)
        if self._line_begins and piece.startswith(b"\0"):
            return self._offended(_OFFENCE.search(piece))
        if not well_formed or b"\n\0" in piece or total > self._limit:
            return self._offended(_OFFENCE_BUT_NUL.search(piece))
        self.octets = total
        self._line_begins = piece.endswith(b"\n")
        return piece

    def _offended(self, offence: re.Match[bytes] | None) -> bytes:
        """Keep why the message is refused: the first thing that is wrong with it."""
        if offence is None or self.octets + offence.start() >= self._limit:
            self.refusal = reply.TOO_BIG
        else:
            self.refusal = reply.NUL_CONTENT if offence[0] == b"\0" else reply.BARE_CONTENT_END
        return b""


def _unstuffed(piece: bytes) -> bytes:
    """Take the stuffed dots out; ``replace`` would search the piece twice, and take twice as long."""
    return b"\r\n".join(piece.split(b"\r\n."))


@final
class DotReader(_Judge):
    """Read the content behind DATA."""

    __slots__ = ("_fresh", "_tails", "ended")

    def __init__(self, limit: int, *, normalise: bool, nul: bool = False) -> None:
        super().__init__(limit, normalise=normalise, nul=nul)
        self._fresh = True  # at the beginning of the first line, behind the CRLF of the DATA line
        self._tails: Final = _NORMAL_TAILS if normalise else _STRICT_TAILS
        self.ended = False
        """Whether the end was read."""

    def read(self, buffer: bytes, start: int) -> tuple[bytes, int]:
        """Read one piece.

        :param buffer: what has come; it begins to be unread at ``start``.
        :return: the content read, perhaps none, and the position up to which was read. When that is ``start`` and
            ``ended`` is false, more octets are needed.
        """
        if self._fresh:
            head = buffer[start : start + 3]
            if head == b".\r\n":
                self.ended = True
                return b"", start + 3
            if b".\r\n".startswith(head):
                return b"", start
            self._fresh = False
            start += head[0] == 46  # the first line is dot-stuffed
        window = min(len(buffer), start + PIECE)
        # The first thing of note: usually the end itself, and then no stuffed dot and no lone CR stands before it.
        note = _NOTE.search(buffer, start, window)
        at = -1 if note is None else note.start()
        plain = note is None or buffer.startswith(_END, at)
        end = at if plain else buffer.find(_END, at, window)
        if end >= 0:
            self.ended = True
            stop, position = end + 2, end + 5
        else:
            stop = position = window - self._held(buffer, start, window)
        if self.refusal is not None or stop == start:
            return b"", position
        piece = buffer[start:stop]
        if self._normalise:
            piece = _unstuffed(piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        elif plain:
            return self._judge(piece, plain=True), position
        else:
            piece = _unstuffed(piece)
        return self._judge(piece), position

    def _held(self, buffer: bytes, start: int, stop: int) -> int:
        """How many octets at the end must wait for what follows them."""
        if not buffer.endswith(self._tails, start, stop):
            return 0
        return next(len(tail) for tail in self._tails if buffer.endswith(tail, start, stop))


@final
class ChunkReader(_Judge):
    """Read the content of BDAT chunks (RFC 3030): octets are counted, dots mean nothing, lines are lines."""

    __slots__ = ("_carriage", "_in_line")

    def __init__(self, limit: int, *, normalise: bool, nul: bool = False) -> None:
        super().__init__(limit, normalise=normalise, nul=nul)
        self._carriage = False  # a CR came last, and waits for its LF
        self._in_line = False

    def declare(self, size: int) -> None:
        """Refuse a chunk that will not fit before any of it is read."""
        if self.refusal is None and self.octets + size > self._limit:
            self.refusal = reply.TOO_BIG

    def read(self, data: bytes) -> bytes:
        """The content in the next octets of a chunk, perhaps none."""
        if self.refusal is not None:
            return b""
        if self._carriage:
            data = b"\r" + data
        self._carriage = data.endswith(b"\r")
        if self._carriage:
            data = data[:-1]
        if self._normalise:
            data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if not data:
            return b""
        self._in_line = not data.endswith(b"\n")
        return self._judge(data)

    def finish(self) -> bytes:
        """What belongs behind the last chunk: the line end of a last line that has none."""
        if self.refusal is None and self._carriage:
            self.refusal = reply.BARE_CONTENT_END
        return b"\r\n" if self._in_line and self.refusal is None else b""
