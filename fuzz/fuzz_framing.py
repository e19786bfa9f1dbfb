"""Invariant: lines and faults are the same for every cut, and no line holds a CR or LF."""

from __future__ import annotations

from gatepost.wire.framing import LineFault, LineFramer


def lines(pieces: list[bytes], *, normalise: bool) -> list[bytes | LineFault]:
    """What the framer says."""
    framer, found = LineFramer(20, normalise=normalise), []
    for piece in pieces:
        framer.receive(piece)
        while (line := framer.next_line()) is not None:
            found.append(line)
    return found


def target(data: bytes) -> None:
    """Whole, and cut in two at the place that the first octet names."""
    cut = data[0] % (len(data) + 1) if data else 0
    for normalise in (False, True):
        whole = lines([data], normalise=normalise)
        assert lines([data[:cut], data[cut:]], normalise=normalise) == whole
        assert not any(isinstance(line, bytes) and {10, 13} & set(line) for line in whole)
