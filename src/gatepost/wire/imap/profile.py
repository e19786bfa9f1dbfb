"""How one gate speaks IMAP: the settings of the engines, and the octets that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.imap.capabilities import in_the_clear

EARLY_LINE_LIMIT: Final = 16384  # before a login; room for the tickets and tokens of SASL mechanisms
EARLY_LITERAL_LIMIT: Final = 8192  # of all literals of a command before a login
LINE_LIMIT: Final = 65536  # RFC 7162 §4 asks for 8192; sets of message numbers grow
PENDING_LIMIT: Final = 256  # commands that the server has not completed


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The settings of the engines.

    :param hostname: our own name, in a greeting.
    :param capabilities: what the servers behind were found to have, for the conversation before TLS.
    :param early_line_limit: the longest line before a login, in octets without its CRLF.
    :param early_literal_limit: the most that the literals of a command may hold before a login.
    :param line_limit: the longest line behind it.
    :param max_errors: protocol errors that are answered; the answer to the next one is the last.
    :raises LocalProtocolError: for settings that cannot be.
    """

    hostname: str
    capabilities: tuple[bytes, ...] = ()
    early_line_limit: int = EARLY_LINE_LIMIT
    early_literal_limit: int = EARLY_LITERAL_LIMIT
    line_limit: int = LINE_LIMIT
    max_errors: int = 10
    plain_capabilities: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = self.hostname
        if not name or not name.isascii() or not name.isprintable() or " " in name or len(name) > 255:
            raise LocalProtocolError(f"{name!r} cannot stand in a greeting")
        if self.early_line_limit < 1000 or self.line_limit < self.early_line_limit or self.max_errors < 0:
            raise LocalProtocolError("a limit of the profile is too low to be of use")
        object.__setattr__(self, "plain_capabilities", b" ".join(in_the_clear(self.capabilities)))

    def greeting(self, capabilities: bytes) -> bytes:
        """A greeting in our own words (RFC 9051 §7.1.1)."""
        return b"* OK [CAPABILITY %b] %b IMAP ready\r\n" % (capabilities, self.hostname.encode("ascii"))
