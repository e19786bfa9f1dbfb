"""What all IMAP engines have in common: one client, read and answered, no I/O.

A session does, for each input::

    engine.receive(data)
    while (event := engine.next_event()) is not None:
        ...
    channel.send(engine.outgoing())
"""

from __future__ import annotations

from typing import Final

from gatepost.errors import LocalProtocolError
from gatepost.wire.imap.commands import CommandReader
from gatepost.wire.imap.events import (
    ArgumentLine,
    ClientPiece,
    CommandLine,
    Ended,
    Event,
    Fault,
    LiteralData,
    Malformed,
)
from gatepost.wire.imap.grammar import Literal
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.states import State, Trigger
from gatepost.wire.imap.witnessing import Witnessing
from gatepost.wire.machine import Table
from gatepost.wire.smtp.extensions import WEB_WORDS
from gatepost.wire.upgrade import Origin
from gatepost.wire.witness import Witness

PRIVACY_REQUIRED: Final = b"%b NO [PRIVACYREQUIRED] Logins wait for TLS: STARTTLS\r\n"  # RFC 5530 §3
_SHOWN: Final = 128  # octets of an offending line that a Fault carries


class Engine:
    """The common part. Not used alone: see ``server`` and ``relay``."""

    __slots__ = (
        "_discarded", "_eof", "_errors", "_events", "_outgoing", "_reader", "_refusal", "_table", "origin", "profile",
        "state",
    )  # fmt: skip

    def __init__(self, origin: Origin, profile: Profile, table: Table[State, Trigger]) -> None:
        self.origin: Final = origin
        self.profile: Final = profile
        self.state: State = table.initial
        self._table: Final = table
        self._reader: Final = CommandReader(profile.early_line_limit)
        self._outgoing: list[bytes] = []
        self._events: list[Event] = []
        self._refusal: bytes | None = None  # the answer to the command whose rest is being dropped
        self._discarded = 0  # octets of its literals
        self._errors = 0
        self._eof = False

    # -- bytes in, events out, replies out

    def receive(self, data: bytes) -> None:
        """Take what the client sent. After the end it is dropped.

        :raises LocalProtocolError: when the engine is spent: what comes then belongs to the TLS engine.
        """
        if self.state is State.UPGRADED:
            raise LocalProtocolError("this engine is spent: bytes behind the upgrade belong to TLS")
        if self.state is not State.ENDED:
            self._reader.receive(data)

    def receive_eof(self) -> None:
        """The client will send no more. What it sent is still served."""
        self._eof = True

    def next_event(self) -> Event | None:
        """The next event, or None: more bytes are needed, or somebody's answer."""
        while not self._events:
            if not self._advance():
                return None
        return self._events.pop(0)

    def outgoing(self) -> bytes:
        """Take all octets that are queued for the client."""
        if self._reader.witnessing is not None:
            self._reader.witnessing.says(self._outgoing)
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def watch(self, witness: Witness) -> None:
        """Show a witness what is read and said from here on."""
        self._reader.witnessing = Witnessing(witness)

    @property
    def backlog(self) -> int:
        """Octets of the client that were received and not yet read: beyond some bound, stop reading from it."""
        return self._reader.backlog

    @property
    def over(self) -> bool:
        """Whether nothing is read or said any more."""
        return self._table.terminal(self.state)

    def shutdown(self, text: str, code: str = "UNAVAILABLE") -> None:
        """Say goodbye, where nothing is half said, and end.

        :param text: why, printable ASCII.
        :param code: the response code (RFC 5530).
        """
        if not self.over:
            self._end(b"* BYE [%b] %b\r\n" % (code.encode("ascii"), text.encode("ascii", "replace")), "shutdown")

    # -- what engines say

    def _advance(self) -> bool:
        """Read one thing and act on it; whether there was anything to read."""
        raise NotImplementedError

    def _say(self, line: bytes) -> None:
        """Say something of our own."""
        self._outgoing.append(line)

    def _move(self, trigger: Trigger) -> bool:
        """Follow an edge, where there is one; whether there was."""
        target = self._table.next(self.state, trigger)
        if target is None:
            return False
        self.state = target
        return True

    def _end(self, farewell: bytes, reason: str) -> None:
        """Go to the end, from wherever we are. What stands behind is never read."""
        self._say(farewell)
        self._reader.take()
        self._refusal = None
        self._move(Trigger.CLOSE)
        self._events.append(Ended(reason))

    # -- commands that are answered here

    def _answer(self, command: CommandLine, answer: bytes, fault: str = "") -> None:
        """Answer a command ourselves, at its end, wherever that is (RFC 9051 §4.3, RFC 7888 §4).

        A literal that waits to be asked for is answered at once, and never sent; one that does not is dropped.

        :param fault: what was wrong about it, in stable words.
        """
        if fault:
            hidden = command.hidden
            shown = command.octets[:-2] if hidden is None else (command.octets[:hidden] + b" ***").lstrip()
            self._events.append(Fault(fault, shown[:_SHOWN]))
            self._errors += 1
            if self._errors > self.profile.max_errors:
                self._end(b"* BYE Too many errors\r\n", "too many errors")
                return
        self._discarded = 0
        self._refuse_rest(command.literal, answer)

    def _refuse_rest(self, literal: Literal | None, answer: bytes) -> None:
        self._refusal = None
        if literal is not None and not literal.sync:
            self._refusal = answer
            return
        self._reader.replied(self._reader.tag)  # nothing more of it is due
        self._say(answer)

    def _discard(self, piece: ClientPiece) -> None:
        """Drop the rest of a command that is answered here."""
        assert self._refusal is not None
        if isinstance(piece, LiteralData):
            self._discarded += len(piece.octets)
            if self._discarded > self.profile.early_literal_limit:
                self._end(b"* BYE [TOOBIG] That literal is too long\r\n", "literal too long")
        else:
            assert isinstance(piece, ArgumentLine)  # a command that was refused is asked for no answer
            self._refuse_rest(piece.literal, self._refusal)

    def _malformed(self, piece: Malformed) -> None:
        """Nothing behind it can be told apart: answer, and end (RFC 7888 §4 asks for no less)."""
        self._events.append(Fault(piece.reason, piece.line))
        self._errors += 1
        self._say(b"%b BAD %b\r\n" % (piece.tag, piece.reason.encode("ascii")))
        reason = "web request" if piece.tag.decode("latin-1").upper() in WEB_WORDS else piece.reason
        self._end(b"* BYE Closing: what follows cannot be told apart\r\n", reason)

    def _no_command(self, command: CommandLine) -> None:
        """A line that is no command."""
        first = command.octets.partition(b" ")[0].strip().upper()
        if first.decode("latin-1") in WEB_WORDS:
            self._events.append(Fault("web request", first))
            self._end(b"* BYE This is no web server\r\n", "web request")
            return
        self._answer(command, b"%b BAD That is no command\r\n" % command.tag, "no command")
