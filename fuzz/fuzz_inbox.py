"""Invariant: what a library's connection reads is, joined, what came; a line has one end, its last octet; only
RemoteProtocolError escapes, and then nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.origins import plan, seeds
from fuzz.words import ENDS

from gatepost.errors import RemoteProtocolError
from gatepost.wire.dialogue import Dialogue, Receive
from gatepost.wire.inbox import Inbox

LIMIT = 100
WORDS = (*ENDS, b"x" * 99, b"x" * 100, b"x" * 101)
SEEDS = seeds(b"one\r\ntwo\nthree\r\n" + b"x" * 120 + b"\nlast")


def run(dialogue: Dialogue[bytes], pieces: Iterator[bytes]) -> bytes:
    """Its value."""
    try:
        effect = next(dialogue)
        while True:
            assert isinstance(effect, Receive)
            effect = dialogue.send(next(pieces, b""))
    except StopIteration as stop:
        value: bytes = stop.value
        return value


def target(data: bytes) -> None:
    """Lines, numbers of octets and whatever there is, by turns."""
    told = plan(data)
    inbox, pieces, taken = Inbox(), told.pieces(), []
    for turn in range(len(told.words) + 1):
        kind = told.votes >> turn % 4 * 2 & 3
        try:
            if kind == 0:
                line = run(inbox.readline(LIMIT, 1.0), pieces)
                assert not line or line.find(b"\n") == len(line) - 1 < LIMIT
                taken.append(line)
            elif kind == 1:
                taken.append(run(inbox.read_exactly(kind + turn % 7, 1.0), pieces))
            else:
                taken.append(run(inbox.read(LIMIT, 1.0), pieces))
        except RemoteProtocolError:
            break
        if not taken[-1]:
            break
    left = run(inbox.read(1 << 20, 1.0), iter(())) if len(inbox) else b""
    assert b"".join(taken) + left + b"".join(pieces) == told.words
