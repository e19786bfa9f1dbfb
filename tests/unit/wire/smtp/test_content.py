"""Content off the wire: where a message ends, and what it may hold."""

from __future__ import annotations

import time

import pytest

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.content import PIECE, ChunkReader, DotReader
from gatepost.wire.smtp.reply import Reply


def read(
    data: bytes, *, limit: int = 10**9, normalise: bool = False, step: int = 0
) -> tuple[bytes, bytes | None, Reply | None]:
    """The content, what stood behind its end (None: no end), and the refusal."""
    reader = DotReader(limit, normalise=normalise)
    pieces: list[bytes] = []
    buffer = b""
    for start in range(0, len(data), step or max(len(data), 1)):
        buffer += data[start : start + step] if step else data
        position = 0
        while not reader.ended:
            piece, after = reader.read(buffer, position)
            pieces.append(piece)
            if not piece and after == position:
                break
            position = after
        buffer = buffer[position:]
    return b"".join(pieces), buffer if reader.ended else None, reader.refusal


STEPS = pytest.mark.parametrize("step", [0, 1, 2, 3, 5])


@STEPS
@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
        (b".x\r\n.\r\n", b"x\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"a\r\n. \r\n.\r\n", b"a\r\n \r\n"),
    ],
)
def test_content_ends_at_crlf_dot_crlf_and_is_unstuffed(wire: bytes, content: bytes, step: int) -> None:
    """RFC 5321 §4.5.2, for every cut; what stands behind is left alone."""
    assert read(wire + b"QUIT\r\n", step=step)[0] == content
    assert read(wire + b"QUIT\r\n")[1] == b"QUIT\r\n"
    assert read(wire, step=step)[1:] == (b"", None)


@STEPS
@pytest.mark.parametrize(
    "false_end",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\n",
        b"\r.\r\n",
        b"\n.\r",
        b"\r\n.\r",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
    ],
)
def test_content_is_not_ended_by_a_smuggled_end(false_end: bytes, step: int) -> None:
    """Each variant is content; the message runs to its true end and is refused as a whole."""
    wire = b"a" + false_end + b"MAIL FROM:<evil@example>\r\nx\r\n.\r\nQUIT\r\n"
    _, behind, refusal = read(wire, step=step)
    if step == 0:
        assert behind == b"QUIT\r\n"
    assert behind is not None
    assert refusal in (reply.BARE_CONTENT_END, reply.NUL_CONTENT)


def test_content_line_of_dot_and_blank_is_no_end() -> None:
    """``CRLF . SP CRLF`` is a legal line of content."""
    assert read(b"a\r\n. \r\nMAIL\r\n.\r\n") == (b"a\r\n \r\nMAIL\r\n", b"", None)


@STEPS
def test_content_normalises_a_bare_lf_that_still_ends_nothing(step: int) -> None:
    """For old peers a bare LF becomes CRLF; only CRLF.CRLF is the end; a bare CR is still refused."""
    wire = b"a\nb\r\n..c\nd\n.\r\ne\n.\n\r\n.\r\n"
    assert read(wire, normalise=True, step=step) == (b"a\r\nb\r\n.c\r\nd\r\n\r\ne\r\n\r\n\r\n", b"", None)
    assert read(b"a\rb\nc\r\n.\r\n", normalise=True, step=step)[2] is reply.BARE_CONTENT_END
    assert read(b"a\0b\nc\r\n.\r\n", normalise=True, step=step)[2] is reply.NUL_CONTENT


@STEPS
def test_content_above_the_limit_is_consumed_and_refused(step: int) -> None:
    """The size is counted without the stuffed dots and without the end."""
    wire = b"..34567\r\n1234567\r\n.\r\n"
    assert read(wire, limit=17, step=step)[1:] == (b"", None)
    assert read(wire, limit=16, step=step)[1:] == (b"", reply.TOO_BIG)


@STEPS
def test_content_fault_that_comes_first_is_named(step: int) -> None:
    """The refusal is the same for every cut."""
    assert read(b"1234567\r\n\0\n\r\n.\r\n", limit=9, step=step)[2] is reply.TOO_BIG
    assert read(b"1234567\r\n\0\n\r\n.\r\n", limit=10, step=step)[2] is reply.NUL_CONTENT
    assert read(b"1234567\r\n\n\0\r\n.\r\n", limit=10, step=step)[2] is reply.BARE_CONTENT_END


def test_content_comes_in_bounded_pieces() -> None:
    """However much is received at once, no piece is larger than the bound, and nothing is lost at the joints."""
    body = b"0123456789abcde\r\n..stuffed\r\n" * 60_000
    reader = DotReader(10**9, normalise=False)
    wire, position, pieces = body + b".\r\n", 0, []
    while not reader.ended:
        piece, position = reader.read(wire, position)
        pieces.append(piece)
    assert max(map(len, pieces)) <= PIECE
    assert b"".join(pieces) == body.replace(b"\r\n.", b"\r\n")


@pytest.mark.no_cover  # it measures time, and a tracer takes some
@pytest.mark.parametrize("line", [b"x" * 76 + b"\r\n", b"\r\n", b"..\r\n", b".\r", b"\r", b"\n.", b"\r\n."])
@pytest.mark.parametrize("normalise", [False, True])
def test_content_is_linear(line: bytes, normalise: bool) -> None:
    """A megabyte of anything, whole or in small cuts, stays cheap."""
    data = line * (1_000_000 // len(line))
    began = time.process_time()
    read(data, normalise=normalise)
    read(data[:100_000], normalise=normalise, step=5)
    assert time.process_time() - began < 4


def chunks(*parts: bytes, limit: int = 10**9, normalise: bool = False) -> tuple[bytes, Reply | None]:
    """The content of chunks that come one after another, and the refusal."""
    reader = ChunkReader(limit, normalise=normalise)
    content = b"".join([reader.read(part) for part in parts])
    return content + reader.finish(), reader.refusal


def test_chunks_are_joined_and_dots_mean_nothing() -> None:
    """A CRLF may be cut between two chunks, and ``CRLF.CRLF`` is content."""
    assert chunks(b"a\r", b"\n.\r\n", b"..\r", b"\n") == (b"a\r\n.\r\n..\r\n", None)


def test_last_chunk_gets_the_line_end_that_it_lacks() -> None:
    """What is passed on is lines."""
    assert chunks(b"a\r\nb") == (b"a\r\nb\r\n", None)
    assert chunks() == (b"", None)


@pytest.mark.parametrize("parts", [(b"a\nb\r\n",), (b"a\r", b"b\r\n"), (b"a\r",), (b"\n",), (b"a\r", b"\r\n")])
def test_chunks_with_a_bare_cr_or_lf_are_refused(parts: tuple[bytes, ...]) -> None:
    """The same rule as behind DATA."""
    assert chunks(*parts)[1] is reply.BARE_CONTENT_END


def test_chunks_are_normalised_for_old_peers() -> None:
    """A bare LF becomes CRLF, a CR that waits for its LF is not doubled."""
    assert chunks(b"a\nb\r", b"\nc\n", normalise=True) == (b"a\r\nb\r\nc\r\n", None)


def test_chunk_that_will_not_fit_is_refused_before_it_is_read() -> None:
    """The declared size counts."""
    reader = ChunkReader(10, normalise=False)
    reader.read(b"12345\r\n")
    reader.declare(4)
    assert reader.refusal is reply.TOO_BIG
    assert reader.read(b"x\r\n") == b""
