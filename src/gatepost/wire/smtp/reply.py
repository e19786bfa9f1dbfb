"""Replies (RFC 5321 §4.2, enhanced codes RFC 2034 and RFC 3463).

A ``Reply`` is a value that knows its octets. They are made once, when the reply is; the usual replies are constants, so
that the hot path joins bytes that exist already. Whatever text goes in, what comes out is lines of printable
characters, none longer than 512 octets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, final

from gatepost.errors import LocalProtocolError

LINE_LIMIT: Final = 512  # RFC 5321 §4.5.3.1.5: a reply line, code and CRLF counted
# RFC 3463 §2: status-code = class "." subject "." detail
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_UNPRINTABLE: Final = re.compile(r"[^ -~]")


@final
@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, of one line or more.

    :param code: 200 to 599.
    :param enhanced: the enhanced status code, of the same class as ``code``; empty where none is due (3xx, the
        greeting, the answers to HELO and EHLO: RFC 2034 §4).
    :param text: the text, a line or several. Characters that may not stand in a reply become ``?``; a line that is too
        long is continued on the next.
    :param utf8: keep characters beyond ASCII (RFC 6531 §3.7.4.2: only inside a transaction that uses SMTPUTF8).
    :raises LocalProtocolError: for a code or an enhanced code that cannot be.
    """

    code: int
    enhanced: str
    text: str | tuple[str, ...]
    utf8: bool = False
    octets: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        code, enhanced, text = self.code, self.enhanced, self.text
        if not 200 <= code <= 599:
            raise LocalProtocolError(f"{code} is no reply code")
        if enhanced and (not _ENHANCED.fullmatch(enhanced) or int(enhanced[0]) != code // 100):
            raise LocalProtocolError(f"{enhanced!r} does not go with {code}")
        prefix = f"{enhanced} " if enhanced else ""
        if isinstance(text, str) and len(text) < 490 and text.isascii() and text.isprintable():
            octets = f"{code} {prefix}{text}\r\n".encode("ascii")
        else:
            octets = self._multiline(prefix)
        object.__setattr__(self, "octets", octets)

    @property
    def positive(self) -> bool:
        """Whether the command succeeded, wholly (2xx) or so far (3xx)."""
        return self.code < 400

    @property
    def temporary(self) -> bool:
        """Whether the same command may succeed later (4xx)."""
        return 400 <= self.code < 500

    @property
    def lines(self) -> tuple[str, ...]:
        """The text, a line each."""
        return (self.text,) if isinstance(self.text, str) else self.text

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, *self.lines)))

    def _multiline(self, prefix: str) -> bytes:
        room = LINE_LIMIT - len(prefix) - 6  # code, separator, CRLF
        pieces: list[bytes] = []
        for line in self.lines or ("",):
            pieces.extend(_wrap(_clean(line, utf8=self.utf8), room))
        last = len(pieces) - 1
        return b"".join(
            b"%d%c%b%b\r\n" % (self.code, 32 if index == last else 45, prefix.encode("ascii"), piece)
            for index, piece in enumerate(pieces)
        )


def _clean(line: str, *, utf8: bool) -> str:
    if not utf8:
        return _UNPRINTABLE.sub("?", line)
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)


def _wrap(line: str, room: int) -> list[bytes]:
    """Cut a line into pieces of at most ``room`` octets, never inside a character."""
    octets = line.encode("utf-8", "replace")
    pieces: list[bytes] = []
    while len(octets) > room:
        cut = room
        while octets[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(octets[:cut])
        octets = octets[cut:]
    pieces.append(octets)
    return pieces


OK: Final = Reply(250, "2.0.0", "Ok")
SENDER_OK: Final = Reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient ok")
DATA_GO_AHEAD: Final = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
TLS_GO_AHEAD: Final = Reply(220, "2.0.0", "Ready to start TLS")  # RFC 3207 §4
TLS_UNAVAILABLE: Final = Reply(454, "4.7.0", "TLS not available due to temporary reason")  # RFC 3207 §4
TLS_FIRST: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")  # RFC 3207 §4
TLS_ACTIVE: Final = Reply(503, "5.5.1", "TLS is active already")
PLAINTEXT_BEHIND_UPGRADE: Final = Reply(554, "5.5.0", "Command stream was not empty behind STARTTLS")
BYE: Final = Reply(221, "2.0.0", "Bye")
CANNOT_VERIFY: Final = Reply(252, "2.5.2", "Cannot VRFY user, but will accept message and attempt delivery")
HELP: Final = Reply(214, "2.0.0", "See RFC 5321")

AUTHENTICATED: Final = Reply(235, "2.7.0", "Authentication succeeded")  # RFC 4954 §6
AUTH_FAILED: Final = Reply(535, "5.7.8", "Authentication credentials invalid")  # RFC 4954 §6
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_REQUIRED: Final = Reply(530, "5.7.0", "Authentication required")  # RFC 4954 §6
AUTH_TWICE: Final = Reply(503, "5.5.1", "Already authenticated")
AUTH_MECHANISM: Final = Reply(504, "5.5.4", "Unrecognized authentication type")
AUTH_BASE64: Final = Reply(501, "5.5.2", "Cannot decode the base64 response")
AUTH_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")  # RFC 4954 §6

UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "Command not recognized")
BAD_LINE: Final = Reply(500, "5.5.2", "The line holds characters that no command may hold")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "Line too long")
BARE_LINE_END: Final = Reply(500, "5.5.2", "A line ends with CR LF, and neither stands alone")
SYNTAX: Final = Reply(501, "5.5.4", "Syntax error in parameters or arguments")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
BAD_SEQUENCE: Final = Reply(503, "5.5.1", "Bad sequence of commands")
HELLO_FIRST: Final = Reply(503, "5.5.1", "Say hello first")
NESTED_MAIL: Final = Reply(503, "5.5.1", "Nested MAIL command")
NEED_MAIL: Final = Reply(503, "5.5.1", "Need MAIL command first")
NEED_RECIPIENT: Final = Reply(503, "5.5.1", "No valid recipients")
UNKNOWN_PARAMETER: Final = Reply(555, "5.5.4", "Parameter not recognized")
BAD_SENDER: Final = Reply(501, "5.1.7", "Malformed sender address")
BAD_RECIPIENT: Final = Reply(501, "5.1.3", "Malformed recipient address")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients")
TOO_MANY_MESSAGES: Final = Reply(452, "4.5.3", "Too many messages in this session")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "Too many errors")
NOT_A_WEB_SERVER: Final = Reply(421, "4.7.0", "This is a mail server")
TOO_BIG: Final = Reply(552, "5.3.4", "Message size exceeds the limit")  # RFC 1870 §6
BARE_CONTENT_END: Final = Reply(550, "5.5.2", "The message holds a CR or LF that is not part of a line end")
NUL_CONTENT: Final = Reply(550, "5.6.0", "The message holds a NUL")
