"""What a server answers, in SMTP, POP3 and IMAP: as much as is needed to compare two answers.

The same readers read what was recorded and what a server says now. They are no parsers for acting on: a status, the
lines, and the set of capabilities where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, final

LINES_KEPT: Final = 100
_MULTILINE: Final = frozenset({b"CAPA", b"RETR", b"TOP"})  # RFC 1939, RFC 2449: with +OK, always
_LISTING: Final = frozenset({b"LIST", b"UIDL", b"AUTH"})  # without an argument
_MECHANISMS: Final = frozenset({"AUTH", "SASL"})
_LITERAL: Final = re.compile(rb"\{(\d{1,10})\+?\}\r?\n?\Z")  # RFC 9051 §4.3, RFC 7888
_CODED: Final = re.compile(rb"\[CAPABILITY ([^\]]*)\]", re.IGNORECASE)


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    :param status: a reply code, ``+OK``, ``-ERR``, ``OK``, ``NO``, ``BAD``, ``BYE``, ``PREAUTH``, or ``+`` when the
        server waits for more.
    :param lines: the first of its lines, and the last one, without their ends.
    :param capabilities: what the server said it can do, each in capitals; None where it said nothing of that kind.
    """

    status: str
    lines: tuple[bytes, ...] = ()
    capabilities: frozenset[str] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the server waits for what belongs to the same command."""
        return self.status in ("+", "334", "354")

    @property
    def refused(self) -> bool:
        """Whether it says no."""
        return self.status[:1] in ("4", "5") or self.status in ("-ERR", "NO", "BAD", "BYE")


class AnswerReader(Protocol):
    """Takes the lines of one answer, with or without their ends."""

    literal: int
    """Octets that come next and are no line."""

    def feed(self, line: bytes) -> Answer | None:
        """Take one line; the answer when it is complete."""
        ...

    def content(self) -> Answer | None:
        """Content came that is not looked at; the answer when it is complete with that."""
        ...


Reading = Callable[[bytes], AnswerReader]
"""Given the command, or nothing for the greeting, what reads its answer."""


class _Kept:
    """The first lines of an answer."""

    def __init__(self, command: bytes) -> None:
        self._command: Final = command.strip()
        words = self._command.upper().split(None, 2)
        self._verb: Final = words[0] if words else b""
        self._words: Final = words
        self._lines: list[bytes] = []
        self.literal = 0

    def _keep(self, line: bytes) -> bytes:
        text = line.rstrip(b"\r\n")
        if len(self._lines) == LINES_KEPT:
            self._lines.pop()  # the last one is always among those that are kept
        self._lines.append(text)
        return text


@final
class SMTPAnswer(_Kept):
    """A reply (RFC 5321 §4.2)."""

    def feed(self, line: bytes) -> Answer | None:
        text = self._keep(line)
        if text[3:4] == b"-":
            return None
        can = None
        if self._verb in (b"EHLO", b"LHLO") and text.startswith(b"250"):
            can = _capabilities(each[4:] for each in self._lines[1:])
        return Answer(_word(text[:3]), tuple(self._lines), can)

    def content(self) -> Answer | None:
        return None


@final
class POP3Answer(_Kept):
    """A response (RFC 1939 §3)."""

    def __init__(self, command: bytes) -> None:
        super().__init__(command)
        self._status = ""
        self._content_came = False

    def feed(self, line: bytes) -> Answer | None:
        text = self._keep(line)
        if self._status:
            return self._whole() if text == b"." else None
        self._status = _word(text.split(b" ", 1)[0])
        lists = self._verb in _MULTILINE or (self._verb in _LISTING and len(self._words) == 1)
        return None if lists and self._status == "+OK" and not self._content_came else self._whole()

    def content(self) -> Answer | None:
        self._content_came = True  # in a record it may stand before the line that announces it
        return self._whole() if self._status else None

    def _whole(self) -> Answer:
        can = None
        if self._verb == b"CAPA" and self._status == "+OK":
            can = _capabilities(each for each in self._lines[1:] if each != b".")
        return Answer(self._status, tuple(self._lines), can)


@final
class IMAPAnswer(_Kept):
    """Responses up to the one with the tag of the command, or to a request to go on (RFC 9051 §7)."""

    def feed(self, line: bytes) -> Answer | None:
        text = self._keep(line)
        found = _LITERAL.search(line)
        self.literal = int(found[1]) if found is not None else 0
        words = text.split(b" ", 2)
        if self._words and words[0].upper() == self._verb and len(words) > 1:
            return self._whole(words[1])
        if text.startswith(b"+"):
            return self._whole(b"+")
        if not self._words and words[0] == b"*" and len(words) > 1:
            return self._whole(words[1])
        return None

    def content(self) -> Answer | None:
        return None

    def _whole(self, status: bytes) -> Answer:
        said = [each[len(b"* CAPABILITY ") :] for each in self._lines if each.upper().startswith(b"* CAPABILITY ")]
        said += [found[1] for each in self._lines if (found := _CODED.search(each)) is not None]
        can = frozenset(_word(word) for each in said for word in each.split())
        return Answer(_word(status), tuple(self._lines), can or None)


READERS: Final[Mapping[str, Reading]] = {
    "smtp": SMTPAnswer, "submission": SMTPAnswer, "pop3": POP3Answer, "imap": IMAPAnswer,
}  # fmt: skip


def differences(recorded: Answer, now: Answer, *, exact: bool) -> tuple[str, ...]:
    """In what two answers differ, in words.

    :param exact: whether other texts are a difference too.
    """
    found = []
    if recorded.status != now.status:
        found.append(f"{now.status} where it was {recorded.status}")
    elif exact and recorded.lines != now.lines:
        found.append("another text")
    if recorded.capabilities is not None and now.capabilities is not None:
        for word, some in (
            ("not offered", recorded.capabilities - now.capabilities),
            ("offered besides", now.capabilities - recorded.capabilities),
        ):
            if some:
                found.append(f"{word}: {', '.join(sorted(some))}")
    return tuple(found)


def _capabilities(lines: Iterable[bytes]) -> frozenset[str]:
    """Each with its parameters in one order; of what lists mechanisms each mechanism by itself."""
    found: set[str] = set()
    for line in lines:
        name, *parameters = _word(line).split() or [""]
        if name in _MECHANISMS and parameters:
            found.update(f"{name} {each}" for each in parameters)
        else:
            found.add(" ".join([name, *sorted(parameters)]))
    return frozenset(found)


def _word(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace").upper()
