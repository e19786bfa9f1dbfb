"""What one half of a recipe hears: lines, or octets by the count, with a limit on everything that can grow.

Nothing is looked at before it is asked for: what was read and not asked for is the *residue*, and it goes through the
one door of ``wire.upgrade`` and nowhere else.
"""

from __future__ import annotations

from typing import Final, final

from gatepost.wire.dialogue import Dialogue, Send, receive
from gatepost.wire.framing import LineFault, LineFramer
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords

LINE_LIMIT: Final = 2048  # octets of one line
LINES_LIMIT: Final = 256  # of the whole dialogue
OCTETS_LIMIT: Final = 65536  # of the whole dialogue


@final
class Conversation:
    """The read side of a dialogue before TLS.

    :param seconds: how long to wait for each step.
    :param line_limit: the longest line, in octets without its CRLF.
    """

    __slots__ = ("_framer", "_lines", "_octets", "_seconds")

    def __init__(self, seconds: float, *, line_limit: int = LINE_LIMIT) -> None:
        self._framer: Final = LineFramer(line_limit)
        self._seconds: Final = seconds
        self._lines = 0
        self._octets = 0

    def line(self, step: str) -> Dialogue[bytes]:
        """The next line, without its CRLF.

        :param step: what is waited for; all that is waited for under one name shares one deadline.
        :raises UnexpectedWords: for a line that is too long or holds a CR or LF by itself, and beyond the limits.
        :raises PeerLeft: at the end of the stream; half a line is none.
        """
        while (line := self.read_line(step)) is None:
            yield from self._more(step)
        return line

    def read_line(self, step: str) -> bytes | None:
        """The next line that was read already, or None. Raises what ``line`` raises."""
        line = self._framer.next_line()
        if line is None:
            return None
        if isinstance(line, LineFault):
            raise UnexpectedWords(f"{line.value} in the {step}", self._framer.offender)
        self._lines += 1
        self._count(len(line) + 2, step)
        if self._lines > LINES_LIMIT:
            raise UnexpectedWords(f"more than {LINES_LIMIT} lines before the upgrade")
        return line

    def octets(self, count: int, step: str) -> Dialogue[bytes]:
        """Exactly ``count`` octets, whatever they are. The caller knows a bound for ``count``."""
        self._count(count, step)
        found = self._framer.take(count)
        while len(found) < count:
            yield from self._more(step)
            found += self._framer.take(count - len(found))
        return found

    def ask(self, words: bytes) -> Dialogue[None]:
        """Say something that will be answered.

        :raises UnexpectedWords: when the answer is there before the question.
        """
        if len(self._framer):
            raise UnexpectedWords("the peer spoke before it was asked", self._framer.take())
        yield Send(words)

    def residue(self) -> bytes:
        """Everything that was read and not asked for, at the end of the conversation."""
        return self._framer.take()

    def _count(self, octets: int, step: str) -> None:
        self._octets += octets
        if self._octets > OCTETS_LIMIT:
            raise UnexpectedWords(f"more than {OCTETS_LIMIT} octets before the end of the {step}")

    def _more(self, step: str) -> Dialogue[None]:
        data = yield from receive(self._seconds, step)
        if not data:
            raise PeerLeft(f"the peer closed the connection before the {step} was complete")
        self._framer.receive(data)
