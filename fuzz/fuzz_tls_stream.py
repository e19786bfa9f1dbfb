"""Invariant: on a private connection, octets that the peer never sent are never plaintext; only TLSClosed escapes, and
what came before them arrives, for every cut."""

from __future__ import annotations

from fuzz.measure import held
from fuzz.origins import plan, seeds
from fuzz.words import BINARY

from gatepost.testing.tls import secure_streams
from gatepost.tls.stream import TLSClosed

SAID = (b"hello", b"", b"x" * 20000)
WORDS = (*BINARY, b"\x17\x03\x03\0\x13", b"\x17\x03\x03\x40\x11", b"\x15\x03\x03\0\x13", b"\x17\x03\x03\0\0")
SEEDS = seeds(
    b"\x17\x03\x03\0\x13" + bytes(19),
    b"\x15\x03\x03\0\2\1\0",
    b"\x16\x03\x03\0\4\0\0\0\0",
    b"\x17\x03\x03\xff\xff",
    b"EHLO",
    choices=3,
)


def target(data: bytes) -> None:
    """Something true, then the input; at either side."""
    told = plan(data, 3)
    one, other = secure_streams() if told.votes & 1 else reversed(secure_streams())
    other.receive(one.outgoing())  # tickets
    one.send(SAID[told.choice])
    octets, heard = one.outgoing() + told.words, b""
    try:
        for at in range(0, len(octets), told.step * 37):
            heard += other.receive(octets[at : at + told.step * 37])
        other.receive_eof()
    except TLSClosed as closed:
        assert str(closed).isprintable()
    assert heard == SAID[told.choice]
    assert held(other) <= 1 << 17
    other.close()
    other.outgoing()
