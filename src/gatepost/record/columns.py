"""The conversation in two columns, client left and server right: a pure function from events to rows.

What is drawn with the rows is elsewhere (``terminal``, ``page``). All text in a row is harmless (see ``escaping``), and
what a peer said stands apart from our own remarks: the one in ``text`` and ``quoted``, the other in ``note`` and
``details``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, final

from gatepost.record.escaping import shown, shown_line, shown_text
from gatepost.record.events import Blind, Closed, Data, Decision, Line, Opened, RecordEvent, Upgraded
from gatepost.record.reading import Session

Place: TypeAlias = Literal["client", "server", "across"]
Tone: TypeAlias = Literal[
    "said", "content", "upgrade", "backend", "unproved", "failed", "decision", "blind", "missing", "end"
]

QUOTED_LINES: Final = 200
QUOTED_OCTETS: Final = 1 << 16
_DIGITS: Final = 12  # of a SHA-256, where all of it would be in the way


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One thing that happened.

    :param place: the column: who said it, or ``across`` for what happened to both.
    :param tone: what it is, for whoever draws it.
    :param private: whether it happened inside TLS.
    :param offset: seconds since the first event of the session.
    :param pause: seconds since the row before; None for the first.
    :param text: what was said; of a row across, its headline.
    :param note: our remark about it; empty when there is none.
    :param details: more of our remarks, one a line: the evidence of an upgrade.
    :param quoted: the lines of content that was kept.
    :param digest: SHA-256 of content, all digits of it.
    :param masked: whether a ``***`` in what was said stands for a secret.
    """

    place: Place
    tone: Tone
    private: bool
    offset: float
    pause: float | None
    text: str = ""
    note: str = ""
    details: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    digest: str = ""
    masked: bool = False


@final
@dataclass(frozen=True, slots=True)
class _Drawn:
    """A row without its time."""

    place: Place
    tone: Tone
    text: str = ""
    note: str = ""
    details: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    digest: str = ""
    masked: bool = False


def rows(session: Session) -> Iterator[Row]:
    """The rows of a session, in the order of their numbers. What is missing between them has rows of its own."""
    events = sorted(session.events, key=lambda event: event.serial)
    if not events:
        return
    clock = Clock()
    due = 1
    for event in events:
        if event.serial > due:
            yield clock.row(event, _missing(event.serial - due, first=due == 1))
        due = event.serial + 1
        if not isinstance(event, Opened):
            yield clock.row(event, _draw(event))
        else:
            clock.start(event.at)
    if not isinstance(events[-1], Closed):
        yield clock.row(events[-1], _Drawn("across", "missing", "the record ends here, and the session may go on"))


def row(event: RecordEvent, clock: Clock) -> Row | None:
    """The row of one event that comes alone; None for ``open``, which is no row but the heading of them all."""
    if isinstance(event, Opened):
        clock.start(event.at)
        return None
    return clock.row(event, _draw(event))


@final
class Clock:
    """Counts the time of one session's rows."""

    __slots__ = ("_began", "_last")

    def __init__(self) -> None:
        self._began: float | None = None
        self._last: float | None = None

    def start(self, at: float) -> None:
        """The session began."""
        self._began = self._last = at

    def row(self, event: RecordEvent, drawn: _Drawn) -> Row:
        """A row at the time of an event."""
        if self._began is None:
            self._began = event.at
        pause = None if self._last is None else event.at - self._last
        self._last = event.at
        return Row(
            drawn.place, drawn.tone, event.private, event.at - self._began, pause,
            drawn.text, drawn.note, drawn.details, drawn.quoted, drawn.digest, drawn.masked,
        )  # fmt: skip


def heading(session: Session) -> dict[str, str]:
    """What stands above the rows: what is known of the session as a whole."""
    opened, closed = session.opened, session.closed
    facts = {"session": shown_text(session.id)}
    if opened is not None:
        facts["began"] = f"{datetime.fromtimestamp(opened.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        facts["client"] = endpoint(opened.client)
        facts["listener"] = f"{shown_text(opened.listener)}, {shown_text(opened.protocol)}, {endpoint(opened.local)}"
        if opened.side == "gate":
            facts["server"] = "behind the gate; the right column is what the client heard"
    if closed is not None:
        facts["ended"] = f"{shown_text(closed.outcome)}, after {closed.seconds:.3f} s"
    if missing := dropped(session):
        facts["missing"] = f"{count(missing, 'event')} of this session {'was' if missing == 1 else 'were'} dropped"
    return facts


def began(event: Opened) -> str:
    """How a session began, in one line."""
    where = f"{shown_text(event.listener)}, {shown_text(event.protocol)}, {endpoint(event.local)}"
    return f"connection from {endpoint(event.client)} to {where}"


def dropped(session: Session) -> int:
    """How many events were dropped, whichever of the two ways to know it says more."""
    return max(session.missing, session.closed.dropped if session.closed is not None else 0)


