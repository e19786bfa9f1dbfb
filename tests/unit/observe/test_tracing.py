"""What a trace looks like: golden lines, escaping, colour."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gatepost.tracing
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
from gatepost.observe.tracing import JSONTrace, TextTrace, escaped, event_facts
from gatepost.testing.ca import TestAuthority
from gatepost.testing.tls import evidence
from gatepost.wire.upgrade import Verification

BEGUN = 1_700_000_000.0


def event(kind: type[TraceEvent], *, at: float = BEGUN, connection: str = "one", **more: Any) -> TraceEvent:
    return kind(at=at, connection=connection, side="client", **more)


def opened(**more: Any) -> TraceEvent:
    return event(Opened, peer=("192.0.2.1", 25), local=("192.0.2.2", 4000), name="connect", **more)


def said(data: bytes, direction: str = "sent", *, private: bool = False, **more: Any) -> TraceEvent:
    return event(Said, direction=direction, data=data, private=private, masked=False, **more)


GOLDEN = [
    (opened(), "   0.000 ** connected to 192.0.2.1 port 25 at 2023-11-14T22:13:20Z (one)"),
    (said(b"220 hi\r\n", "received"), "   0.000 <- 220 hi"),
    (said(b"EHLO me\r\n", at=BEGUN + 0.0125), "   0.013 -> EHLO me"),
    (said(b"bare\n"), r"   0.000 -> bare\n"),
    (said("käse\\\t\x1b[2J\r\n".encode(), "received", private=True), r"   0.000 <= käse\\\t\x1b[2J"),
    (said(b"\xff\x00S", private=True), r"   0.000 => \xff\x00S  [no line end]"),
    (said(b"\r\n", private=True), "   0.000 =>"),
    (event(Upgrading), "   0.000 ** TLS begins"),
    (event(UpgradeFailed, reason="it\nfailed", alert="unknown_ca", hint="do this"),
     "   0.000 ** not private: it\\nfailed (alert unknown_ca)\n   0.000 **   do this"),
    (event(Ended, direction="sent", reason=""), "   0.000 ** we closed"),
    (event(Ended, direction="received", reason=""), "   0.000 ** the peer closed"),
    (event(Ended, direction="received", reason="reset"), "   0.000 ** lost: reset"),
    (event(RecordSeen, direction="sent", type="handshake", version="TLSv1", length=512),
     "   0.000 -- sent record handshake, 512 bytes (TLSv1)"),
    (event(MessageSeen, direction="received", name="ServerHello", length=90, detail="TLSv1.3"),
     "   0.000 -- got  ServerHello, 90 bytes: TLSv1.3"),
    (event(AlertSeen, direction="received", severity="fatal", name="unknown_ca", clear=True),
     "   0.000 -- got  alert: fatal unknown_ca"),
    (event(StateEntered, name="SSLv3/TLS read server hello"), "   0.000 -- state: SSLv3/TLS read server hello"),
    (event(Judged, verification=Verification("untrusted", "expired: it is old")),
     "   0.000 -- verification: untrusted (expired: it is old)"),
    (event(Noted, text="something"), "   0.000 -- note: something"),
]  # fmt: skip


@pytest.mark.parametrize(("given_event", "expected"), GOLDEN, ids=[text[9:30] for _, text in GOLDEN])
def test_lines_for_people_are_these(given_event: TraceEvent, expected: str) -> None:
    """One line or two an event; nothing that came from a peer moves a cursor or makes a line."""
    stream = StringIO()
    show = TextTrace(stream)
    show(opened())
    stream.seek(0)
    stream.truncate()
    show(given_event)
    assert stream.getvalue() == expected + "\n"


def test_evidence_and_certificates_are_told_in_words() -> None:
    """Version, cipher, group and name; the verdict; each certificate with its issuer, end and faults."""
    stream = StringIO()
    show = TextTrace(stream)
    proved = evidence()
    show(event(Upgraded, evidence=proved))
    expired = (
        TestAuthority()
        .issue("old.test", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC))
        .der
    )
    show(event(CertificatesShown, chain=(expired[0], b"no certificate")))
    text = stream.getvalue()
    assert f"** private: {proved.version} {proved.cipher} {proved.group}; name asked for: mx.example.org" in text
    assert "** certificate untrusted (untrusted: " in text
    assert "-- certificate 0: " in text and "expired on " in text
    assert "-- certificate 1: SHA-256 " in text and "cannot be read" in text


def test_connections_are_told_apart() -> None:
    """As long as there is one, it has no label; of several each has."""
    stream = StringIO()
    show = TextTrace(stream)
    for connection in ("one", "two"):
        show(opened(connection=connection))
    show(said(b"x\r\n"))
    lines = stream.getvalue().splitlines()
    assert lines[1].startswith("   0.000 [two] ** ") and lines[2] == "   0.000 [one] -> x"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in a file, none with NO_COLOR, none on a dumb terminal; always one that ends with its line."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = Terminal()
    TextTrace(coloured)(said(b"x\r\n"))
    assert coloured.getvalue() == "\x1b[36m   0.000 -> x\x1b[0m\n"
    plain = StringIO()
    TextTrace(plain)(said(b"x\r\n"))
    for name, value in (("TERM", "dumb"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
        terminal = Terminal()
        TextTrace(terminal)(said(b"x\r\n"))
        assert terminal.getvalue() == plain.getvalue() == "   0.000 -> x\n"


@given(st.binary())
def test_octets_can_be_had_back_from_their_text(data: bytes) -> None:
    """What is escaped is printable, and tells exactly which octets it was."""
    text = escaped(data)
    assert text.isprintable()
    back, at = bytearray(), 0
    short = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
    while at < len(text):
        if text[at] != "\\":
            back += text[at].encode()
            at += 1
        elif text[at + 1] == "x":
            back.append(int(text[at + 2 : at + 4], 16))
            at += 4
        else:
            back += short[text[at + 1]]
            at += 2
    assert bytes(back) == data


def test_json_has_every_field_of_every_event() -> None:
    """No field is lost, and no value that JSON cannot have."""
    events = [each for each, _ in GOLDEN]
    events += [event(Upgraded, evidence=evidence()), event(CertificatesShown, chain=(b"x",))]
    stream = StringIO()
    for each in events:
        JSONTrace(stream)(each)
        assert {field.name for field in fields(each)} <= event_facts(each).keys()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == len(events) and {line["v"] for line in lines} == {1}
    assert lines[2]["data"] == "EHLO me\\r\\n"
    assert lines[-1]["chain"][0]["faults"] == ["cannot be read"]


def test_public_names_are_there() -> None:
    """``gatepost.tracing`` has what it lists, and every kind of event."""
    for name in gatepost.tracing.__all__:
        assert hasattr(gatepost.tracing, name)
    assert {kind.__name__ for kind in TraceEvent.__subclasses__()} <= set(gatepost.tracing.__all__)
