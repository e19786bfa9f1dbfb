"""Following records while they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.record.conversation import Conversation, starttls_session

from gatepost.record import following
from gatepost.record.events import RecordEvent, to_line
from gatepost.record.following import Follower
from gatepost.record.reading import Damaged


class Directory:
    """A directory of records, written as a recorder does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[Damaged] = []
        self.follower = Follower([path], self.damage.append)

    def write(self, name: str, *events: RecordEvent) -> None:
        with (self.path / name).open("ab") as file:
            file.write(b"".join(map(to_line, events)))

    def new(self) -> list[RecordEvent]:
        return [event for event, _ in self.follower.events()]


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def test_each_event_comes_once_and_soon(directory: Directory) -> None:
    """What was written since the last look, in its order, and nothing twice."""
    events = starttls_session().events
    directory.write("1.jsonl", *events[:5])
    assert directory.new() == events[:5]
    assert directory.new() == []
    directory.write("1.jsonl", *events[5:])
    assert directory.new() == events[5:]


def test_half_a_line_waits_for_its_other_half(directory: Directory) -> None:
    """A writer may be seen in the middle of a line."""
    line = to_line(starttls_session().events[0])
    file = directory.path / "1.jsonl"
    file.write_bytes(line[:20])
    assert directory.new() == []
    with file.open("ab") as more:
        more.write(line[20:])
    assert directory.new() == starttls_session().events[:1] and directory.damage == []


def test_session_goes_on_in_the_next_file(directory: Directory) -> None:
    """Rotation: a new file is found, and the session in it is known from the old one."""
    events = starttls_session().events
    directory.write("1.jsonl", *events[:5])
    directory.new()
    directory.write("2.jsonl", *events[5:])
    found = list(directory.follower.events())
    assert [event for event, _ in found] == events[5:]
    assert found[0][1].opened == events[0]


def test_copy_of_a_file_says_nothing_new(directory: Directory) -> None:
    """A file that was compressed or copied has events that were shown before."""
    directory.write("1.jsonl", *starttls_session().events)
    assert len(directory.new()) == len(starttls_session().events)
    directory.write("2.jsonl", *starttls_session().events)
    assert directory.new() == []


def test_what_is_there_already_is_skipped_but_known(directory: Directory) -> None:
    """Who begins to follow in the middle of a session still knows who its client is."""
    events = starttls_session().events
    directory.write("1.jsonl", *events[:3])
    directory.follower.skip()
    directory.write("1.jsonl", events[3])
    ((event, under),) = directory.follower.events()
    assert event == events[3] and under.opened == events[0]


def test_file_that_vanishes_is_no_error(directory: Directory) -> None:
    """The budget of a running recorder removes old files."""
    directory.write("1.jsonl", *starttls_session().events[:2])
    directory.new()
    (directory.path / "1.jsonl").unlink()
    assert directory.new() == []


def test_file_that_was_written_anew_is_read_from_its_beginning(directory: Directory) -> None:
    """A file of the same name that is shorter is another one."""
    directory.write("1.jsonl", *starttls_session().events)
    directory.new()
    other = Conversation("other")
    (directory.path / "1.jsonl").write_bytes(to_line(other.session.events[0]))
    assert directory.new() == other.session.events


def test_damaged_line_is_told_and_passed_over(directory: Directory) -> None:
    """One bad line does not end the following."""
    (directory.path / "1.jsonl").write_bytes(b"{nonsense\n")
    directory.write("1.jsonl", starttls_session().events[0])
    assert len(directory.new()) == 1
    assert [damaged.line for damaged in directory.damage] == [1]


def test_what_is_remembered_is_bounded(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of sessions makes the oldest forgotten, not the memory full."""
    monkeypatch.setattr(following, "SESSIONS", 3)
    for number in range(10):
        directory.write("1.jsonl", *Conversation(f"s{number}").session.events)
    assert len(directory.new()) == 10
    assert len(directory.follower.remembered) == 3
