"""What commands print."""

from __future__ import annotations

import pytest

from gatepost.cli import output


def test_escapes_what_could_move_the_cursor() -> None:
    """Controls of C0 and C1, bidirectional marks and line separators are written out; letters stay."""
    assert output.printable("a\x1b[2J\r\n\x9b\u202eb\u2028 ü 日") == "a\\x1b[2J\\r\\n\\x9b\\u202eb\\u2028 ü 日"
    assert output.printable(None) == ""
    assert output.printable("\ud800") == "\\ud800"


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (52428800, "50.0 MiB"), (5 << 40, "5120.0 GiB")],
)
def test_amounts_are_readable(octets: int, text: str) -> None:
    """Bytes, then the largest unit that keeps the number small."""
    assert output.amount(octets) == text


def test_age_shows_two_units() -> None:
    """Enough to judge by, short enough for a column."""
    assert output.age(93784) == "1d 2h"
    assert output.age(-5) == "0s"


def test_colour_follows_terminal_and_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never into a pipe, never against NO_COLOR."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert not output.wants_colour()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert output.wants_colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.wants_colour()


def test_table_on_a_terminal_is_drawn_without_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sender named [red] is not red."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_table(("who",), [("[red]x[/red]",)], empty="")
    assert "[red]x[/red]" in capsys.readouterr().out


def test_plain_table_has_full_width_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is cut off where programs read."""
    output.print_table(("a", "b"), [("x" * 200, 1)], empty="")
    assert capsys.readouterr().out == f"{'a':<200}  b\n{'x' * 200}  1\n"
