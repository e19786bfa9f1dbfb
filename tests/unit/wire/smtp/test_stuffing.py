"""Dots before lines that begin with one, however the content is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.stuffing import Stuffer, stuffed

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
