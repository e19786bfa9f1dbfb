"""What a server listed in its last EHLO reply (RFC 5321 §4.1.1.1), and nothing from any EHLO before it."""

from __future__ import annotations

import functools
import re
from typing import Final, final

from gatepost.wire.smtp.reply import Reply

# RFC 5321 §4.1.1.1: ehlo-line = ehlo-keyword *( SP ehlo-param )
EHLO_LINE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?: (.*))?")


@final
class Capabilities:
    """The extensions of one EHLO reply. Immutable by convention; a new EHLO makes a new object.

    :param reply: the reply to EHLO or LHLO; the reply to HELO lists nothing.
    :param extended: whether EHLO (LHLO) was understood.
    """

    __slots__ = (
        "auth",
        "chunking",
        "dsn",
        "eightbitmime",
        "enhanced",
        "extended",
        "keywords",
        "limits",
        "pipelining",
        "requiretls",
        "server_name",
        "size",
        "size_offered",
        "smtputf8",
        "starttls",
    )

    def __init__(self, reply: Reply, *, extended: bool = True) -> None:
        lines = (reply.text,) if isinstance(reply.text, str) else reply.text
        self.extended: Final = extended
        self.server_name: Final = lines[0].split(" ", 1)[0] if lines else ""
        self.keywords: Final[dict[str, str]] = {}
        for line in lines[1:] if extended else ():
            if found := EHLO_LINE.fullmatch(line.rstrip(" ")):
                self.keywords.setdefault(found[1].upper(), found[2] or "")
        keywords = self.keywords
        self.starttls: Final = "STARTTLS" in keywords
        self.pipelining: Final = "PIPELINING" in keywords
        self.eightbitmime: Final = "8BITMIME" in keywords
        self.smtputf8: Final = "SMTPUTF8" in keywords
        self.dsn: Final = "DSN" in keywords
        self.chunking: Final = "CHUNKING" in keywords
        self.enhanced: Final = "ENHANCEDSTATUSCODES" in keywords
        self.requiretls: Final = "REQUIRETLS" in keywords
        self.size_offered: Final = "SIZE" in keywords
        self.size: Final = _size(keywords.get("SIZE", ""))
        self.auth: Final = tuple(keywords.get("AUTH", "").upper().split())
        self.limits: Final = _limits(keywords.get("LIMITS", ""))

    def __repr__(self) -> str:
        return f"Capabilities({self.server_name!r}, {' '.join(self.keywords)!r})"


@functools.lru_cache(64)
def listed(reply: Reply, *, extended: bool = True) -> Capabilities:
    """What a reply lists. A server says the same to every client, so it is read once."""
    return Capabilities(reply, extended=extended)


def _size(value: str) -> int | None:
    """RFC 1870 §4: the largest message taken; None when no number is given or it is 0 (no fixed limit)."""
    return (int(value) or None) if value.isascii() and value.isdigit() and len(value) <= 20 else None


def _limits(value: str) -> dict[str, int]:
    """RFC 9422: ``RCPTMAX=100 MAILMAX=…``; what is not a positive number is left out."""
    found: dict[str, int] = {}
    for item in value.split():
        name, _, number = item.partition("=")
        if number.isascii() and number.isdigit() and len(number) <= 9 and int(number):
            found[name.upper()] = int(number)
    return found
