"""Reading replies: bytes in, ``Reply`` values out (RFC 5321 §4.2).

A server is as hostile as a client: the length of a line, the lines of a reply and the octets of a reply are bounded,
the code must be the same on every line, only CRLF ends a line, and text is made printable before anybody sees it.
"""

from __future__ import annotations

import functools
import re
from typing import Final, final

from gatepost.errors import RemoteProtocolError
from gatepost.wire.framing import LineFault, LineFramer
from gatepost.wire.smtp.reply import Reply

LINE_LIMIT: Final = 8192  # octets; RFC 5321 §4.5.3.1.5 asks for 512
LINES_LIMIT: Final = 512  # of one reply
OCTETS_LIMIT: Final = 65536  # of one reply
USUAL_LENGTH: Final = 128  # octets; longer lines are not remembered
SOLE_LENGTH: Final = 1024  # octets of a reply that came by itself; longer ones are not remembered
_CHALLENGE: Final = b"334"  # RFC 4954 §4: said to one login alone, so never remembered

# RFC 5321 §4.2: Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF.
# The second digit is wider than the grammar's 0 to 5: codes such as 571 are in use. RFC 2034 §4: the enhanced code.
REPLY_LINE: Final = re.compile(
    rb"([2-5][0-9][0-9])(?:([ -])(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$))?(.*))?", re.DOTALL
)


class MalformedReply(RemoteProtocolError):
    """A reply breaks RFC 5321 §4.2 or exceeds a limit. What it was an answer to is unknown, so nothing is lost yet."""

    temporary = True


def printable(octets: bytes) -> str:
    """Reply text as characters that may be written anywhere: controls and bad UTF-8 become ``\\xNN`` and the like."""
    text = octets.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def _parse(line: bytes) -> tuple[int, bool, str, str]:
    """Code, whether the line is the last, enhanced code, text."""
    parts = REPLY_LINE.fullmatch(line)
    if parts is None:
        raise MalformedReply(f"a reply is malformed: {printable(line[:80])}")
    code, separator, enhanced, text = parts.groups()
    # RFC 2034 §4: the class of the enhanced code is that of the reply; another is not an enhanced code.
    if enhanced is not None and enhanced[0] != code[0]:
        enhanced, text = None, line[4:]
    return int(code), separator != b"-", enhanced.decode() if enhanced else "", printable(text) if text else ""


def _reply(line: bytes) -> Reply:
    code, _, enhanced, text = _parse(line)
    return Reply(code, enhanced, text)


# A busy client reads the same few lines over and over. A reply is a value: which connection it came from is not in it.
_usual_reply: Final = functools.lru_cache(maxsize=512)(_reply)


@final
class ReplyReader:
    """Cut what a server sent into replies."""

    __slots__ = ("_code", "_enhanced", "_framer", "_lined", "_lines", "_octets", "_sole")

    def __init__(self) -> None:
        self._sole = b""  # what came, where nothing else waits: as a rule one reply
        self._lined = False  # whether there ever was anything else
        self._framer: Final = LineFramer(LINE_LIMIT)
        self._lines: list[str] = []  # of the reply that is being read
        self._octets = 0
        self._code = 0
        self._enhanced = ""

    def receive(self, data: bytes) -> None:
        """Take what was read."""
        if self.pending or len(data) > SOLE_LENGTH or data.startswith(_CHALLENGE):
            self.receive_lines(data)
        else:
            self._sole = data

    def receive_lines(self, data: bytes) -> None:
        """The same, for what is not to be remembered."""
        self._line_up()
        self._lined = True
        self._framer.receive(data)

    @property
    def pending(self) -> bool:
        """Whether octets are held that no reply has used up."""
        return bool(self._sole) or (self._lined and (len(self._framer) > 0 or bool(self._lines)))

    def take(self) -> bytes:
        """Take the unread octets, at the end of this reader's life."""
        self._line_up()
        return self._framer.take()

    def _line_up(self) -> None:
        if self._sole:
            self._lined = True
            self._framer.receive(self._sole)
            self._sole = b""

    def next_reply(self) -> Reply | None:
        """The next reply, or None when more octets are needed.

        :raises MalformedReply: see the class. The reader is of no use afterwards.
        """
        if self._sole:
            if (reply := _sole_reply(self._sole)) is not None:
                self._sole = b""
                return reply
            self._line_up()
        while (line := self._framer.next_line()) is not None:
            if isinstance(line, LineFault):
                raise MalformedReply(f"a reply is malformed: {line.value}")
            if line[3:4] != b"-" and not self._lines:
                usual = len(line) <= USUAL_LENGTH and not line.startswith(_CHALLENGE)
                return _usual_reply(line) if usual else _reply(line)
            if self._add(line):
                return self._finish()
        return None

    def _add(self, line: bytes) -> bool:
        """Take one line of a reply; whether it is the last."""
        code, last, enhanced, words = _parse(line)
        if not self._lines:
            self._code, self._enhanced = code, enhanced
        elif code != self._code:
            raise MalformedReply(f"a reply begins with {self._code} and goes on with {code}")
        self._lines.append(words)
        self._octets += len(line) + 2
        if len(self._lines) > LINES_LIMIT or self._octets > OCTETS_LIMIT:
            raise MalformedReply(f"a reply is longer than {LINES_LIMIT} lines or {OCTETS_LIMIT} octets")
        return last

    def _finish(self) -> Reply:
        reply = Reply(self._code, self._enhanced, tuple(self._lines))
        self._lines, self._octets, self._code, self._enhanced = [], 0, 0, ""
        return reply


@functools.lru_cache(maxsize=256)
def _sole_reply(octets: bytes) -> Reply | None:
    """The one reply that these octets are; None where they are not just that. A server says the same list to every
    EHLO: it is read once."""
    reader = ReplyReader()
    reader.receive_lines(octets)
    try:
        reply = reader.next_reply()
    except MalformedReply:
        return None
    return None if reader.pending else reply
