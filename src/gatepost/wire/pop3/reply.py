"""Status lines (RFC 1939 §3) and their response codes (RFC 2449 §8, RFC 3206).

A ``Reply`` is a value that knows its octets, made once. Whatever text goes in, one line of printable ASCII comes out,
no longer than 512 octets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, final

from gatepost.errors import LocalProtocolError

LINE_LIMIT: Final = 512  # RFC 1939 §3, RFC 2449 §4: a first line, CRLF counted
# RFC 2449 §8: resp-level *("/" resp-level), of printable ASCII but "/" and "]"
_CODE: Final = re.compile(r"[A-Z0-9_-]+(?:/[A-Z0-9_-]+)*")
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_TEMPORARY: Final = ("SYS/TEMP", "IN-USE", "LOGIN-DELAY")


@final
@dataclass(frozen=True, slots=True)
class Reply:
    """One status line.

    :param positive: whether it is ``+OK``.
    :param text: the text; characters that may not stand in it become ``?``, what is too long is cut.
    :param code: the response code without its brackets, in upper case; empty for none.
    :raises LocalProtocolError: for a code that cannot be.
    """

    positive: bool
    text: str = ""
    code: str = ""
    octets: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.code and not _CODE.fullmatch(self.code):
            raise LocalProtocolError(f"{self.code!r} is no response code")
        words = _UNPRINTABLE.sub("?", self.text)
        # A text that begins like a code would be read as one (RFC 2449 §8).
        bracket = f" [{self.code}]" if self.code else ""
        if words.startswith("[") and not bracket:
            words = f"({words}"
        line = f"{'+OK' if self.positive else '-ERR'}{bracket}{' ' if words else ''}{words}"
        object.__setattr__(self, "octets", line[: LINE_LIMIT - 2].encode("ascii") + b"\r\n")

    @property
    def temporary(self) -> bool:
        """Whether the same command may succeed later."""
        return not self.positive and self.code.startswith(_TEMPORARY)

    def __str__(self) -> str:
        return " ".join(filter(None, ("+OK" if self.positive else "-ERR", self.code and f"[{self.code}]", self.text)))


OK: Final = Reply(True, "Done")
BYE: Final = Reply(True, "Bye")
UTF8_ON: Final = Reply(True, "UTF-8 from now on")  # RFC 6856 §2
USER_OK: Final = Reply(True, "Now the password")  # RFC 1939 §7: the same for every name, there or not
LOGGED_IN: Final = Reply(True, "Logged in")
TLS_GO_AHEAD: Final = Reply(True, "Begin TLS now")  # RFC 2595 §4

AUTH_FAILED: Final = Reply(False, "Authentication failed", "AUTH")  # RFC 3206 §5: one text, whatever was wrong
AUTH_CANCELLED: Final = Reply(False, "Authentication cancelled")
AUTH_TOO_LONG: Final = Reply(False, "Authentication line too long")
AUTH_BASE64: Final = Reply(False, "Cannot decode the base64 response")
AUTH_MECHANISM: Final = Reply(False, "No such authentication mechanism")
LOGIN_NEEDS_TLS: Final = Reply(False, "Say STLS first: a login is taken inside TLS only", "AUTH")
NO_LOGIN_HERE: Final = Reply(False, "A login is taken inside TLS only", "AUTH")
IN_USE: Final = Reply(False, "The mailbox is in use by another session", "IN-USE")  # RFC 2449 §8.1.2
LOGIN_DELAY: Final = Reply(False, "Too soon after the last login", "LOGIN-DELAY")  # RFC 2449 §8.1.1
SYSTEM_TEMPORARY: Final = Reply(False, "Try again later", "SYS/TEMP")  # RFC 3206 §4
SYSTEM_PERMANENT: Final = Reply(False, "The mailbox needs its operator", "SYS/PERM")  # RFC 3206 §4

TLS_ACTIVE: Final = Reply(False, "TLS is active already")  # RFC 2595 §4
TLS_UNAVAILABLE: Final = Reply(False, "TLS is not available now", "SYS/TEMP")
PLAINTEXT_BEHIND_UPGRADE: Final = Reply(False, "Command stream was not empty behind STLS")
NO_SUCH_MESSAGE: Final = Reply(False, "No such message")
ALREADY_DELETED: Final = Reply(False, "That message is deleted")
NOT_ALL_REMOVED: Final = Reply(False, "Some deleted messages were not removed")  # RFC 1939 §6

UNKNOWN_COMMAND: Final = Reply(False, "Unknown command")
NOT_SUPPORTED: Final = Reply(False, "Not supported")
NOT_NOW: Final = Reply(False, "Not in this state")
LOGIN_FIRST: Final = Reply(False, "Log in first")
USER_FIRST: Final = Reply(False, "Say USER first")
LOGGED_IN_ALREADY: Final = Reply(False, "You are logged in")
SYNTAX: Final = Reply(False, "Syntax error in arguments")
BAD_LINE: Final = Reply(False, "The line holds characters that no command may hold")
LINE_TOO_LONG: Final = Reply(False, "Line too long")
BARE_LINE_END: Final = Reply(False, "A line ends with CR LF, and neither stands alone")
TOO_MANY_ERRORS: Final = Reply(False, "Too many errors")
TOO_MANY_CONNECTIONS: Final = Reply(False, "Too many connections", "SYS/TEMP")
NOT_A_WEB_SERVER: Final = Reply(False, "This is a mail server")
SHUTTING_DOWN: Final = Reply(False, "Shutting down", "SYS/TEMP")
