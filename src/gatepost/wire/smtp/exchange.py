"""The one place where a client writes command lines and waits for replies (RFC 5321 §4.1, §4.2).

No control character leaves here, whatever a caller passed; and a reply counts only for a command that was sent: octets
that a server sends unasked end the connection (RFC 2920 §3.1: replies come in the order of the commands).
"""

from __future__ import annotations

import functools
import re
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.dialogue import Dialogue, Receive, Send
from gatepost.wire.smtp.refusals import ConnectionLost, UnexpectedReply
from gatepost.wire.smtp.replies import ReplyReader
from gatepost.wire.smtp.reply import Reply

COMMAND_LIMIT: Final = 2048  # octets; RFC 5321 §4.5.3.1.4 asks for 512, extensions add to it (RFC 3461 §4, RFC 6531)
# What may stand in a command: printable ASCII, and beyond ASCII anything but C1 controls and line separators.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def command(line: str, *, limit: int = COMMAND_LIMIT) -> bytes:
    """One command line with its CRLF.

    :raises LocalProtocolError: when the line holds a control character or a line separator, or is too long. The
        message does not quote the line: it may hold credentials.
    """
    if _FORBIDDEN.search(line):
        raise LocalProtocolError(
            "a command would hold a control character",
            hint="a value that came from outside holds CR, LF, NUL or the like; it was not sent",
        )
    try:
        octets = line.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("a command would hold a lone surrogate") from None
    if len(octets) > limit:
        raise LocalProtocolError(f"a command would be longer than {limit} octets")
    return octets + b"\r\n"


_receive: Final = functools.lru_cache(256)(Receive)  # the same few over and over: a value is made once


@final
class Exchange:
    """Commands out, replies in."""

    __slots__ = ("_spent", "reader")

    def __init__(self) -> None:
        self.reader: Final = ReplyReader()
        self._spent = False

    def spend(self) -> None:
        """The conversation goes on inside TLS, with another exchange: nothing is asked here any more."""
        self._spent = True

    def expect_quiet(self, what: str) -> None:
        """Refuse what the server said unasked.

        :param what: what it said before.
        :raises UnexpectedReply: when octets are waiting. A 421 may come at any time (RFC 5321 §3.8): it is named.
        """
        if self.reader.pending:
            reply = self.reader.next_reply()
            if reply is not None and reply.code == 421:
                raise UnexpectedReply("the server closes the connection", reply)
            raise UnexpectedReply(f"the server spoke before {what}", reply)

    def reply(self, seconds: float, step: str) -> Dialogue[Reply]:
        """Wait for one reply.

        :raises ConnectionLost: at the end of the stream, whole reply or half.
        :raises MalformedReply: see ``replies``.
        """
        reader = self.reader
        reply = reader.next_reply() if reader.pending else None
        while reply is None:
            data = yield _receive(seconds, step)
            if not isinstance(data, bytes):
                raise LocalProtocolError(f"the driver answered Receive with {type(data).__name__}")
            if not data:
                raise ConnectionLost(f"the server closed the connection before the {step}")
            reader.receive(data)
            reply = reader.next_reply()
        return reply

    def ask(self, line: bytes, seconds: float, step: str, *, secret: bool = False) -> Dialogue[Reply]:
        """Send one command by itself and wait for its reply.

        :param secret: see ``Send``.
        """
        if self._spent:
            raise LocalProtocolError("this conversation became private: nothing is asked in the clear any more")
        reader = self.reader
        if reader.pending:
            self.expect_quiet("the command was sent")
        yield Send(line, secret)
        reply = yield from self.reply(seconds, step)
        if reader.pending:
            self.expect_quiet("the next command was sent")
        return reply
