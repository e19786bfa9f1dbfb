"""What both POP3 server engines have in common: bytes in, events out, replies out, no I/O.

A service does, for each input::

    engine.receive(data)
    while (event := engine.next_event()) is not None:
        ...                                    # answer the events that ask for an answer, now or later
    channel.send(engine.outgoing())

``next_event`` returns None when more bytes are needed, and while an event waits for its answer: nothing behind it is
parsed before. What is legal when is in the tables of ``wire.pop3.states``; what is not is answered here and reported as
``Fault``. A long answer is written piece by piece, and what is outgoing is taken between the pieces, at the pace at
which the peer reads::

    engine.begin_multiline("4096 octets")
    for piece in message:
        engine.multiline(piece)
        channel.send(engine.outgoing())        # and wait while the channel is full
    engine.end_multiline()
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeAlias

from gatepost.errors import LocalProtocolError
from gatepost.wire.framing import LineFault, LineFramer
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import AuthCancelled, Ended, Event, Fault, Quit
from gatepost.wire.pop3.grammar import CONTROLS
from gatepost.wire.pop3.multiline import ExactWriter, MultilineWriter
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.states import WORDS, Rulebook, State, Trigger
from gatepost.wire.smtp.extensions import WEB_WORDS
from gatepost.wire.upgrade import Origin
from gatepost.wire.witness import Witness, hidden_command, hidden_fault, shown_fault

# A handler's first argument is the engine that it belongs to.
Handler: TypeAlias = Callable[[Any, str], Event | None]

CHALLENGE: Final = b"+ "  # how nothing but a challenge begins (RFC 5034 §4)
_SHOWN: Final = 128  # octets of an offending line that a Fault carries
_SECRETS: Final = (b"PASS", b"AUTH", b"APOP")
_IN_THE_CLEAR: Final = "login in the clear"  # of the refusals of a table these alone have a response code
LINE_FAULTS: Final = {
    LineFault.TOO_LONG: reply.LINE_TOO_LONG,
    LineFault.BARE_CR: reply.BARE_LINE_END,
    LineFault.BARE_LF: reply.BARE_LINE_END,
}


class ServerEngine:
    """The common part. Not used alone: see ``PlainServer`` and ``SecureServer``."""

    __slots__ = (
        "_capabilities", "_eof", "_errors", "_events", "_framer", "_outgoing", "_pending", "_row", "_rules",
        "_secretive", "_several", "_told", "_writer", "allowance", "origin", "profile", "state", "witness",
    )  # fmt: skip

    def __init__(
        self, origin: Origin, profile: ServerProfile, rules: Rulebook, capabilities: bytes, line_limit: int
    ) -> None:
        self.origin: Final = origin
        self.profile: ServerProfile = profile
        self.state: State = rules.table.initial
        self._rules: Final = rules
        self._row = rules.table.edges[self.state]
        self._capabilities = capabilities
        self._framer: Final = LineFramer(line_limit)
        self._outgoing: list[bytes] = []
        self._events: list[Event] = []  # found together with another event, and due behind it
        self._pending: Trigger | None = None  # what waits for its answer
        self._several = False  # whether its positive answer has several lines
        self._writer: MultilineWriter | ExactWriter | None = None  # of the answer that is being written
        self._errors = 0
        self._eof = False
        self._secretive = False  # a login was tried: a line that is no command may be a credential
        self._told = 0  # how much of what is outgoing the witness knows
        self.allowance = sys.maxsize
        """Commands that are still read; at zero ``next_event`` gives None though there may be more. Set it before each
        turn, so that a peer who sends thousands at once leaves the others theirs; no bound unless it is set."""
        self.witness: Witness | None = None
        """Told what is heard and said, where a transcript is kept. Set it before anything is."""

    # -- bytes in, events out, replies out

    def greet(self) -> None:
        """Queue the greeting.

        :raises LocalProtocolError: when something was said already.
        """
        if Trigger.GREET not in self._row:
            raise LocalProtocolError("the time for a greeting has passed")
        self._outgoing.append(self.profile.greeting.octets)
        self._advance(Trigger.GREET)

    def receive(self, data: bytes) -> None:
        """Take what was read. After the end it is dropped.

        :raises LocalProtocolError: when the engine is spent: what comes then belongs to the TLS engine.
        """
        if self.state is State.UPGRADED:
            raise LocalProtocolError("this engine is spent: bytes behind the upgrade belong to TLS")
        if self.state is not State.ENDED:
            self._framer.receive(data)

    def receive_eof(self) -> None:
        """The peer will send no more. What it sent is still served, QUIT included; without QUIT nothing is deleted."""
        self._eof = True

    def next_event(self) -> Event | None:
        """The next event, or None: more bytes are needed, an event waits for its answer, or ``allowance`` is spent."""
        while not self._events:
            if self._pending is not None or not self.allowance:
                return None
            if self.state is State.WAITING or not self._row or (line := self._framer.next_line()) is None:
                if not self._eof or not self._row:
                    return None
                self._end(None, "connection lost")
                continue
            self.allowance -= 1
            if self.witness is not None:
                self._witness_line(self.witness, line)
            if (found := self._read_line(line)) is not None:
                return found
        return self._events.pop(0)

    def outgoing(self) -> bytes:
        """Take all octets that are queued."""
        queue = self._outgoing
        if not queue:
            return b""
        data = queue[0] if len(queue) == 1 else b"".join(queue)
        if self.witness is not None:
            self._tell(self.witness)
            self._told = 0
        queue.clear()
        return data

    @property
    def backlog(self) -> int:
        """Octets that were received and not yet read: beyond some bound, stop reading from the channel."""
        return len(self._framer)

    @property
    def waiting(self) -> bool:
        """Whether an event waits for its answer, or for the rest of it."""
        return self._pending is not None

    @property
    def writing(self) -> bool:
        """Whether an answer of several lines was begun and not ended."""
        return self._writer is not None

    # -- answers

    def answer(self, answer: Reply) -> None:
        """Answer the event that waits with one line.

        :raises LocalProtocolError: when nothing waits, or the event's positive answer is of another kind.
        """
        pending = self._pending
        if pending is None or self._writer is not None:
            raise LocalProtocolError("no event waits for an answer")
        if pending is Trigger.QUIT:
            self._end(answer, "quit")
            return
        if answer.positive and (self._several or pending in _OF_THEIR_OWN):
            raise LocalProtocolError(f"a positive answer to {pending.value} has a method of its own")
        self._pending = None
        self._several = False
        self._outgoing.append(answer.octets)
        if pending is Trigger.PASS or pending is Trigger.AUTH:
            self._advance(Trigger.LOGIN_ENDS)

    def begin_multiline(self, text: str = "", *, exact: bool = False) -> None:
        """Begin the answer of several lines that the waiting event asks for: RETR, TOP, LIST and UIDL without a number.

        :param text: what stands behind ``+OK``.
        :param exact: the pieces will be octets of the wire, as another server sent them: see ``ExactWriter``.
        :raises LocalProtocolError: when no such event waits.
        """
        if not self._several or self._writer is not None:
            raise LocalProtocolError("no event waits for an answer of several lines")
        self._outgoing.append(Reply(True, text).octets)
        self._writer = ExactWriter() if exact else MultilineWriter()

    def multiline(self, data: bytes) -> None:
        """Queue a piece of the answer, cut anywhere, its lines ended by LF or CRLF: see ``wire.pop3.multiline``.

        :raises LocalProtocolError: when no such answer was begun.
        """
        if self._writer is None:
            raise LocalProtocolError("no answer of several lines was begun")
        if data:
            self._pass_on(self._writer, self._writer.write(data))

    def end_multiline(self) -> int:
        """End the answer.

        :return: the octets of the content as a client counts them, stuffed dots and the end not included.
        :raises LocalProtocolError: when no such answer was begun.
        """
        writer = self._writer
        if writer is None:
            raise LocalProtocolError("no answer of several lines was begun")
        self._pass_on(writer, writer.finish())
        if self.witness is not None:
            self.witness.passed_all()
        self._writer = self._pending = None
        self._several = False
        return writer.octets

    def shutdown(self, farewell: Reply | None = None) -> None:
        """End, without deleting anything.

        :param farewell: what is said last, in place of the greeting or of an answer. None after a timeout, where
            RFC 1939 §3 wants the connection closed without a word. Inside an answer of several lines nothing is said:
            it stays without its end, so that nobody takes it for whole.
        :raises LocalProtocolError: for a positive one.
        """
        if farewell is not None and farewell.positive:
            raise LocalProtocolError("a farewell is no success")
        if self._row:
            self._end(farewell, "shutdown")

    # -- states

    def _advance(self, trigger: Trigger) -> None:
        state = self._row[trigger]
        if state is not self.state:
            self.state = state
            self._row = self._rules.table.edges[state]

    def _end(self, farewell: Reply | None, reason: str) -> None:
        """Go to the end, from wherever we are. What stands behind is never parsed."""
        if farewell is not None and self._writer is None:
            self._outgoing.append(farewell.octets)
        if self.state is State.AUTHENTICATING:
            self._events.append(AuthCancelled())
        if self.witness is not None and self._writer is not None:
            self.witness.passed_all(whole=False)
        self._pending = self._writer = None
        self._several = False
        self._framer.take()
        self._advance(Trigger.CLOSE)
        self._events.append(Ended(reason))

    # -- lines

    def _read_line(self, line: bytes | LineFault) -> Event | None:
        if isinstance(line, LineFault):
            return self._fault(LINE_FAULTS[line], line.value, self._framer.offender)
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return self._fault(reply.BAD_LINE, "octets that are no UTF-8", line)
        if not text.isprintable() and CONTROLS.search(text):
            return self._fault(reply.BAD_LINE, "control characters", line)
        word, _, argument = text.partition(" ")
        word = word.upper()
        verb = WORDS.get(word)
        if verb is None:
            return self._unknown(word, line)
        if verb is Trigger.PASS or verb is Trigger.AUTH or verb is Trigger.USER:
            self._secretive = True
        if verb is not Trigger.AUTH and len(line) > self.profile.line_limit:
            return self._fault(reply.LINE_TOO_LONG, LineFault.TOO_LONG.value, line)
        if verb not in self._row:
            refusal = self._rules.refusal(self.state, verb)
            return self._fault(refusal, _IN_THE_CLEAR if refusal.code else f"misplaced {verb.value}", line)
        if verb is not Trigger.PASS:  # a password may end with a space (RFC 1939 §7)
            argument = argument.strip(" ")
        return self._handlers[verb](self, argument)

    def _unknown(self, word: str, line: bytes) -> Event | None:
        if word in WEB_WORDS:
            self._events.append(Fault("web request", self._shown(line)))
            self._end(reply.NOT_A_WEB_SERVER, "web request")
            return None
        return self._fault(reply.UNKNOWN_COMMAND, "unknown command", line)

    def _fault(self, refusal: Reply, reason: str, line: bytes) -> Event | None:
        """Answer an error, count it, and report it; beyond the limit, end."""
        self._errors += 1
        self._events.append(Fault(reason, self._shown(line)))
        if self._errors > self.profile.max_errors:
            self._end(reply.TOO_MANY_ERRORS, "too many errors")
        else:
            self._outgoing.append(refusal.octets)
        return None

    def _witness_line(self, witness: Witness, line: bytes | LineFault) -> None:
        """Show a line before it is read, as far as it may be shown."""
        secretive = self._secretive or self._errors > 0  # what was misspelt before may have been PASS
        if self.state is State.AUTHENTICATING:
            witness.heard(b"" if isinstance(line, LineFault) else line, None if line == b"*" else 0)
        elif isinstance(line, LineFault):
            offender = self._framer.offender
            witness.heard(offender, hidden_fault(offender, words=WORDS, secretive=secretive))
        else:
            word = line.partition(b" ")[0].upper()
            known = word.decode("latin-1") in WORDS
            login = word.startswith(_SECRETS)
            witness.heard(line, hidden_command(line, known=known, login=login, secretive=secretive))

    def _pass_on(self, writer: MultilineWriter | ExactWriter, data: bytes) -> None:
        """Queue a piece of an answer of several lines; what a witness is shown of it has no doubled dots."""
        if self.witness is None:
            self._outgoing.append(data)
            return
        self._tell(self.witness)  # the lines before it, and its ``+OK`` among them
        if writer.written:
            self.witness.passed("server", writer.written, message=self._pending in _MESSAGES)
        self._outgoing.append(data)
        self._told = len(self._outgoing)

    def _tell(self, witness: Witness) -> None:
        """Tell it the lines that are outgoing and that it does not know yet."""
        if said := self._outgoing[self._told :]:
            witness.said(b"".join(said), CHALLENGE)

    def _shown(self, line: bytes) -> bytes:
        """As much of a line as a ``Fault`` may carry: no credentials, and no long text."""
        word = line.lstrip().partition(b" ")[0].upper()
        if word.startswith(_SECRETS):
            return word[:4] + b" ***"
        if word.decode("latin-1") in WEB_WORDS:
            return line[:_SHOWN]
        secretive = self._secretive or self._errors > 1  # what was misspelt before may have been PASS
        return shown_fault(line, words=WORDS, secretive=secretive, limit=_SHOWN)

    def _bare(self, argument: str, verb: Trigger, event: Event) -> Event | None:
        """A command that takes no argument and asks for an answer."""
        if argument:
            return self._malformed(verb, argument)
        self._pending = verb
        return event

    def _malformed(self, verb: Trigger, argument: str) -> Event | None:
        return self._fault(reply.SYNTAX, f"malformed {verb.value}", f"{verb.value} {argument}".rstrip().encode())

    # -- the commands that are legal in the clear and inside TLS

    def _capa(self, argument: str) -> Event | None:
        if argument:
            return self._malformed(Trigger.CAPA, argument)
        self._outgoing.append(self._capabilities)
        self._advance(Trigger.CAPA)
        return None

    def _quit(self, _argument: str) -> Event | None:
        """Behind QUIT nothing is parsed, pipelined or not."""
        self._framer.take()
        if self._row[Trigger.QUIT] is State.UPDATE:
            self._advance(Trigger.QUIT)
            self._pending = Trigger.QUIT
            return Quit(True)
        self._events.append(Quit(False))
        self._end(reply.BYE, "quit")
        return None

    _handlers: ClassVar[Mapping[Trigger, Handler]] = {Trigger.CAPA: _capa, Trigger.QUIT: _quit}


_MESSAGES: Final = frozenset({Trigger.RETR, Trigger.TOP})  # whose answers of several lines are messages
# Their positive answers go by another method: the upgrade and the logins.
_OF_THEIR_OWN: Final = frozenset({Trigger.STLS, Trigger.PASS, Trigger.AUTH})
