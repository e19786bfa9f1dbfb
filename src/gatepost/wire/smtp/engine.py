"""What both SMTP server engines have in common: bytes in, events out, replies out, no I/O.

A service does, for each input::

    engine.receive(data)
    while (event := engine.next_event()) is not None:
        ...                                    # answer the events that ask for an answer, now or later
    channel.send(engine.outgoing())

``next_event`` returns None when more bytes are needed, and while an event waits for its answer: nothing behind it is
parsed before. What is legal when is in the tables of ``wire.smtp.states``; what is not is answered here and reported as
``Fault``.

Framing comes first and does not depend on whether a command was legal: lines, the octets of a BDAT chunk (also of a
refused one, RFC 3030 §2), or dot-terminated content, all read from the one buffer of the ``LineFramer``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Final, TypeAlias

from gatepost.errors import LocalProtocolError
from gatepost.wire.framing import LineFault, LineFramer
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.content import PIECE, ChunkReader, DotReader
from gatepost.wire.smtp.events import (
    AuthCancelled,
    Content,
    ContentAborted,
    ContentEnds,
    Ended,
    Event,
    Extension,
    Fault,
)
from gatepost.wire.smtp.extensions import WEB_WORDS, Extensions
from gatepost.wire.smtp.grammar import parse_bdat
from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.states import Rulebook, State, Trigger
from gatepost.wire.upgrade import Origin
from gatepost.wire.witness import Witness, hidden_command, hidden_fault, shown_fault

# A handler's first argument is the engine that it belongs to.
Handler: TypeAlias = Callable[[Any, str], Event | None]

CHALLENGE: Final = b"334 "  # how nothing but a challenge begins (RFC 4954 §4)
_SHOWN: Final = 128  # octets of an offending line that a Fault carries
# The class of a positive reply to each event; the upgrade and the login have methods of their own.
_POSITIVE: Final = {
    Trigger.MAIL: 2,
    Trigger.RCPT: 2,
    Trigger.DATA: 3,
    Trigger.BDAT: 3,
    Trigger.CONTENT_ENDS: 2,
    Trigger.EXTENSION: 2,
}
LINE_FAULTS: Final = {
    LineFault.TOO_LONG: reply.LINE_TOO_LONG,
    LineFault.BARE_CR: reply.BARE_LINE_END,
    LineFault.BARE_LF: reply.BARE_LINE_END,
}
_CONTENT_ENDS: Final = ContentEnds()


class _Need(Enum):
    """What a reader lacks."""

    OCTETS = "more octets"


class Chunk:
    """The chunk that is being read: how much of it is to come, and what is said behind it when it is refused."""

    __slots__ = ("last", "left", "refusal", "size")

    def __init__(self, size: int, *, last: bool, refusal: bytes = b"") -> None:
        self.size: Final = size
        self.left = size
        self.last: Final = last
        self.refusal = refusal


class ServerEngine:
    """The common part. Not used alone: see ``PlainServer`` and ``SecureServer``."""

    __slots__ = (
        "_capabilities",
        "_chunk",
        "_claimed",
        "_content",
        "_eof",
        "_errors",
        "_events",
        "_extensions",
        "_framer",
        "_messages",
        "_outgoing",
        "_recipients",
        "_refused_with",
        "_row",
        "_rules",
        "_secretive",
        "_words",
        "allowance",
        "extended",
        "hello_name",
        "origin",
        "pending",
        "profile",
        "smtputf8",
        "state",
        "witness",
    )

    def __init__(
        self,
        origin: Origin,
        profile: ServerProfile,
        rules: Rulebook,
        capabilities: Reply,
        line_limit: int,
        extensions: Extensions,
    ) -> None:
        self.origin: Final = origin
        self.profile = profile
        self.state: State = rules.table.initial
        self.hello_name = ""
        """What the peer called itself, a claim; empty before it did."""
        self.extended = False
        """Whether it said EHLO or LHLO."""
        self.smtputf8 = False
        """Whether the transaction uses SMTPUTF8."""
        self._rules: Final = rules
        self._words: Final = profile.words.words
        self._row = rules.table.edges[self.state]
        self._capabilities = capabilities
        self._extensions = extensions
        self._claimed = ""  # the name of a hello that waits for its answer
        self._framer: Final = LineFramer(line_limit, normalise=profile.normalise)
        self._outgoing: list[bytes] = []
        self._events: list[Event] = []  # found together with another event, and due behind it
        self.pending: Trigger | None = None
        """What waits for its answer, or None. Read it; answers change it."""
        self._content: DotReader | ChunkReader | None = None
        self._chunk: Chunk | None = None
        self._recipients = 0
        self._messages = 0
        self._errors = 0
        self._eof = False
        self._secretive = False  # AUTH was tried: a line that is no command may be a credential
        self._refused_with: Reply | None = None
        self.allowance = sys.maxsize
        """Commands that are still read; at zero ``next_event`` gives None though there may be more. Set it before each
        turn, so that a peer who sends thousands at once leaves the others theirs; no bound unless it is set."""
        self.witness: Witness | None = None
        """Told what is heard and said, where a transcript is kept. Set it before anything is."""

    # -- what the service does first

    def greet(self) -> None:
        """Queue the 220.

        :raises LocalProtocolError: when something was said already.
        """
        if Trigger.GREET not in self._row or self.hello_name:
            raise LocalProtocolError("the time for a greeting has passed")
        self._outgoing.append(self.profile.greeting.octets)
        self._advance(Trigger.GREET)

    def refuse(self, refusal: Reply, *, greeting: bool = True) -> None:
        """Serve nothing but QUIT (RFC 5321 §3.1); with 421, not even that.

        :param refusal: 554 or 421.
        :param greeting: queue it in place of the greeting, and answer 503 to what follows. When false, nothing is
            queued and every command is answered with it: what is due where the handshake did not reach what the
            policy asks for (RFC 3207 §4.1).
        :raises LocalProtocolError: when something was said already, or for another code.
        """
        if refusal.code not in (421, 554) or Trigger.TURN_AWAY not in self._row or self.hello_name:
            raise LocalProtocolError("service is refused with 421 or 554, and before it began")
        if refusal.code == 421:
            self._end(refusal, "turned away")
            return
        if greeting:
            self._outgoing.append(refusal.octets)
        self._refused_with = reply.BAD_SEQUENCE if greeting else refusal
        self._advance(Trigger.TURN_AWAY)

    # -- bytes in, events out, replies out

    def receive(self, data: bytes) -> None:
        """Take what was read. After the end it is dropped.

        :raises LocalProtocolError: when the engine is spent: what comes then belongs to the TLS engine.
        """
        if self.state is State.UPGRADED:
            raise LocalProtocolError("this engine is spent: bytes behind the upgrade belong to TLS")
        if self.state is not State.ENDED:
            self._framer.receive(data)

    def receive_eof(self) -> None:
        """The peer will send no more. What it sent is still served; a message without its end is aborted."""
        self._eof = True

    def next_event(self) -> Event | None:
        """The next event, or None: more bytes are needed, an event waits for its answer, or ``allowance`` is spent."""
        while not self._events:
            if self.pending is not None or not self.allowance:
                return None
            found: Event | _Need | None
            if self._chunk is not None:
                found = self._read_chunk(self._chunk)
            elif self.state is State.CONTENT:
                found = self._read_content()
            elif self.state is State.WAITING or not self._row or (line := self._framer.next_line()) is None:
                found = _Need.OCTETS
            else:
                self.allowance -= 1
                if self.witness is not None:
                    self._witness_line(self.witness, line)
                found = self._read_line(line)
            if found is _Need.OCTETS:
                if not self._eof or not self._row:
                    return None
                self._end(None, "connection lost")
            elif found is not None:
                return found if self.witness is None else self._witness_content(self.witness, found)
        event = self._events.pop(0)
        return event if self.witness is None else self._witness_content(self.witness, event)

    def outgoing(self) -> bytes:
        """Take all replies that are queued."""
        queue = self._outgoing
        if not queue:
            return b""
        data = queue[0] if len(queue) == 1 else b"".join(queue)
        queue.clear()
        if self.witness is not None:
            self.witness.said(data, CHALLENGE)
        return data

    @property
    def backlog(self) -> int:
        """Octets that were received and not yet read: beyond some bound, stop reading from the channel."""
        return len(self._framer)

    @property
    def waiting(self) -> bool:
        """Whether an event waits for its answer."""
        return self.pending is not None

    @property
    def recipients(self) -> int:
        """Accepted recipients of the open transaction."""
        return self._recipients

    # -- answers

    def answer(self, answer: Reply) -> None:
        """Answer the event that waits. A positive reply goes on, another does not; 421 ends the conversation.

        :raises LocalProtocolError: when nothing waits, or the reply's class does not fit the event.
        """
        pending = self.pending
        if pending is None:
            raise LocalProtocolError("no event waits for an answer")
        if answer.code == 421:
            self.shutdown(answer)
            return
        kind = answer.code // 100
        if kind < 4:
            if kind != _POSITIVE.get(pending):
                raise LocalProtocolError(f"{answer.code} does not answer {pending.value} here")
            if pending is Trigger.MAIL or pending is Trigger.RCPT:
                self.pending = None
                self._outgoing.append(answer.octets)
                self._recipients += pending is Trigger.RCPT
                self._advance(pending)
                return
            if pending is Trigger.DATA or pending is Trigger.BDAT:
                self._begin_content(pending, answer)
                return
        self.pending = None
        if pending is Trigger.CONTENT_ENDS:
            self._finish(self._for_each(answer, last=True))
        elif pending is Trigger.BDAT and self._chunk is not None:
            self._chunk.refusal = self._for_each(answer, last=self._chunk.last)
            self._advance(Trigger.CHUNK_REFUSED)
            self._clear()
        else:
            self._outgoing.append(answer.octets)
            if pending is Trigger.AUTH:
                self._advance(Trigger.AUTH_ENDS)

    def accept_hello(self, profile: ServerProfile | None = None) -> None:
        """Answer ``Hello``, where the profile has ``asks_hello``: with the list of capabilities, or our name.

        :param profile: what is offered from now on, where only now it is known: another list, other parameters and
            limits. What is legal when stays as it was.
        :raises LocalProtocolError: when no hello waits for its answer.
        """
        pending = self.pending
        if pending is not Trigger.EHLO and pending is not Trigger.HELO:
            raise LocalProtocolError("no hello waits for its answer")
        self.pending = None
        if profile is not None:
            self.profile = profile
            self._offer(profile)
        self._abort_content()
        self.hello_name, self._claimed = self._claimed, ""
        self.extended = pending is Trigger.EHLO
        self._outgoing.append((self._capabilities if self.extended else self.profile.hello).octets)
        self._advance(pending)

    def refuse_content(self, refusal: Reply) -> None:
        """Refuse the message whose content is being read: no more of it is reported. What is still sent is read to its
        end, and then answered with this, as with a refusal of our own: ``ContentEnds`` carries it.

        :param refusal: 4xx or 5xx, not 421.
        :raises LocalProtocolError: when no content is being read, or for another code.
        """
        if self._content is None or refusal.positive or refusal.code == 421:
            raise LocalProtocolError("content is refused while it is read, with a refusal")
        if self._content.refusal is None:
            self._content.refusal = refusal

    def answer_each(self, answers: Sequence[Reply]) -> None:
        """Answer ``ContentEnds`` in LMTP: one reply for each accepted recipient, in their order (RFC 2033 §4.2).

        :raises LocalProtocolError: when that is not what waits, or the number is another.
        """
        if self.pending is not Trigger.CONTENT_ENDS or not self.profile.words.per_recipient:
            raise LocalProtocolError("no LMTP message waits for its answers")
        if len(answers) != self._recipients or any(answer.code // 100 == 3 for answer in answers):
            raise LocalProtocolError("a message is answered once for each accepted recipient")
        self.pending = None
        self._finish(b"".join(answer.octets for answer in answers))

    def shutdown(self, farewell: Reply) -> None:
        """Queue a last reply, 421 as a rule, and end. An open message is aborted."""
        if self._row:
            self._end(farewell, "shutdown")

    # -- states

    def _advance(self, trigger: Trigger) -> None:
        state = self._row[trigger]
        if state is not self.state:
            self.state = state
            self._row = self._rules.table.edges[state]

    def _offer(self, profile: ServerProfile) -> None:
        """Take over what a profile offers on this side of the upgrade."""
        raise NotImplementedError

    def _end(self, farewell: Reply | None, reason: str) -> None:
        """Go to the end, from wherever we are."""
        if farewell is not None:
            self._outgoing.append(farewell.octets)
        if self.pending is not Trigger.CONTENT_ENDS:
            self._abort_content()
        if self.state is State.AUTHENTICATING:
            self._events.append(AuthCancelled())
        self.pending = None
        self._chunk = None
        self._clear()
        self._framer.take()
        self._advance(Trigger.CLOSE)
        self._events.append(Ended(reason))

    def _clear(self) -> None:
        """Forget the transaction."""
        self._content = None
        self._recipients = 0
        self.smtputf8 = False

    def _abort_content(self) -> None:
        """Say so when there is content to be dropped: in DATA, or between two chunks."""
        if self._content is not None:
            self._events.append(ContentAborted())
        self._clear()

    def _for_each(self, answer: Reply, *, last: bool) -> bytes:
        """The answer to content: in LMTP the last one is due once for each recipient (RFC 2033 §4.2)."""
        return answer.octets * self._recipients if last and self.profile.words.per_recipient else answer.octets

    # -- lines

    def _read_line(self, line: bytes | LineFault) -> Event | None:
        if isinstance(line, LineFault):
            return self._unreadable(LINE_FAULTS[line], line.value, self._framer.offender)
        try:
            text = line.decode().rstrip(" \t")  # RFC 5321 §4.1.1: trailing white space is tolerated
        except UnicodeDecodeError:
            return self._unreadable(reply.BAD_LINE, "octets that are no UTF-8", line)
        if not text.isprintable():
            return self._unreadable(reply.BAD_LINE, "control characters", line)
        word, _, argument = text.partition(" ")
        verb = self._words.get(word.upper())
        if verb is None:
            return self._unknown(word.upper(), line)
        if verb is Trigger.AUTH:
            self._secretive = True
        elif len(line) > self.profile.line_limit:
            return self._unreadable(reply.LINE_TOO_LONG, LineFault.TOO_LONG.value, line)
        if verb not in self._row:
            return self._misplaced(verb, argument, line)
        return self._handlers[verb](self, argument)

    def _unreadable(self, refusal: Reply, reason: str, line: bytes) -> Event | None:
        """A line that is no command. Behind BDAT stand octets that are none either, and nobody knows how many."""
        if line[:4].upper() == b"BDAT":
            return self._unreadable_chunk(refusal, line)
        return self._fault(refusal, reason, line)

    def _unknown(self, word: str, line: bytes) -> Event | None:
        if word in WEB_WORDS:
            self._events.append(Fault("web request", self._shown(line)))
            self._end(reply.NOT_A_WEB_SERVER, "web request")
            return None
        if word in self._extensions.verbs and Trigger.EXTENSION in self._row:
            self.pending = Trigger.EXTENSION
            return Extension(word, line.decode().partition(" ")[2].strip(" \t"))
        refusal = self._refused_with
        if refusal is None:
            otherwise = self._rules.otherwise
            refusal = otherwise if otherwise is reply.TLS_FIRST else reply.UNKNOWN_COMMAND
        return self._fault(refusal, "unknown command", line)

    def _misplaced(self, verb: Trigger, argument: str, line: bytes) -> Event | None:
        """A known command where the table has no edge for it."""
        refusal = self._refused_with or self._rules.refusal(self.state, verb)
        if verb is Trigger.BDAT:
            try:
                size, last = parse_bdat(argument)
            except CommandSyntaxError as error:
                return self._unreadable_chunk(error.reply, line)
            self._chunk = Chunk(size, last=last, refusal=refusal.octets)
            return self._fault(None, "misplaced BDAT", line)
        return self._fault(refusal, f"misplaced {verb.value}", line)

    def _fault(self, refusal: Reply | None, reason: str, line: bytes) -> Event | None:
        """Answer an error, count it, and report it; beyond the limit, end."""
        self._errors += 1
        self._events.append(Fault(reason, self._shown(line)))
        if self._errors > self.profile.max_errors:
            self._end(reply.TOO_MANY_ERRORS, "too many errors")
        elif refusal is not None:
            self._outgoing.append(refusal.octets)
        return None

    def _witness_line(self, witness: Witness, line: bytes | LineFault) -> None:
        """Show a line before it is read, as far as it may be shown."""
        secretive = self._secretive or self._errors > 0  # what was misspelt before may have been AUTH
        if self.state is State.AUTHENTICATING:
            witness.heard(b"" if isinstance(line, LineFault) else line, None if line == b"*" else 0)
        elif isinstance(line, LineFault):
            offender = self._framer.offender
            witness.heard(offender, hidden_fault(offender, words=self._words, secretive=secretive))
        else:
            word = line.partition(b" ")[0].decode("latin-1").upper()
            verb = self._words.get(word)
            known = verb is not None or word in self._extensions.verbs
            login = verb is Trigger.AUTH
            witness.heard(line, hidden_command(line, known=known, login=login, secretive=secretive))

    def _witness_content(self, witness: Witness, event: Event) -> Event:
        """Show content, and where it ends."""
        if isinstance(event, Content):
            witness.passed("client", event.data)
        elif isinstance(event, ContentEnds):
            witness.passed_all(whole=event.refusal is None)
        elif isinstance(event, ContentAborted):
            witness.passed_all(whole=False)
        return event

    def _shown(self, line: bytes) -> bytes:
        """As much of a line as a ``Fault`` may carry: no credentials, and no long text."""
        word = line.lstrip().partition(b" ")[0].upper().decode("latin-1")
        if word.startswith("AUTH"):
            return b"AUTH ***"
        if word in WEB_WORDS:
            return line[:_SHOWN]
        secretive = self._secretive or self._errors > 1  # what was misspelt before may have been AUTH
        return shown_fault(line, words=self._words, secretive=secretive, limit=_SHOWN)

    # -- what the engines differ in

    _handlers: ClassVar[Mapping[Trigger, Handler]] = {}

    # -- content

    def _unreadable_chunk(self, refusal: Reply, line: bytes) -> Event | None:
        """Nobody knows where this chunk ends, so nothing behind it can be read as a command."""
        self._events.append(Fault("malformed BDAT", self._shown(line)))
        self._end(refusal, "malformed BDAT")
        return None

    def _begin_content(self, trigger: Trigger, answer: Reply) -> None:
        self.pending = None
        limit, normalise, nul = self.profile.max_size, self.profile.normalise, self.profile.allow_nul
        if self._chunk is None:
            self._outgoing.append(answer.octets)
            self._content = DotReader(limit, normalise=normalise, nul=nul)
        else:
            self._content = ChunkReader(limit, normalise=normalise, nul=nul)
            self._content.declare(self._chunk.size)
        self._advance(trigger)

    def _read_content(self) -> Event | _Need | None:
        """The next piece behind DATA, or its end."""
        reader, framer = self._content, self._framer
        assert isinstance(reader, DotReader)
        while not reader.ended:
            buffer, start = framer.peek()
            piece, position = reader.read(buffer, start)
            framer.advance(position)
            if piece:
                return Content(piece)
            if position == start:
                return _Need.OCTETS
        return self._complete(reader.refusal, last=True)

    def _read_chunk(self, chunk: Chunk) -> Event | _Need | None:
        """The next piece of a chunk, or what its end brings."""
        reader = self._content
        while chunk.left:
            data = self._framer.take(min(chunk.left, PIECE))
            if not data:
                return _Need.OCTETS
            chunk.left -= len(data)
            if not chunk.refusal and isinstance(reader, ChunkReader) and (piece := reader.read(data)):
                return Content(piece)
        self._chunk = None
        if chunk.refusal:
            self._outgoing.append(chunk.refusal)
            return None
        assert isinstance(reader, ChunkReader)
        if chunk.last and (piece := reader.finish()):
            self._events.append(Content(piece))
        if chunk.last or reader.refusal is not None:
            self._events.append(self._complete(reader.refusal, last=chunk.last))
            return None
        self._outgoing.append(b"250 2.0.0 %d octets received\r\n" % chunk.size)
        return None

    def _complete(self, refusal: Reply | None, *, last: bool) -> Event:
        """The end of the content was read: ask, or say what broke a rule."""
        if refusal is None:
            self.pending = Trigger.CONTENT_ENDS
            return _CONTENT_ENDS
        self._finish(self._for_each(refusal, last=last))
        return ContentEnds(refusal)

    def _finish(self, octets: bytes) -> None:
        """The message is answered: the transaction is over, however it went."""
        self._outgoing.append(octets)
        self._messages += 1
        self._clear()
        self._advance(Trigger.CONTENT_ENDS)
