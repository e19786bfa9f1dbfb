"""Dots before lines that begin with one, however the content is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.content import DotReader
from gatepost.wire.smtp.stuffing import CleanLines, Stuffer, stuffed

LINES = st.lists(st.sampled_from([b".", b"..", b"", b"a", b".a", b"a.", b"\xff"]), max_size=8)


@given(LINES, st.lists(st.integers(0, 30), max_size=6), st.booleans())
def test_pieces_are_stuffed_as_the_whole_is(lines: list[bytes], cuts: list[int], ended: bool) -> None:
    """Wherever they are cut, also within a line end."""
    content = b"\r\n".join(lines) + (b"\r\n" if ended else b"")
    places = [0, *sorted(cut for cut in cuts if cut <= len(content)), len(content)]
    stuffer = Stuffer()
    pieces = [stuffer.stuff(content[a:b]) for a, b in pairwise(places)]
    whole = b"".join(pieces) + stuffer.finish()
    expected = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    assert whole == b"".join(
        (b"." + line if line.startswith(b".") else line) for line in expected.splitlines(keepends=True)
    )
    assert whole == b"".join(stuffed([content]))


@pytest.mark.parametrize("pieces", [(b"a\nb",), (b"a\r", b"b"), (b"a\r",), (b"\r\r\n",), (b"\n",)])
def test_lone_line_ends_are_refused(pieces: tuple[bytes, ...]) -> None:
    """At the piece that shows it, or at the end."""
    stuffer = Stuffer()
    with pytest.raises(LocalProtocolError):
        for piece in pieces:
            stuffer.stuff(piece)
        stuffer.finish()


@given(LINES, st.lists(st.integers(0, 30), max_size=6), st.sampled_from([b"", b"\r", b"\n", b"x\ry", b"x\ny", b"\0"]))
def test_what_a_reader_calls_clean_needs_no_stuffing(lines: list[bytes], cuts: list[int], fault: bytes) -> None:
    """Its pieces, however the wire was cut: each judged again as ordinary octets comes to the same."""
    wire = b"".join(b"." * line.startswith(b".") + line + b"\r\n" for line in [*lines, fault]) + b".\r\n"
    places = [0, *sorted(cut for cut in cuts if cut <= len(wire)), len(wire)]
    reader, trusting, doubting, unread = DotReader(1000, normalise=False, nul=True), Stuffer(), Stuffer(), b""
    for a, b in pairwise(places):
        unread, at = unread + wire[a:b], 0
        while not reader.ended:
            piece, after = reader.read(unread, at)
            if after == at:
                break
            at = after
            assert not isinstance(piece, CleanLines) or piece.find(b"\n.") < 0
            assert trusting.stuff(piece) == doubting.stuff(bytes(piece))
        unread = unread[at:]
    if reader.refusal is None:
        assert trusting.finish() == doubting.finish()


def test_clean_lines_behind_a_cr_are_judged_with_it() -> None:
    """The proof is about the piece, not about what it stands behind."""
    stuffer = Stuffer()
    stuffer.stuff(b"a\r")
    with pytest.raises(LocalProtocolError):
        stuffer.stuff(CleanLines(b"b\r\n"))


def test_clean_lines_that_begin_a_line_with_a_dot_are_stuffed() -> None:
    """The first line of a piece is the only one that may begin with a dot."""
    stuffer = Stuffer()
    assert stuffer.stuff(CleanLines(b".a\r\n")) + stuffer.stuff(CleanLines(b".b\r\n")) == b"..a\r\n..b\r\n"


@pytest.mark.parametrize("content", [b"\r\n.a\rb", b"a\r\n.\n", b"\r\n\n\r", b"a\n\r\n"])
def test_lone_line_ends_are_found_behind_dots_too(content: bytes) -> None:
    """What is found first does not hide what comes later."""
    with pytest.raises(LocalProtocolError):
        Stuffer().stuff(content)
