"""What stands in place of content that was not recorded: as much of it, and it says what it is."""

from __future__ import annotations

import re
from typing import Final

_ADDRESS: Final = re.compile(
    rb"MAIL FROM:<([A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255})>", re.IGNORECASE
)
_NOBODY: Final = b"replay@localhost.invalid"
_HEADER: Final = (
    b"From: %s\r\nSubject: gatepost record replay\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
    b"Message-ID: <replay@localhost.invalid>\r\n"
)
_LINE: Final = b"This stands in place of content that was not recorded. ".ljust(76, b"-") + b"\r\n"


def sender_of(command: bytes) -> bytes:
    """The address in a MAIL command, where it can stand in a header as it is; else somebody who does not exist."""
    found = _ADDRESS.match(command)
    return found[1] if found is not None else _NOBODY


def substitute(octets: int, *, sender: bytes = _NOBODY, headers: bytes | None = None) -> bytes:
    """A message of exactly so many octets: lines of ASCII behind the header, none of them begins with a dot.

    Where there is room for a header it has one, and it ends with a line end.

    :param sender: the address in the header.
    :param headers: the header that was recorded, if it was, with the line end of its last line.
    """
    header = (_HEADER % sender if headers is None else headers) + b"\r\n"
    left = octets - len(header)
    if left < 0 or left == 1:
        header, left = b"", octets
    return header + _filled(left)


def _filled(octets: int) -> bytes:
    lines, rest = divmod(octets, len(_LINE))
    if rest == 1 and lines:  # a line end needs two
        lines, rest = lines - 1, rest + len(_LINE)
    return _LINE * lines + (b"-" * (rest - 2) + b"\r\n" if rest >= 2 else b"-" * rest)
