"""Showing a trace: as lines for people, in colour on a terminal, and as JSON lines for programs.

    gatepost.trace(TextTrace(sys.stderr))            # session
    gatepost.trace(JSONTrace(file), level="handshake")

Whatever a peer sent is escaped: ``\\r``, ``\\x00``, a backslash as ``\\\\``, so that the octets can be had back from
the text; text that is UTF-8 and printable stays as it is.

JSON lines have ``v`` (the version of the format, 1), ``at`` (seconds since the epoch), ``connection``, ``side`` and
``event``, and what that event has: see docs/trace.md. A reader should ignore fields and events that it does not know; a
change that would break one that does so gets another version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final, TextIO, final

from gatepost.certs.evidence import chain_facts, evidence_facts, verification_facts
from gatepost.net.trace import (
    AlertSeen,
    CertificatesShown,
    Ended,
    Judged,
    MessageSeen,
    Noted,
    Opened,
    RecordSeen,
    Said,
    StateEntered,
    TraceEvent,
    Upgraded,
    UpgradeFailed,
    Upgrading,
)
from gatepost.wire.upgrade import TLSEvidence, Verification

FORMAT: Final = 1

_RESET: Final = "\x1b[0m"
_COLOURS: Final[Mapping[str, str]] = {
    "sent": "\x1b[36m", "received": "\x1b[32m", "tls": "\x1b[35m", "bad": "\x1b[31m", "faint": "\x1b[2m",
}  # fmt: skip
_COMMON: Final = frozenset({"at", "connection", "side"})


def escaped(data: bytes) -> str:
    """Octets as text from which they can be had back: printable UTF-8 stays, a backslash is doubled."""
    text = data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(char: str) -> str:
    short = {"\r": "\\r", "\n": "\\n", "\t": "\\t"}.get(char)
    return short if short is not None else "".join(f"\\x{octet:02x}" for octet in char.encode())


def event_facts(event: TraceEvent) -> dict[str, Any]:
    """An event as plain values, for JSON."""
    facts: dict[str, Any] = {
        "v": FORMAT, "at": event.at, "connection": event.connection, "side": event.side, "event": event.kind,
    }  # fmt: skip
    for field in fields(event):
        if field.name not in _COMMON:
            facts[field.name] = _plain(getattr(event, field.name), event.at)
    return facts


def _plain(value: object, at: float) -> object:
    match value:
        case bytes():
            return escaped(value)
        case TLSEvidence():
            return evidence_facts(value, at)
        case Verification():
            return verification_facts(value)
        case tuple() if value and isinstance(value[0], bytes):
            return chain_facts(value, at)
        case tuple():
            return list(value)
        case _:
            return value


@final
class JSONTrace:
    """A subscriber that writes one JSON object a line.

    :param stream: a text file; it is flushed after each event.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: TextIO) -> None:
        self._stream: Final = stream

    def __call__(self, event: TraceEvent) -> None:
        self._stream.write(json.dumps(event_facts(event), ensure_ascii=False) + "\n")
        self._stream.flush()


@final
class TextTrace:
    """A subscriber that writes lines for people.

    ``->`` is said by us and ``<-`` to us, in the clear; ``=>`` and ``<=`` in private. ``**`` is what happened to the
    connection, ``--`` is a detail of the handshake. In front stand the seconds since the connection began.

    :param stream: a text file; it is flushed after each event.
    :param colour: whether to colour; by default when it is a terminal and NO_COLOR is not set (https://no-color.org).
    """

    __slots__ = ("_begun", "_colour", "_stream")

    def __init__(self, stream: TextIO, *, colour: bool | None = None) -> None:
        self._stream: Final = stream
        self._colour: Final = _wants_colour(stream) if colour is None else colour
        self._begun: dict[str, float] = {}

    def __call__(self, event: TraceEvent) -> None:
        begun = self._begun.setdefault(event.connection, event.at)
        several = f"[{event.connection}] " if len(self._begun) > 1 else ""
        for style, text in _LINES[type(event)](event):
            line = f"{event.at - begun:8.3f} {several}{text}".rstrip()
            self._stream.write(f"{_COLOURS[style]}{line}{_RESET}\n" if self._colour and style else f"{line}\n")
        self._stream.flush()
        if isinstance(event, Ended) and len(self._begun) > 1:
            del self._begun[event.connection]


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_Styled = list[tuple[str, str]]


