"""The framer and the content readers: the same for every cut."""

from __future__ import annotations

import itertools
import re
from unittest import mock

from hypothesis import example, given
from hypothesis import strategies as st

from gatepost.wire.framing import LineFault, LineFramer
from gatepost.wire.smtp import content as content_module
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.content import ChunkReader, DotReader
from gatepost.wire.smtp.reply import Reply

# Octets that matter are likely, so that short inputs hold every neighbourhood of them.
WORDS = st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.", b"\r\n.\r\n", b"\0", b"a", b"xyz"])
OCTETS = st.lists(WORDS, max_size=40).map(b"".join)
CUTS = st.lists(st.integers(0, 120), max_size=12)
LIMIT = 10


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """The data in pieces, some of them empty."""
    edges = [0, *sorted(min(position, len(data)) for position in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def framed(pieces: list[bytes], *, normalise: bool) -> list[bytes | LineFault]:
    """What the framer says of the pieces."""
    framer = LineFramer(LIMIT, normalise=normalise)
    found: list[bytes | LineFault] = []
    for piece in pieces:
        framer.receive(piece)
        while (line := framer.next_line()) is not None:
            found.append(line)
        assert len(framer) <= LIMIT + 1
    return found


def framed_by_definition(data: bytes) -> list[bytes | LineFault]:
    """The strict rule, written as it is said: split at CRLF; the first offence of a line is its fault."""
    *lines, rest = data.split(b"\r\n")
    found: list[bytes | LineFault] = []
    for line in lines:
        fault = first_fault(line)
        found.append(line if fault is None else fault)
    fault = first_fault(rest[:-1] if rest.endswith(b"\r") else rest)
    return found if fault is None else [*found, fault]


def first_fault(line: bytes) -> LineFault | None:
    """The first offence in a line."""
    for index, octet in enumerate(line):
        if octet == 10:
            return LineFault.BARE_LF
        if octet == 13:
            return LineFault.BARE_CR
        if index == LIMIT:
            return LineFault.TOO_LONG
    return None


@given(OCTETS, CUTS)
@example(b"....xyzxyz\r\r", [])
@example(b"....xyzxyz\n", [10])
def test_framer_says_the_same_for_every_cut(data: bytes, at: list[int]) -> None:
    """And what it says is the definition."""
    assert framed(cut(data, at), normalise=False) == framed_by_definition(data)


@given(OCTETS, CUTS)
def test_framer_says_the_same_for_every_cut_when_it_normalises(data: bytes, at: list[int]) -> None:
    """Lenient framing is as little a matter of segments as strict framing is."""
    assert framed(cut(data, at), normalise=True) == framed([data], normalise=True)


@given(OCTETS)
def test_framer_gives_no_line_with_a_line_end_in_it(data: bytes) -> None:
    """No part of the engine ever sees a CR or LF in a line."""
    for normalise in (False, True):
        for line in framed([data], normalise=normalise):
            assert isinstance(line, LineFault) or not {10, 13} & set(line)


Outcome = tuple[bytes, Reply | None, bytes | None]


def content(pieces: list[bytes], *, normalise: bool, limit: int = 1000) -> Outcome:
    """Content (nothing when it was refused), refusal, and what stands behind the end (None: no end yet)."""
    framer = LineFramer(LIMIT)
    reader = DotReader(limit, normalise=normalise)
    out = b""
    for piece in pieces:
        framer.receive(piece)
        while not reader.ended:
            buffer, start = framer.peek()
            read, position = reader.read(buffer, start)
            framer.advance(position)
            out += read
            if not read and position == start:
                break
        if not reader.ended:
            assert len(framer) <= 4
    refused = reader.refusal is not None
    return b"" if refused else out, reader.refusal, framer.take() if reader.ended else None


def content_by_definition(data: bytes, *, normalise: bool, limit: int = 1000) -> Outcome:
    """The rule as it is said: the first CRLF.CRLF ends, lines are unstuffed, a bare CR, LF or NUL is refused."""
    stream = b"\r\n" + data
    end = stream.find(b"\r\n.\r\n")
    raw = stream[: end + 2]
    if normalise:
        raw = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    text = re.sub(rb"\r\n\.", b"\r\n", raw)[2:]
    offence = re.search(rb"\0|\r(?!\n)|(?<!\r)\n", text)
    refusal = None
    if offence is not None and offence.start() < limit:
        refusal = reply.NUL_CONTENT if offence[0] == b"\0" else reply.BARE_CONTENT_END
    elif len(text) > limit:
        refusal = reply.TOO_BIG
    return b"" if refusal else text, refusal, stream[end + 5 :]


@given(OCTETS, OCTETS, CUTS, st.booleans(), st.sampled_from([5, 12, 1000]))
def test_content_is_the_same_for_every_cut(
    data: bytes, behind: bytes, at: list[int], normalise: bool, limit: int
) -> None:
    """And it is the definition: where it ends, what it holds, why it is refused."""
    wire = data + b"\r\n.\r\n" + behind
    expected = content_by_definition(wire, normalise=normalise, limit=limit)
    assert content(cut(wire, at), normalise=normalise, limit=limit) == expected


@given(OCTETS, CUTS, st.booleans(), st.integers(5, 9))
def test_content_is_the_same_for_every_bound_on_its_pieces(
    data: bytes, at: list[int], normalise: bool, bound: int
) -> None:
    """A piece may end anywhere for another reason than a cut; the content is still the definition."""
    wire = data + b"\r\n.\r\n"
    expected = content_by_definition(wire, normalise=normalise)
    with mock.patch.object(content_module, "PIECE", bound):
        assert content(cut(wire, at), normalise=normalise) == expected


@given(OCTETS, CUTS, st.booleans())
def test_content_without_an_end_has_none(data: bytes, at: list[int], normalise: bool) -> None:
    """A message is ended by CRLF.CRLF or not at all."""
    if b"\r\n.\r\n" not in b"\r\n" + data:
        assert content(cut(data, at), normalise=normalise)[2] is None


@given(st.lists(st.binary(max_size=12).map(lambda line: line.translate(None, b"\r\n\0")), max_size=8), CUTS)
def test_stuffed_content_comes_out_as_it_was(lines: list[bytes], at: list[int]) -> None:
    """What a client stuffs, the server unstuffs."""
    message = b"".join(line + b"\r\n" for line in lines)
    stuffed = b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)
    assert content(cut(stuffed + b".\r\n", at), normalise=False) == (message, None, b"")


@given(OCTETS, CUTS, st.booleans())
def test_chunks_are_the_same_for_every_cut(data: bytes, at: list[int], normalise: bool) -> None:
    """BDAT content too: what it holds and why it is refused does not depend on chunks or segments."""

    def read(pieces: list[bytes]) -> tuple[bytes, Reply | None]:
        reader = ChunkReader(1000, normalise=normalise)
        out = b"".join([reader.read(piece) for piece in pieces]) + reader.finish()
        return b"" if reader.refusal else out, reader.refusal

    assert read(cut(data, at)) == read([data])
    out, refusal = read([data])
    if refusal is None:
        assert re.fullmatch(rb"(?:[^\r\n\0]*\r\n)*", out)
