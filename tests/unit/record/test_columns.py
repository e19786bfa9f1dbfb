"""The conversation in two columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.record.conversation import Conversation, blind_session, hostile_session, starttls_session

from gatepost.record.columns import Clock, heading, row, rows
from gatepost.record.events import Upgraded
from gatepost.record.reading import Session
from gatepost.record.terminal import Columns, headed, plain

GOLDEN = Path(__file__).parent / "golden"


def drawn(session: Session, width: int) -> str:
    columns = Columns(width)
    lines = [*plain(headed(heading(session))), "", *plain(columns.head())]
    for each in rows(session):
        lines += plain(columns.draw(each))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "session", "width"),
    [
        ("starttls-100", starttls_session(), 100),
        ("starttls-60", starttls_session(), 60),
        ("blind", blind_session(), 100),
    ],
)
def test_session_is_drawn_as_the_golden_text(name: str, session: Session, width: int) -> None:
    """The two columns of a session, the moment of its upgrade, its decisions and what was dropped."""
    assert drawn(session, width) == (GOLDEN / f"{name}.txt").read_text()


def test_no_line_is_wider_than_asked_for() -> None:
    """Whatever peers say, the table keeps its width, and its lines are its own."""
    from rich.cells import cell_len

    for session in (starttls_session(), hostile_session()):
        for width in (60, 80, 100, 137):
            for each in rows(session):
                for line in plain(Columns(width).draw(each)):
                    assert cell_len(line) <= width
                    assert "\n" not in line


def test_wide_characters_count_as_two() -> None:
    """A line of Chinese is wrapped where the terminal would."""
    from rich.cells import cell_len

    talk = Conversation()
    talk.client("SUBJECT 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字".encode())
    (each,) = [row for row in rows(talk.session) if row.place == "client"]
    assert all(cell_len(line) <= 60 for line in plain(Columns(60).draw(each)))


def test_times_are_between_rows_and_privacy_is_each_lines_own() -> None:
    """+0.012 s is the time since the row before; what was said in the clear and in private is told apart."""
    found = list(rows(starttls_session()))
    assert [each.pause for each in found[:2]] == [pytest.approx(0.001, abs=1e-6), pytest.approx(0.01, abs=1e-6)]
    at = next(index for index, each in enumerate(found) if each.tone == "upgrade")
    assert not any(each.private for each in found[: at + 1])
    assert all(each.private for each in found[at + 1 :])


def test_what_is_missing_is_said() -> None:
    """A beginning that was not kept, a hole, an end that never came."""
    talk = Conversation(begin=False)
    talk.lose(3)
    talk.client(b"NOOP")
    talk.lose(1)
    talk.server(b"250 ok")
    said = [each.text for each in rows(talk.session) if each.tone == "missing"]
    assert said == [
        "the beginning is missing: 3 events dropped here",
        "1 event dropped here",
        "the record ends here, and the session may go on",
    ]
    assert heading(talk.session)["missing"] == "4 events of this session were dropped"


def test_failed_handshake_is_no_upgrade() -> None:
    """It says that it failed, and why."""
    talk = Conversation()
    talk.add(Upgraded, side="client", reason="no shared cipher")
    (failed,) = [each for each in rows(talk.session) if each.tone == "failed"]
    assert failed.text == "TLS failed: no shared cipher" and not failed.private


def test_long_content_is_cut_and_says_so() -> None:
    """Of a message that was kept whole the first lines are shown; how much is not shown is said."""
    talk = Conversation()
    content = b"".join(b"line %d\r\n" % number for number in range(1000))
    talk.data("client", len(content), content=content, sha256="0" * 64)
    (each,) = [row for row in rows(talk.session) if row.tone == "content"]
    assert each.quoted[0] == "line 0" and len(each.quoted) == 200
    assert f"{len(content) - sum(len(f'line {n}') + 2 for n in range(200)):,} octets not shown" in each.note


def test_forged_remark_is_told_apart() -> None:
    """A peer's line that looks like one of our remarks does not begin with a bracket."""
    talk = Conversation()
    talk.client(b"[20,480 octets, SHA-256 00]")
    (each,) = [row for row in rows(talk.session) if row.place == "client"]
    assert each.text.startswith("\\x5b")


def test_one_event_alone_has_its_row() -> None:
    """Whoever follows a session gets the same rows, but for the beginning, which has none."""
    session = starttls_session()
    clock = Clock()
    alone = [each for event in session.events if (each := row(event, clock)) is not None]
    together = [each for each in rows(session) if each.tone != "missing"]
    assert [replace(each, pause=None) for each in alone] == [replace(each, pause=None) for each in together]
