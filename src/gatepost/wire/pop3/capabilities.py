"""What a server listed in its answer to CAPA (RFC 2449 §5), and nothing from any list before it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final


@final
class Capabilities:
    """The capabilities of one answer to CAPA. Immutable by convention; a new CAPA makes a new object.

    :param lines: the lines of the answer; none when CAPA was refused.
    :param known: whether CAPA was understood.
    """

    __slots__ = ("known", "pipelining", "sasl", "stls", "tags", "top", "uidl", "user", "utf8")

    def __init__(self, lines: Iterable[str], *, known: bool = True) -> None:
        self.known: Final = known
        self.tags: Final[dict[str, tuple[str, ...]]] = {}
        """Each tag in upper case with its parameters; the first of its kind counts."""
        for line in lines:
            words = line.split()
            if words:
                self.tags.setdefault(words[0].upper(), tuple(words[1:]))
        self.stls: Final = "STLS" in self.tags
        self.user: Final = "USER" in self.tags
        self.sasl: Final = tuple(name.upper() for name in self.tags.get("SASL", ()))
        self.top: Final = "TOP" in self.tags
        self.uidl: Final = "UIDL" in self.tags
        self.pipelining: Final = "PIPELINING" in self.tags
        self.utf8: Final = "UTF8" in self.tags

    def __repr__(self) -> str:
        return f"Capabilities({' '.join(self.tags)!r})"
