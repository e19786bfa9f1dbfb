"""The client's stream: octets in, commands out, cut exactly where a server cuts them.

Theory
------
What a client's next octets are can depend on the server: behind ``{n}`` they are a literal if the server says ``+``,
and a command if it refuses; behind AUTHENTICATE they are a response or a command; behind IDLE, ``DONE`` or a command.
A reader that guesses can be made to take a command for content, and content for a command. This one never guesses:
where the server decides, it reads nothing until it was told what the server said (``go_ahead``, ``replied``).

Invariants
----------
* The octets of all events, in order, are the octets that were received. Nothing is changed, nothing left out.
* The events are the same however the stream is cut, but for the pieces of a literal.
* Only CRLF ends a line. What cannot be told apart (a bare CR or LF or a NUL in a line, a line that is too long, what
  looks like a literal's announcement and is none) ends the reading.
* At most one line is held; literals pass in the pieces in which they come, whatever their size.
"""

from __future__ import annotations

from typing import Final, final

from gatepost.wire.framing import LineFault, LineFramer
from gatepost.wire.imap.events import AnswerLine, ArgumentLine, ClientPiece, CommandLine, LiteralData, Malformed
from gatepost.wire.imap.grammar import COMMAND, Literal, NotALiteral, announced, known_mechanism, tag_of
from gatepost.wire.imap.states import READING, Reading, Step
from gatepost.wire.imap.witnessing import KNOWN, Witnessing

_CONVERSES: Final = frozenset({"AUTHENTICATE", "IDLE"})
_SECRET: Final = frozenset({"LOGIN", "AUTHENTICATE"})
_SHOWN: Final = 128  # octets of an offending line that are told
_MASK: Final = b" ***"


