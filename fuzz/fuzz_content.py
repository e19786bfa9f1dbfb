"""Invariant: content is the same for every cut, is made of CRLF lines without NUL, and ends at the first CRLF.CRLF."""

from __future__ import annotations

import re

from gatepost.wire.framing import LineFramer
from gatepost.wire.smtp.content import DotReader


def read(pieces: list[bytes], *, normalise: bool) -> tuple[bytes | None, bytes | None]:
    """The content (None: refused) and what stands behind its end (None: no end)."""
    framer, reader, out = LineFramer(20), DotReader(10**6, normalise=normalise), b""
    for piece in pieces:
        framer.receive(piece)
        while not reader.ended:
            buffer, start = framer.peek()
            data, position = reader.read(buffer, start)
            framer.advance(position)
            out += data
            if not data and position == start:
                break
    return None if reader.refusal else out, framer.take() if reader.ended else None


def target(data: bytes) -> None:
    """Whole, and cut in two at the place that the first octet names."""
    cut = data[0] % (len(data) + 1) if data else 0
    end = (b"\r\n" + data).find(b"\r\n.\r\n")
    for normalise in (False, True):
        content, rest = read([data], normalise=normalise)
        assert read([data[:cut], data[cut:]], normalise=normalise) == (content, rest)
        assert rest == (data[end + 3 :] if end >= 0 else None)
        if content is not None and rest is not None:
            assert re.fullmatch(rb"(?:[^\r\n\0]*\r\n)*", content)
