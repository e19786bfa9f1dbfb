"""The one place where a client writes command lines and waits for what a server answers (RFC 1939 §3).

A server is as hostile as a client: the length of a line, the lines and the octets of a listing and the octets of a
message are bounded; only CRLF ends a line; text is made printable before anybody sees it; and octets that nobody asked
for end the connection.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Final, TypeAlias, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.dialogue import Dialogue, Send, receive
from gatepost.wire.framing import LineFault, LineFramer
from gatepost.wire.pop3.content import ContentReader
from gatepost.wire.pop3.refusals import ConnectionLost, MalformedReply, UnexpectedReply
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.smtp.replies import printable

LINE_LIMIT: Final = 12288  # octets; RFC 1939 §3 asks for 512, a SASL challenge may need more (profile.AUTH_LIMIT)
COMMAND_LIMIT: Final = 1024  # octets; see profile.COMMAND_LIMIT
PROGRESS: Final = 16384  # octets of a message within one deadline

# RFC 1939 §3, RFC 2449 §8: a status indicator, a response code, a text
_STATUS: Final = re.compile(rb"(\+OK|-ERR)(?: (?:\[([A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*)\] ?)?(.*))?", re.DOTALL)

Sink: TypeAlias = Callable[[bytes], None]
"""Takes the pieces of a message as they come."""


def parse_status(line: bytes) -> Reply:
    """Read a status line.

    :raises MalformedReply: when it is none.
    """
    match = _STATUS.fullmatch(line)
    if match is None:
        raise MalformedReply(f"a reply is malformed: {printable(line[:80])}")
    return Reply(match[1] == b"+OK", printable(match[3] or b""), (match[2] or b"").decode("ascii").upper())


@final
class Exchange:
    """Commands out, answers in."""

    __slots__ = ("_framer",)

    def __init__(self) -> None:
        self._framer: Final = LineFramer(LINE_LIMIT)

    def take(self) -> bytes:
        """Take the unread octets, at the end of this exchange's life."""
        return self._framer.take()

    def expect_quiet(self, what: str) -> None:
        """Refuse what the server said unasked.

        :param what: what it said before.
        :raises UnexpectedReply: when octets are waiting.
        """
        if len(self._framer):
            raise UnexpectedReply(f"the server spoke before {what}")

    def line(self, seconds: float, step: str) -> Dialogue[bytes]:
        """Wait for one line.

        :raises ConnectionLost: at the end of the stream; half a line is none.
        :raises MalformedReply: for a line that is too long, or holds a CR or LF that stands alone.
        """
        while (line := self._framer.next_line()) is None:
            yield from self._more(seconds, step)
        if isinstance(line, LineFault):
            raise MalformedReply(f"a reply is malformed: {line.value}")
        return line

    def status(self, seconds: float, step: str) -> Dialogue[Reply]:
        """Wait for a status line."""
        return parse_status((yield from self.line(seconds, step)))

    def ask(self, line: bytes, seconds: float, step: str, *, secret: bool = False) -> Dialogue[Reply]:
        """Send one command by itself and wait for its one line.

        :param secret: see ``Send``.
        """
        yield from self.begin(line, secret=secret)
        reply = yield from self.status(seconds, step)
        self.expect_quiet("the next command was sent")
        return reply

    def verdict(self, seconds: float) -> Dialogue[Reply | bytes]:
        """Wait for the answer to a line of an AUTH exchange: its verdict, or the next challenge, still encoded."""
        answer = yield from self.line(seconds, "reply to AUTH")
        self.expect_quiet("the next line was sent")
        return answer[2:] if answer.startswith(b"+ ") or answer == b"+" else parse_status(answer)

    def begin(self, line: bytes, *, secret: bool = False) -> Dialogue[None]:
        """Send one command. For ``secret`` see ``Send``."""
        self.expect_quiet("the command was sent")
        yield Send(line, secret)

    def listing(self, lines_limit: int, octets_limit: int, seconds: float, step: str) -> Dialogue[list[bytes]]:
        """Read the lines behind a positive status line.

        :raises MalformedReply: when there are more of them than the limits allow.
        """
        found: list[bytes] = []
        octets = 0
        while (line := (yield from self.line(seconds, f"{step} from octet {octets - octets % PROGRESS}"))) != b".":
            octets += len(line) + 2
            if len(found) >= lines_limit or octets > octets_limit:
                raise MalformedReply(f"the {step} is longer than {lines_limit} lines or {octets_limit} octets")
            found.append(line[1:] if line.startswith(b".") else line)
        self.expect_quiet("the next command was sent")
        return found

    def content(self, sink: Sink, limit: int, seconds: float, step: str) -> Dialogue[int]:
        """Read a message behind a positive status line, at the pace at which it comes.

        :param sink: is given each piece. What it raises ends the dialogue, and the connection.
        :param limit: the longest message taken, in octets.
        :return: its octets.
        :raises MalformedReply: when it is longer; some of it has been given to the sink.
        """
        reader, octets = ContentReader(), 0
        while True:
            piece = reader.read(self._framer)
            octets += len(piece)
            if octets > limit:
                raise MalformedReply(f"the {step} is longer than {limit} octets")
            if piece:
                sink(piece)
            if reader.ended:
                break
            if not piece:
                yield from self._more(seconds, f"{step} from octet {octets - octets % PROGRESS}")
        self.expect_quiet("the next command was sent")
        return octets

    def piece(self, reader: ContentReader, seconds: float, step: str) -> Dialogue[bytes]:
        """The next piece of an answer of several lines, waited for; empty when its end was read."""
        while not reader.ended:
            if piece := reader.read(self._framer):
                return piece
            if not reader.ended:
                yield from self._more(seconds, step)
        return b""

    def _more(self, seconds: float, step: str) -> Dialogue[None]:
        data = yield from receive(seconds, step)
        if not data:
            raise ConnectionLost(f"the server closed the connection before the {step} was complete")
        self._framer.receive(data)


def checked_number(number: int, least: int = 1) -> int:
    """A number that a command may carry.

    :raises LocalProtocolError: for what is no number, and out of range.
    """
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= 9_999_999_999:
        raise LocalProtocolError(f"{number!r} cannot stand in a POP3 command")
    return number


def challenge_of(encoded: bytes) -> bytes:
    """Decode a challenge.

    :raises UnexpectedReply: when it is no base64.
    """
    try:
        return binascii.a2b_base64(encoded, strict_mode=True) if encoded else b""
    except binascii.Error:
        raise UnexpectedReply("a challenge is no base64") from None