@final
class CommandReader:
    """Reads one client.

    :param line_limit: the longest line taken, in octets without its CRLF.
    """

    __slots__ = ("_answered", "_framer", "_left", "reading", "tag", "verb", "witnessing")

    def __init__(self, line_limit: int) -> None:
        self._framer: Final = LineFramer(line_limit)
        self._left = 0  # octets of the literal that have not come
        self._answered = False  # the server completed the command before it had all of it
        self.reading = READING.initial
        self.tag = b"*"
        """Of the command that is being read, or was read last."""
        self.verb = ""
        self.witnessing: Witnessing | None = None
        """Shown what the client says, where a transcript is kept."""

    def take_lines_of(self, octets: int) -> None:
        """Take lines of this length from now on."""
        self._framer.limit = octets

    @property
    def backlog(self) -> int:
        """Octets that were received and not read yet."""
        return len(self._framer)

    @property
    def between(self) -> bool:
        """Whether what comes next begins a command."""
        return self.reading is Reading.COMMAND

    def receive(self, data: bytes) -> None:
        """Take what was read."""
        self._framer.receive(data)

    def take(self) -> bytes:
        """Take what was received and not read, at the end of this reader's life."""
        return self._framer.take()

    # What the server said

    def go_ahead(self) -> None:
        """The server said ``+``; where nobody waited for it nothing changes."""
        self._move(Step.GO_AHEAD)
        if self.reading is Reading.LITERAL and not self._left:
            self._move(Step.LITERAL_ENDS)  # {0}

    def replied(self, tag: bytes) -> None:
        """The server completed a command. If it is the one that is being read, its rest is not waited for."""
        if self.reading is not Reading.COMMAND and tag == self.tag:
            self._answered = True
            self._move(Step.REPLY)

    # Reading

    def next(self) -> ClientPiece | None:
        """The next event, or None: more octets are needed, or the server's word."""
        piece = self._next()
        if piece is not None and self.witnessing is not None:
            self.witnessing.took(piece)
        return piece

    def _next(self) -> ClientPiece | None:
        reading = self.reading
        if reading is Reading.LITERAL:
            return self._literal()
        if reading is Reading.ASKED or reading is Reading.PAUSED or reading is Reading.BROKEN:
            return None
        line = self._framer.next_line()
        if line is None:
            return None
        if isinstance(line, LineFault):
            return self._malformed(line.value, self._framer.offender)
        if b"\0" in line:  # RFC 9051 §9: CHAR is %x01-7f, and NUL stands in a literal8 alone
            return self._malformed("NUL in a line", line)
        if reading is Reading.COMMAND:
            return self._command(line)
        return self._argument(line) if reading is Reading.ARGUMENTS else self._answer(line)

    def _command(self, line: bytes) -> ClientPiece:
        self._answered = False
        found = COMMAND.fullmatch(line)
        self.tag = tag_of(line) if found is None else found[1]
        self.verb = verb = "" if found is None else found[2].decode("ascii").upper()
        octets = line + b"\r\n"
        try:
            literal = announced(line)
        except NotALiteral:
            return self._malformed("no literal can stand there", line)
        self._follow(literal)
        arguments = b"" if found is None else found[3] or b""
        return CommandLine(octets, self.tag, verb, arguments, literal, self._hidden_from(octets))

    def _argument(self, line: bytes) -> ClientPiece:
        try:
            literal = announced(line)
        except NotALiteral:
            return self._malformed("no literal can stand there", line)
        if literal is not None and self._answered:  # the server has closed this command, and reads the next one
            return self._malformed("a literal behind the end of its command", line)
        self._follow(literal)
        return ArgumentLine(line + b"\r\n", literal, self._hidden)

    def _answer(self, line: bytes) -> ClientPiece:
        """RFC 9051 §6.2.2: the response of an exchange; §6.3.13: DONE, and nothing else."""
        done = self.verb == "IDLE" and line.upper() == b"DONE"
        self._move(Step.DONE if done else Step.ANSWERED)
        return AnswerLine(line + b"\r\n", self.verb, self._hidden)

    def _literal(self) -> ClientPiece | None:
        piece = self._framer.take(self._left)
        if not piece:
            return None
        self._left -= len(piece)
        if not self._left:
            self._move(Step.LITERAL_ENDS)
        return LiteralData(piece, self._hidden)

    def _follow(self, literal: Literal | None) -> None:
        """Go on to what a line announces."""
        if literal is None:
            waits = self.verb in _CONVERSES and not self._answered
            self._move(Step.CONVERSES if waits else Step.LINE)
            return
        self._left = literal.size
        self._move(Step.SYNC if literal.sync else Step.NON_SYNC)
        if not literal.sync and not literal.size:
            self._move(Step.LITERAL_ENDS)

    def _move(self, step: Step) -> None:
        """Follow an edge, where there is one."""
        self.reading = READING.next(self.reading, step) or self.reading

    # Secrets

    @property
    def _hidden(self) -> int | None:
        # A line that is no command may be a password that came too early, or too late, or LOGIN mistyped.
        return None if self.verb in KNOWN else 0

    def _hidden_from(self, octets: bytes) -> int | None:
        """From which octet of a first line on nothing may be shown."""
        if self.verb in _SECRET:
            behind = len(self.tag) + 1 + len(self.verb)
            name = known_mechanism(octets[behind + 1 :].rstrip(b"\r\n")) if self.verb == "AUTHENTICATE" else ""
            return behind + (1 + len(name) if name else 0)
        return self._hidden

    def _malformed(self, reason: str, line: bytes) -> Malformed:
        """Read nothing any more."""
        at_first = self.reading is Reading.COMMAND
        if at_first:
            found = COMMAND.match(line)
            self.tag = tag_of(line) if found is None else found[1]
            self.verb = "" if found is None else found[2].decode("ascii").upper()
        hidden = self._hidden_from(line) if at_first else self._hidden
        shown = line[:_SHOWN] if hidden is None else (line[:hidden][:_SHOWN] + _MASK).lstrip()
        self.reading = Reading.BROKEN
        self._framer.take()
        return Malformed(reason, self.tag, shown)
