"""Invariant: only UnexpectedWords escapes from reading BER, and elements that were read are written as what is read."""

from __future__ import annotations

from contextlib import suppress

from fuzz.words import BINARY

from gatepost.wire.recipes import ber
from gatepost.wire.recipes.recipe import UnexpectedWords

WORDS = (*BINARY, b"\x30", b"\x02\x01\x01", b"\x84\0\0\0\x01", b"\x81\x80", b"\x80", b"\x1f", b"\x0a\x01\0", b"\x04\0")
SEEDS = (
    b"\x02\x01\x01x\x07\n\x01\0\4\0\4\0",
    b"\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037",
    b"\x30\x84\0\0\0\x03\x02\x01\x7f",
)


def target(data: bytes) -> None:
    """The contents of an element, and each of them as a number."""
    with suppress(UnexpectedWords):
        found = ber.elements(data)
        assert ber.elements(b"".join(ber.element(tag, content) for tag, content in found)) == found
        for _, content in found:
            with suppress(UnexpectedWords):
                assert 0 <= ber.number(content) < 1 << 32
