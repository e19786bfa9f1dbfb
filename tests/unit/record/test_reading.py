"""Reading files: sessions that are interleaved, cut off, spread over files, damaged or compressed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gatepost.record.compression import Compressor, available
from gatepost.record.errors import RecordError
from gatepost.record.events import Closed, FileBegins, Line, Opened, RecordEvent, to_line
from gatepost.record.reading import LINE_LIMIT, Damaged, FileReader, record_files, sessions
from gatepost.record.transcript import CONTENT_LIMIT

BEGIN = to_line(FileBegins(role="mx", pid=1, at=1.0))
SAMPLE = Path(__file__).parent / "format-1.0.jsonl"


def session(name: str, lines: int = 2) -> list[RecordEvent]:
    opened = Opened(session=name, serial=1, at=1.0, listener="mx", protocol="smtp", client=("::1", 1), local=("::1", 2))
    said = [Line(session=name, serial=2 + n, at=1.0, speaker="client", data=b"NOOP") for n in range(lines)]
    return [opened, *said, Closed(session=name, serial=2 + lines, at=2.0, outcome="quit", seconds=1.0)]


def lines_of(events: Sequence[RecordEvent]) -> bytes:
    return b"".join(map(to_line, events))


def test_sessions_are_told_apart(tmp_path: Path) -> None:
    """Interleaved sessions come out whole, each when it ends; what has no end comes last."""
    a, b, c = session("a"), session("b"), session("c")
    mixed = [a[0], c[0], b[0], b[1], a[1], a[2], a[3], b[2], b[3]]
    path = tmp_path / "1.jsonl"
    path.write_bytes(BEGIN + lines_of(mixed))
    found = list(sessions([path]))
    assert [each.id for each in found] == ["a", "b", "c"]
    assert [each.events for each in found] == [a, b, [c[0]]]
    assert found[0].closed is a[-1] or found[0].closed == a[-1]
    assert found[2].closed is None


def test_session_goes_on_in_the_next_file(tmp_path: Path) -> None:
    """The files of a directory are read in the order of their names."""
    a = session("a")
    (tmp_path / "2.jsonl").write_bytes(BEGIN + lines_of(a[2:]))
    (tmp_path / "1.jsonl").write_bytes(BEGIN + lines_of(a[:2]))
    (tmp_path / ".usage").write_bytes(b"0")
    (tmp_path / "notes.txt").write_text("no record")
    assert [each.events for each in sessions([tmp_path])] == [a]
    assert [path.name for path in record_files([tmp_path])] == ["1.jsonl", "2.jsonl"]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_line_that_was_cut_off_by_a_crash_is_left_out(tmp_path: Path, cut: int) -> None:
    """A torn last line is no damage: all before it is read."""
    a = session("a")
    path = tmp_path / "1.jsonl"
    path.write_bytes((BEGIN + lines_of(a))[:-cut])
    (found,) = sessions([path])
    assert found.events == a[:-1]


def test_damage_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    """A line that is no event raises, or is told to whoever wants to go on."""
    a = session("a")
    path = tmp_path / "1.jsonl"
    path.write_bytes(BEGIN + to_line(a[0]) + b"\0\0\0\n" + b'{"e":"hunch","s":"a","n":2,"t":1}\n' + lines_of(a[1:]))
    with pytest.raises(RecordError, match=r"1\.jsonl:3: the line is no JSON"):
        list(sessions([path]))
    told: list[Damaged] = []
    assert [each.events for each in sessions([path], damaged=told.append)] == [a]
    assert [each.line for each in told] == [3, 4]


def test_dropped_events_are_seen_by_their_numbers(tmp_path: Path) -> None:
    """A gap in the numbers is what was dropped."""
    a = session("a", 5)
    path = tmp_path / "1.jsonl"
    path.write_bytes(BEGIN + lines_of([a[0], *a[4:]]))
    (found,) = sessions([path])
    assert found.missing == 3


def test_reader_goes_on_where_the_file_has_grown(tmp_path: Path) -> None:
    """What is followed is read once, also when a line comes in two pieces."""
    a = session("a")
    data = BEGIN + lines_of(a)
    path = tmp_path / "1.jsonl"
    path.write_bytes(data[:150])
    reader = FileReader(path)
    seen = list(reader.read())
    path.write_bytes(data)
    seen += list(reader.read())
    assert seen == a
    assert list(reader.read()) == []


def test_file_of_a_version_that_was_released_is_read() -> None:
    """Files of every released version stay readable; this one is never changed."""
    found = list(sessions([SAMPLE]))
    assert [(each.id, len(each.events)) for each in found] == [("c1", 7), ("c2", 1)]
    assert found[0].closed is not None
    assert found[0].closed.outcome == "quit"


def test_lines_that_are_written_are_never_too_long_to_read() -> None:
    """The longest content that is kept, escaped in the longest way, is less than a line that is read."""
    assert CONTENT_LIMIT * 6 + 4096 < LINE_LIMIT


@pytest.mark.skipif(not available(), reason="zstandard is not installed")
def test_compressed_file_is_read_up_to_where_it_was_cut(tmp_path: Path) -> None:
    """A frame without its end is read up to the last event that was written; several frames are one file."""
    a, b = session("a"), session("b")
    first, second = Compressor(), Compressor()
    data = first.add(BEGIN) + first.add(lines_of(a)) + first.finish() + second.add(BEGIN + to_line(b[0]))
    path = tmp_path / "1.jsonl.zst"
    path.write_bytes(data + second.add(lines_of(b[1:]))[:-3])
    found = list(sessions([path]))
    assert found[0].events == a
    assert found[1].events[0] == b[0]