def endpoint(address: tuple[str, int]) -> str:
    """An address and port for people."""
    return f"{shown_text(address[0])} port {address[1]}" if address[1] else shown_text(address[0])


def count(number: int, what: str) -> str:
    """So many of something: ``1 event``, ``20,480 octets``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _draw(event: RecordEvent) -> _Drawn:
    return _DRAWN[type(event)](event)


def _line(event: Line) -> _Drawn:
    note = f"{count(event.cut, 'octet')} more, not kept" if event.cut else ""
    return _Drawn(event.speaker, "said", shown_line(event.data), note, masked=event.masked)


def _data(event: Data) -> _Drawn:
    notes = [count(event.octets, "octet")]
    if event.what != "message":
        notes.append("not read" if event.what == "octets" else "a listing")
    if event.sha256:
        notes.append(f"SHA-256 {_abridged(shown_text(event.sha256))}")
    if not event.whole:
        notes.append("its end did not come")
    kept = event.headers if event.content is None else event.content
    quoted, left = _quoted(kept) if kept is not None else ((), 0)
    if kept is None and event.what == "message":
        notes.append("content not kept")
    if left + event.cut:
        notes.append(f"{count(left + event.cut, 'octet')} not shown")
    return _Drawn(event.speaker, "content", "", ", ".join(notes), (), quoted, shown_text(event.sha256))


def _abridged(digest: str) -> str:
    return digest if len(digest) <= _DIGITS else f"{digest[:_DIGITS]}…"


def _quoted(content: bytes) -> tuple[tuple[str, ...], int]:
    """The first lines of content, and how many octets are not among them."""
    lines = content[:QUOTED_OCTETS].split(b"\n", QUOTED_LINES)
    if len(lines) > QUOTED_LINES or lines[-1] == b"":
        lines.pop()
    taken = min(sum(len(line) + 1 for line in lines), len(content))
    return tuple(shown(line.removesuffix(b"\r")) for line in lines), len(content) - taken


def _upgraded(event: Upgraded) -> _Drawn:
    peer, whom = (
        ("client", "")
        if event.side == "client"
        else ("server", f" to {shown_text(event.server or 'the server behind')}")
    )
    if event.failed:
        reason = shown_text(event.reason) or "no reason is known"
        return _Drawn("across", "failed", f"TLS{whom} failed: {reason}")
    proved = ", ".join(shown_text(part) for part in (event.version, event.cipher, event.group) if part)
    details = [_certificate(event, peer)]
    if event.server_name:
        details.append(f"name asked for: {shown_text(event.server_name)}")
    if event.alpn:
        details.append(f"ALPN: {shown_text(event.alpn)}")
    if event.resumed:
        details.append("an earlier session was resumed")
    headline = f"private from here: {proved}" if event.side == "client" else f"private{whom}: {proved}"
    tone: Tone = "upgrade" if event.side == "client" else "unproved" if event.verified == "untrusted" else "backend"
    return _Drawn("across", tone, headline, "", tuple(details))


# What ``Verification.status`` says, in words.
_VERDICTS: Final[Mapping[str, str]] = {
    "": "not looked at", "none": "none shown", "untrusted": "NOT TRUSTED", "trusted": "chain trusted",
    "verified": "verified, chain and name", "pinned": "one that was pinned",
}  # fmt: skip


def _certificate(event: Upgraded, peer: str) -> str:
    verdict = _VERDICTS.get(event.verified) or shown_text(event.verified)
    names = f": {', '.join(map(shown_text, event.names))}" if event.names else ""
    return f"certificate of the {peer}: {verdict}{f' ({shown_text(event.reason)})' if event.reason else ''}{names}"


def _decision(event: Decision) -> _Drawn:
    about = f" {shown_text(event.subject)}" if event.subject else ""
    reason = f": {shown_text(event.reason)}" if event.reason else ""
    details = (f"by {shown_text(event.rule)}",) if event.rule else ()
    return _Drawn(
        "across", "decision", f"{shown_text(event.what)}{about}: {shown_text(event.verdict)}{reason}", "", details
    )


def _blind(event: Blind) -> _Drawn:
    reason = shown_text(event.reason) or "the client speaks TLS with the server behind"
    details = (f"the server: {shown_text(event.server)}",) if event.server else ()
    return _Drawn("across", "blind", f"blind from here: {reason}", "", details)


def _closed(event: Closed) -> _Drawn:
    details = (f"{count(event.dropped, 'event')} of this session not written",) if event.dropped else ()
    return _Drawn("across", "end", f"closed: {shown_text(event.outcome)}, after {event.seconds:.3f} s", "", details)


def _missing(number: int, *, first: bool) -> _Drawn:
    where = "the beginning is missing: " if first else ""
    return _Drawn("across", "missing", f"{where}{count(number, 'event')} dropped here")


_DRAWN: Final[Mapping[type[RecordEvent], Callable[[Any], _Drawn]]] = {
    Line: _line, Data: _data, Upgraded: _upgraded, Decision: _decision, Blind: _blind, Closed: _closed,
}  # fmt: skip