def _opened(event: Opened) -> _Styled:
    where = "connected to" if event.side == "client" else "connection from"
    at = f"{datetime.fromtimestamp(event.at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return [("tls", f"** {where} {event.peer[0]} port {event.peer[1]} at {at} ({event.connection})")]


def _said(event: Said) -> _Styled:
    arrow = {("sent", False): "->", ("received", False): "<-", ("sent", True): "=>", ("received", True): "<="}
    text = event.data.removesuffix(b"\r\n")
    whole = "" if len(text) < len(event.data) or text.endswith(b"\n") else "  [no line end]"
    return [(event.direction, f"{arrow[event.direction, event.private]} {escaped(text)}{whole}")]


def _upgrading(event: Upgrading) -> _Styled:
    return [("tls", "** TLS begins")]


def _upgraded(event: Upgraded) -> _Styled:
    evidence = event.evidence
    words = [evidence.version, evidence.cipher, evidence.group or "", "resumed" if evidence.resumed else ""]
    asked = f"; name asked for: {printable(evidence.server_name)}" if evidence.server_name else ""
    alpn = f"; ALPN: {printable(evidence.alpn)}" if evidence.alpn else ""
    verdict = evidence.verification
    style = "bad" if verdict.status == "untrusted" else "tls"
    lines = [("tls", f"** private: {' '.join(word for word in words if word)}{asked}{alpn}")]
    if event.side == "client" or evidence.peer_chain:
        lines.append((style, f"** certificate {verdict.status}" + _because(verdict)))
    return lines


def _failed(event: UpgradeFailed) -> _Styled:
    alert = f" (alert {event.alert})" if event.alert else ""
    lines = [("bad", f"** not private: {printable(event.reason)}{alert}")]
    return lines + ([("bad", f"**   {printable(event.hint)}")] if event.hint else [])


def _ended(event: Ended) -> _Styled:
    who = "we closed" if event.direction == "sent" else "the peer closed"
    return [("bad", f"** lost: {printable(event.reason)}")] if event.reason else [("tls", f"** {who}")]


def _record(event: RecordSeen) -> _Styled:
    return [("faint", f"-- {_way(event.direction)} record {event.type}, {event.length} bytes ({event.version})")]


def _message(event: MessageSeen) -> _Styled:
    detail = f": {printable(event.detail)}" if event.detail else ""
    return [("faint", f"-- {_way(event.direction)} {event.name}, {event.length} bytes{detail}")]


def _alert(event: AlertSeen) -> _Styled:
    style = "faint" if event.name == "close_notify" else "bad"
    return [(style, f"-- {_way(event.direction)} alert: {event.severity} {event.name}")]


def _state(event: StateEntered) -> _Styled:
    return [("faint", f"-- state: {printable(event.name)}")]


def _certificates(event: CertificatesShown) -> _Styled:
    lines = []
    for depth, facts in enumerate(chain_facts(event.chain, event.at)):
        faults = "; ".join(facts["faults"])
        about = f"SHA-256 {facts['sha256']}"
        if "subject" in facts:
            about = f"{facts['subject']}, issued by {facts['issuer']}, until {facts['not_after']}"
        text = f"-- certificate {depth}: {printable(about)}" + (f": {printable(faults)}" if faults else ": no fault")
        lines.append(("bad" if faults else "faint", text))
    return lines


def _judged(event: Judged) -> _Styled:
    verdict = event.verification
    style = "bad" if verdict.status == "untrusted" else "faint"
    return [(style, f"-- verification: {verdict.status}{_because(verdict)}")]


def _because(verdict: Verification) -> str:
    return f" ({printable(verdict.reason)})" if verdict.reason else ""


def _noted(event: Noted) -> _Styled:
    return [("faint", f"-- note: {printable(event.text)}")]


def _way(direction: str) -> str:
    return "sent" if direction == "sent" else "got "


def printable(text: str) -> str:
    """Text from elsewhere, with everything escaped that is not printable."""
    return text if text.isprintable() else escaped(text.encode("utf-8", "backslashreplace"))


_LINES: Final[Mapping[type[TraceEvent], Callable[[Any], _Styled]]] = {
    Opened: _opened, Said: _said, Upgrading: _upgrading, Upgraded: _upgraded, UpgradeFailed: _failed, Ended: _ended,
    RecordSeen: _record, MessageSeen: _message, AlertSeen: _alert, StateEntered: _state,
    CertificatesShown: _certificates, Judged: _judged, Noted: _noted,
}  # fmt: skip
