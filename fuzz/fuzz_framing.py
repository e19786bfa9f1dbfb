"""Invariant: lines and faults are the same for every cut, no line holds a CR or LF, and no more is held than a line."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.measure import held
from fuzz.origins import plan, seeds
from fuzz.words import ENDS

from gatepost.wire.framing import LineFault, LineFramer

LIMIT = 20
WORDS = (*ENDS, b"x" * 19, b"x" * 20, b"x" * 21, b"\r\r\n", b"\n\r\n")
SEEDS = seeds(b"one\r\ntwo\r\n" + b"x" * 30 + b"\r\nbare\nfeed\rreturn\r\n", b"x" * 20 + b"\r\n", b"x" * 19 + b"\r")


def lines(pieces: Iterable[bytes], *, normalise: bool) -> list[bytes | LineFault]:
    """What the framer says."""
    framer, found = LineFramer(LIMIT, normalise=normalise), list[bytes | LineFault]()
    for number, piece in enumerate(pieces):
        framer.receive(piece)
        while (line := framer.next_line()) is not None:
            found.append(line)
        assert number % 64 or held(framer) <= 2 * LIMIT + 2 + 2 * len(piece)
    return found


def target(data: bytes) -> None:
    """In pieces, and whole."""
    told = plan(data)
    normalise = bool(told.votes & 1)
    whole = lines([told.words], normalise=normalise)
    assert lines(told.pieces(), normalise=normalise) == whole
    assert not any(isinstance(line, bytes) and {10, 13} & set(line) for line in whole)
