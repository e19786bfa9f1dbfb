"""What a peer says on a terminal: everything is seen, nothing moves the cursor, wherever a segment ends."""

from __future__ import annotations

import sys
from io import StringIO

import pytest

from gatepost.cli.terminal import Screen


class Terminal(StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("segments", "seen"),
    [
        ((b"250 Ok\r\n",), "250 Ok\n"),
        ((b"250 Ok\r", b"\n250 More\r\n"), "250 Ok\n250 More\n"),
        ((b"250 Ok\r", b"250 More\r\n"), "250 Ok\\r250 More\n"),
        ((b"250 Ok\r",), "250 Ok\\r"),
        ((b"a\r", b"\r", b"\n"), "a\\r\n"),
        ((b"a\rb\r\r\nc",), "a\\rb\\r\nc"),
        ((b"\r", b"", b"x"), "\\rx"),
        ((b"gr\xc3", b"\xbc\xc3\x9fe\n"), "grüße\n"),
        ((b"\xff\xc3",), "\\xff\\xc3"),
        ((b"\x1b[2Ja\tb\n",), "\\x1b[2Ja\tb\n"),
    ],
)
def test_every_octet_is_seen_wherever_segments_end(
    monkeypatch: pytest.MonkeyPatch, segments: tuple[bytes, ...], seen: str
) -> None:
    """A CR is left out where it ends a line with its LF, and nowhere else."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    screen = Screen()
    for segment in segments:
        screen.show(segment)
    screen.finish()
    assert terminal.getvalue() == seen
