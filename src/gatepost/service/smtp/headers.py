"""A message's header section: held back until it is whole, and what we must know of it.

Only a hop count and, on submission, the presence of a few fields are looked at (RFC 5321 §6.3, RFC 6409 §8). The
content itself passes unchanged.
"""

from __future__ import annotations

import re
from email.errors import MessageError
from email.utils import getaddresses
from typing import Final

HEADER_LIMIT: Final = 1 << 18  # octets of header that are held back; a longer one passes unexamined after this much
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")  # RFC 5322 §2.2: a field name is printable ASCII but the colon
_BLANKS_BEFORE_COLON: Final = re.compile(rb"(\r\n[!-9;-~]++)[ \t]++:")


class HeaderGate:
    """Collects content until the header section has ended.

    ``feed`` returns None while it has not, and then everything that was collected; after that it is not used again.
    """

    __slots__ = ("_held", "overlong")

    def __init__(self) -> None:
        self._held = bytearray()
        self.overlong = False
        """Whether the limit was passed before the header section ended."""

    def feed(self, data: bytes) -> bytes | None:
        """Take content; return all of it once the blank line has come, or the limit is passed."""
        held = self._held
        if not held and (b"\r\n\r\n" in data or data.startswith(b"\r\n")):
            return data
        searched = max(0, len(held) - 3)
        held += data
        if held.find(b"\r\n\r\n", searched) < 0 and not held.startswith(b"\r\n"):
            self.overlong = len(held) > HEADER_LIMIT
            if not self.overlong:
                return None
        return bytes(held)

    def finish(self) -> bytes:
        """What was held back of a message that is all header, or that has none."""
        return bytes(self._held)


class Header:
    """The header section of a message, for looking up what it has.

    :param content: content from its first octet to at least the end of its header section.
    """

    __slots__ = ("_low", "_text")

    def __init__(self, content: bytes) -> None:
        end = 0 if content.startswith(b"\r\n") else content.find(b"\r\n\r\n")
        section = content if end < 0 else content[: end + 2]
        if not _FIELD.match(section):
            section = b""  # the content begins with its body
        # Readers take blanks before a colon (RFC 5322 §4.5.2, obsolete syntax), so here they are none.
        text = b"\r\n" + section
        if b" :" in section or b"\t:" in section:
            text = _BLANKS_BEFORE_COLON.sub(rb"\1:", text)
        self._text = text
        self._low = self._text.lower()

    @property
    def missing(self) -> bool:
        """Whether the message has no header section at all."""
        return len(self._text) == 2

    def count(self, name: bytes) -> int:
        """How many fields are called ``name`` (lower case)."""
        return self._low.count(b"\r\n" + name + b":")

    def has(self, name: bytes) -> bool:
        """Whether there is a field called ``name`` (lower case)."""
        return b"\r\n" + name + b":" in self._low

    def values(self, name: bytes) -> list[str]:
        """The unfolded values of every field called ``name`` (lower case)."""
        found, at, key = [], 0, b"\r\n" + name + b":"
        while (at := self._low.find(key, at)) >= 0:
            begin = at + len(key)
            end = begin
            while True:
                end = self._text.find(b"\r\n", end)
                if end < 0:
                    end = len(self._text)
                    break
                if self._text[end + 2 : end + 3] not in (b" ", b"\t"):
                    break
                end += 2
            value = self._text[begin:end].replace(b"\r\n", b"")
            found.append(value.decode("utf-8", "surrogateescape").strip())
            at = end
        return found

    def addresses(self, name: bytes) -> list[str] | None:
        """The addresses in every field called ``name``; None when they cannot be read beyond doubt."""
        found: list[str] = []
        for value in self.values(name):
            try:
                addresses = [address for _, address in getaddresses([value])]
            except (MessageError, ValueError, UnicodeError, RecursionError):  # the last for comments in comments
                return None
            if not addresses or not all("@" in address for address in addresses):
                return None
            found.extend(addresses)
        return found
