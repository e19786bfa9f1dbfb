"""The events of a record: what is written is read again, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.record.errors import RecordError
from gatepost.record.events import (
    KINDS,
    Blind,
    Closed,
    Data,
    Decision,
    FileBegins,
    Line,
    Opened,
    RecordEvent,
    Upgraded,
    from_json,
    to_line,
)
from gatepost.record.version import CURRENT, Version, convert

DOCUMENT = Path(__file__).parents[3] / "docs" / "record-format.md"
HEAD: dict[str, Any] = {"session": "c1", "serial": 3, "at": 1700000000.25, "private": True}
EVENTS = (
    Opened(**HEAD, listener="mx", protocol="smtp", client=("2001:db8::1", 40001), local=("::1", 25), side="gate"),
    Line(**HEAD, speaker="client", data=b"EHLO \x1b[2J\x00\xff\x7f", masked=True, cut=7),
    Data(
        **HEAD, speaker="server", octets=9, sha256="00" * 32, headers=b"a: b\r\n", content=b"\0\r\n", cut=1, whole=False
    ),
    Upgraded(**HEAD, side="backend", version="TLSv1.3", cipher="x", names=("a", "\u202e"), resumed=True, server="s"),
    Decision(**HEAD, what="relay", verdict="refuse", rule="r", reason="no", subject="a@b"),
    Blind(**HEAD, reason="r", server="s"),
    Closed(**HEAD, outcome="quit", seconds=1.5, dropped=2),
)
LINE = {"e": "line", "s": "a", "n": 1, "t": 1.0, "from": "client", "text": "NOOP"}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_event_is_read_as_it_was_written(event: RecordEvent) -> None:
    """Every kind of event survives the way to a file and back, with octets that are no text."""
    line = to_line(event)
    assert line.endswith(b"}\n")
    assert all(32 <= octet < 127 for octet in line[:-1])
    assert from_json(json.loads(line)) == event


def test_every_kind_is_among_the_examples() -> None:
    """A new kind of event gets an example here."""
    assert {type(event) for event in EVENTS} == set(KINDS.values())


@given(st.binary(max_size=300), st.text(max_size=50))
def test_whatever_a_peer_sends_is_one_line_of_ascii(data: bytes, name: str) -> None:
    """No octet of a peer ends a line or reaches a terminal, and each comes back."""
    for event in (Line(**HEAD, speaker="server", data=data), Decision(**HEAD, what="x", verdict="y", subject=name)):
        line = to_line(event)
        assert line.count(b"\n") == 1
        assert all(32 <= octet < 127 for octet in line[:-1])
        assert from_json(json.loads(line)) == event


@pytest.mark.parametrize(
    "change",
    [
        {"e": "hunch"},
        {"e": 3},
        {"n": -1},
        {"n": True},
        {"n": 1.0},
        {"t": "now"},
        {"t": float("nan")},
        {"from": "nobody"},
        {"from": ["client"]},
        {"text": None},
        {"text": {"b64": "%"}},
        {"text": {"b64": "", "more": 1}},
        {"masked": 1},
        {"colour": "red"},
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(change: dict[str, Any]) -> None:
    """Reading is strict: a wrong type, an unknown key or word is an error that names it."""
    assert from_json(LINE) == Line(session="a", serial=1, at=1.0, speaker="client", data=b"NOOP")
    with pytest.raises(RecordError):
        from_json({**LINE, **change})


@pytest.mark.parametrize("missing", sorted(LINE))
def test_missing_key_is_refused(missing: str) -> None:
    """What has no default must stand there."""
    with pytest.raises(RecordError):
        from_json({key: value for key, value in LINE.items() if key != missing})


@pytest.mark.parametrize("document", [None, 3, [], "open", {}])
def test_what_is_no_object_is_refused(document: object) -> None:
    """A line of a record is an object."""
    with pytest.raises(RecordError):
        from_json(document)


def test_newer_minor_version_may_add_keys_and_events() -> None:
    """What a newer minor version added is passed over; what we know of it is read."""
    newer = Version(CURRENT.major, CURRENT.minor + 1)
    assert from_json({**LINE, "colour": "red"}, newer) == from_json(LINE)
    assert from_json({**LINE, "e": "hunch"}, newer) is None


def test_newer_major_version_is_refused_with_its_number() -> None:
    """Nobody guesses what a newer gatepost meant."""
    with pytest.raises(RecordError, match=r"format 2\.0"):
        from_json({"e": "file", "v": CURRENT.major + 1, "role": "mx", "pid": 1, "t": 1.0})


def test_older_version_goes_through_each_conversion() -> None:
    """There is a conversion from each major version to the next, and they are done in order."""
    conversions = {1: lambda event: {**event, "n": event["n"] + 1}, 2: lambda event: {**event, "n": event["n"] * 10}}
    assert convert({"n": 1}, Version(1), conversions=conversions, current=Version(3))["n"] == 20
    assert convert({"n": 1}, Version(2), conversions=conversions, current=Version(3))["n"] == 10
    with pytest.raises(RecordError, match=r"never was a record format 0\.0"):
        convert({"n": 1}, Version(0), conversions=conversions, current=Version(3))


def test_file_says_its_version_itself() -> None:
    """The first line of a file names version, role and process."""
    begins = FileBegins(role="mx", pid=17, at=2.5)
    assert from_json(json.loads(to_line(begins))) == begins
    for version in ("1", -1, None, 1.0):
        with pytest.raises(RecordError):
            from_json({**begins.to_json(), "v": version})


def test_every_key_is_in_the_documentation() -> None:
    """docs/record-format.md has a table for each event, with each of its keys."""
    sections = {part.split("\n")[0]: part for part in DOCUMENT.read_text().split("\n### ")[1:]}
    kinds: list[type[RecordEvent] | type[FileBegins]] = [*KINDS.values(), FileBegins]
    for event in kinds:
        kind = event.kind
        for key in event.keys:
            assert f"`{key.name}`" in sections[kind], f"{kind}: {key.name}"
    assert all(f"`{key.name}`" in sections["Keys of all events"] for key in RecordEvent.keys)
    assert f"Version {CURRENT}." in DOCUMENT.read_text()
