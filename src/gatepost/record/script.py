"""The client's side of a recorded session as a list of steps that can be said again, each with its recorded answer.

What cannot be said again (a masked password, content that was not kept, a line that was cut) is there as a step, so
that whoever plays it can put something in its place, or say that it was left out.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, final

from gatepost.record.answers import READERS, Answer, AnswerReader, Reading
from gatepost.record.errors import RecordError
from gatepost.record.events import Blind, Data, Line, RecordEvent, Upgraded
from gatepost.record.reading import Session

Kind: TypeAlias = Literal["greeting", "line", "content", "upgrade", "login", "stop"]
Manner: TypeAlias = Literal["plain", "starttls", "implicit"]

_UNANSWERED: Final = re.compile(rb"\{\d{1,10}\+\}\Z")  # RFC 7888: the literal follows at once
# Commands that neither send nor change anything. Whatever is not among them may.
_SMTP_HARMLESS: Final = frozenset({
    b"EHLO", b"HELO", b"STARTTLS", b"AUTH", b"NOOP", b"RSET", b"HELP", b"VRFY", b"EXPN", b"QUIT", b"",
})  # fmt: skip
_HARMLESS: Final = {
    "smtp": _SMTP_HARMLESS,
    "submission": _SMTP_HARMLESS,
    "pop3": frozenset({
        b"CAPA", b"STLS", b"AUTH", b"USER", b"PASS", b"APOP", b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"NOOP",
        b"RSET", b"UTF8", b"LANG", b"QUIT", b"",
    }),
    "imap": frozenset({
        b"CAPABILITY", b"STARTTLS", b"AUTHENTICATE", b"LOGIN", b"ID", b"ENABLE", b"NOOP", b"CHECK", b"SELECT",
        b"EXAMINE", b"UNSELECT", b"LIST", b"LSUB", b"NAMESPACE", b"STATUS", b"FETCH", b"SEARCH", b"SORT", b"THREAD",
        b"IDLE", b"GETQUOTA", b"GETQUOTAROOT", b"LOGOUT", b"",
    }),
}  # fmt: skip
_LOGINS: Final = {"smtp": {b"AUTH"}, "submission": {b"AUTH"}, "pop3": {b"AUTH", b"USER", b"PASS", b"APOP"},
                  "imap": {b"LOGIN", b"AUTHENTICATE"}}  # fmt: skip


@final
@dataclass(slots=True, eq=False)
class Step:
    """One thing that the client did.

    :param data: of a line: as it was said, without its end. Of a login: its first line, as far as it is known.
    :param octets: of content: how many.
    :param content: of content, and of a BDAT line: what was kept of it, where that is all of it.
    :param headers: of content of which no more was kept: its header.
    :param answer: what the server said to it; None when it said nothing, or that is not in the record.
    :param answered: whether an answer is due before anything else is said.
    :param command: what its answer is read for: ``data``, or the command that a line goes on with.
    :param reason: of a stop, and of a step that cannot be said again: why.
    """

    kind: Kind
    data: bytes = b""
    octets: int = 0
    content: bytes | None = None
    headers: bytes | None = None
    answer: Answer | None = None
    answered: bool = True
    command: bytes = b""
    reason: str = ""


@final
@dataclass(frozen=True, slots=True)
class Script:
    """All that the client did.

    :param manner: how TLS began.
    :param reading: what reads the protocol's answers.
    """

    protocol: str
    manner: Manner
    reading: Reading
    steps: tuple[Step, ...]

    @property
    def changes(self) -> bool:
        """Whether something may be sent, or changed at the server."""
        harmless = _HARMLESS[self.protocol]
        return any(verb_of(step.data, self.protocol) not in harmless for step in self.steps if step.kind == "line")


def verb_of(line: bytes, protocol: str) -> bytes:
    """The verb of a command, in capitals; of IMAP the word behind the tag, and behind UID."""
    words = line.upper().split(None, 3)
    if protocol == "imap":
        words = words[2:] if words[1:2] == [b"UID"] else words[1:]
    return words[0] if words else b""


def script(session: Session) -> Script:
    """Make the steps.

    :raises RecordError: when the session cannot be replayed at all.
    """
    opened = session.opened
    if opened is None:
        raise RecordError("the beginning of this session is missing: nobody knows which protocol it is")
    reading = READERS.get(opened.protocol)
    if reading is None:
        raise RecordError(f"a session of {opened.protocol} cannot be replayed: only {', '.join(READERS)} can")
    builder = _Builder(opened.protocol, reading)
    for event in sorted(session.events, key=lambda event: event.serial):
        builder.take(event)
    steps = _logins(builder.steps, opened.protocol)
    upgrades = [at for at, step in enumerate(steps) if step.kind == "upgrade"]
    manner: Manner = "plain" if not upgrades else "implicit" if upgrades[0] == 0 else "starttls"
    return Script(opened.protocol, manner, reading, tuple(steps))


def adapted(play: Script, manner: Manner) -> Script:
    """The same script where TLS begins in another way than it did.

    With ``starttls`` in place of another manner the words of the upgrade are the recipe's: the greeting is then heard
    by it.
    """
    if manner == play.manner:
        return play
    steps = list(play.steps)
    at = next((index for index, step in enumerate(steps) if step.kind == "upgrade"), None)
    if play.manner == "starttls" and at is not None:
        # What was said in the clear to get there is not said, but for the greeting; in the clear only STARTTLS is not.
        steps = [*steps[:1], *steps[at + 1 :]] if manner == "implicit" else [*steps[: at - 1], *steps[at + 1 :]]
    elif play.manner == "implicit":
        steps = steps[1:]
    if manner == "starttls":
        steps = [step for step in steps if step.kind != "greeting"]
    return replace(play, manner=manner, steps=tuple(steps))


@final
@dataclass(slots=True)
class _Builder:
    """Puts answers to what they answer: in the order of the commands, which pipelining keeps."""

    protocol: str
    reading: Reading
    steps: list[Step] = field(default_factory=list)
    _due: deque[Step] = field(default_factory=deque)
    _reader: AnswerReader | None = None
    _last: Step | None = None  # the last line that the client said
    _begun: bool = False

    def take(self, event: RecordEvent) -> None:
        match event:
            case Upgraded(side="client"):
                self._upgrade(event)
            case Line(speaker="client"):
                self._begin()
                self._said(event)
            case Line(speaker="server"):
                self._begin()
                self._heard(event.data)
            case Data(speaker="client"):
                self._sent(event)
            case Data(speaker="server"):
                self._received()
            case Blind():
                self._stop("from here the record is blind: the client's TLS went past gatepost")

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._add(Step("greeting"))

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        if step.answered:
            self._due.append(step)

    def _said(self, event: Line) -> None:
        last = self._last
        goes_on = last is not None and (not last.answered or (last.answer is not None and last.answer.goes_on))
        self._last = Step(
            "line",
            event.data,
            answered=self.protocol != "imap" or _UNANSWERED.search(event.data) is None,
            command=last.command if last is not None and goes_on else event.data,
            reason=_unsayable(event) or (last.reason if last is not None and goes_on else ""),
        )
        self._add(self._last)

    def _sent(self, event: Data) -> None:
        whole = event.content if event.whole and not event.cut else None
        last = self.steps[-1] if self.steps else Step("stop")
        if event.what == "octets":
            self._stop("what was sent here was not read")
        elif event.what == "listing":
            if self._last is not None:
                self._last.reason = "a literal in it was not recorded"
        elif verb_of(last.data, self.protocol) == b"BDAT":
            last.content, last.octets = whole, event.octets
        else:
            headers = None if event.cut else event.headers
            self._add(Step("content", b"", event.octets, whole, headers, answered=self.protocol != "imap"))

    def _heard(self, line: bytes) -> None:
        if self.protocol == "pop3" and line.startswith((b"+OK", b"-ERR")) and self._reader is not None:
            self._received()  # of a listing that was empty there is no content in the record
        if self._due:
            self._heard_all(self._awaited().feed(line))

    def _received(self) -> None:
        if self._due:
            self._heard_all(self._awaited().content())

    def _awaited(self) -> AnswerReader:
        if self._reader is None:
            self._reader = self.reading(self._due[0].command)
        return self._reader

    def _heard_all(self, answer: Answer | None) -> None:
        if answer is not None:
            self._due.popleft().answer = answer
            self._reader = None

    def _upgrade(self, event: Upgraded) -> None:
        self._due.clear()
        self._reader = None
        if event.failed:
            self._stop("the handshake failed here")
        else:
            self._add(Step("upgrade", answered=False))

    def _stop(self, reason: str) -> None:
        self._add(Step("stop", answered=False, reason=reason))


def _unsayable(event: Line) -> str:
    if b"\r" in event.data or b"\n" in event.data:
        return "there is a line end inside it"
    if event.cut:
        return "the line was too long to be kept whole"
    return "what it said is masked" if event.masked else ""


def _logins(steps: list[Step], protocol: str) -> list[Step]:
    """All lines of a login as one step: its answer is the last one."""
    made: list[Step] = []
    for step in steps:
        last = made[-1] if made else None
        if step.kind == "line" and last is not None and last.kind == "login":
            asked_on = last.answer is not None and last.answer.goes_on
            if asked_on or (verb_of(last.data, protocol), verb_of(step.data, protocol)) == (b"USER", b"PASS"):
                last.answer = step.answer
                continue
        if step.kind == "line" and verb_of(step.data, protocol) in _LOGINS[protocol]:
            if len(step.data.split()) == 1 and protocol == "pop3":  # AUTH alone asks for the mechanisms
                made.append(step)
                continue
            step.kind, step.reason = "login", ""
        made.append(step)
    return made
