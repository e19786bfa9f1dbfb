"""Invariant: content is the same for every cut, is made of CRLF lines without NUL, ends at the first CRLF.CRLF or with
its chunk, goes through stuffing and back as it was, and no more of it is held than a line end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fuzz.origins import cut, plan, seeds
from fuzz.words import ENDS

from gatepost.errors import LocalProtocolError
from gatepost.wire.framing import LineFramer
from gatepost.wire.pop3.multiline import MultilineWriter, top_filter, wire_octets
from gatepost.wire.smtp.content import ChunkReader, DotReader
from gatepost.wire.smtp.stuffing import END_OF_DATA, stuffed

LINES = re.compile(rb"(?:[^\r\n\0]*\r\n)*")
WORDS = (*ENDS, b"..", b"\r\n..\r\n", b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"Subject: x")
SEEDS = seeds(
    b"Subject: x\r\n\r\n..dot\r\nend\r\n.\r\nQUIT\r\n",
    b".\r\n",
    b"a\nb\n.\nc\r\n.\r\n",
    b"a\0b\r\n\0c\r\n.\r\n",
    b"a\rb\r\n",
)


def read(pieces: Iterable[bytes], *, normalise: bool) -> tuple[bytes | None, bytes | None]:
    """The content behind DATA (None: refused) and what stands behind its end (None: no end)."""
    framer, reader, out = LineFramer(20), DotReader(10**6, normalise=normalise), []
    for piece in pieces:
        framer.receive(piece)
        while not reader.ended:
            buffer, start = framer.peek()
            data, position = reader.read(buffer, start)
            framer.advance(position)
            out.append(data)
            if not data and position == start:
                assert len(buffer) - start <= 4
                break
    return None if reader.refusal else b"".join(out), framer.take() if reader.ended else None


def read_chunk(pieces: Iterable[bytes], *, normalise: bool) -> bytes | None:
    """The content of a chunk; None when it is refused."""
    reader = ChunkReader(10**6, normalise=normalise)
    out = [reader.read(piece) for piece in pieces]
    out.append(reader.finish())
    return None if reader.refusal else b"".join(out)


def behind_data(words: bytes, step: int, *, normalise: bool) -> None:
    """As DATA has it."""
    end = (b"\r\n" + words).find(b"\r\n.\r\n")
    content, rest = read([words], normalise=normalise)
    assert read(cut(words, step), normalise=normalise) == (content, rest)
    assert rest == (words[end + 3 :] if end >= 0 else None)
    if content is None or rest is None:
        return
    assert LINES.fullmatch(content)
    wire = b"".join(stuffed(cut(content, step)))
    assert read([wire + END_OF_DATA], normalise=False) == (content, b"")


def target(data: bytes) -> None:
    """Behind DATA, as a chunk, and on its way to a POP3 client: in pieces, and whole."""
    told = plan(data)
    normalise, words = bool(told.votes & 1), told.words
    behind_data(words, told.step, normalise=normalise)
    chunk = read_chunk([words], normalise=normalise)
    assert read_chunk(told.pieces(), normalise=normalise) == chunk
    assert chunk is None or LINES.fullmatch(chunk)
    try:
        wire = b"".join(stuffed(told.pieces()))
    except LocalProtocolError:
        pass
    else:
        assert b"\r\n.\r\n" not in b"\r\n" + wire
    writer = MultilineWriter()
    answer = b"".join(map(writer.write, told.pieces())) + writer.finish()
    assert (b"\r\n" + answer).find(b"\r\n.\r\n") == len(answer) - 3
    assert writer.octets == wire_octets([words])
    top = b"".join(top_filter(told.pieces(), told.votes))
    assert words.startswith(top)
    assert top == b"".join(top_filter([words], told.votes))
