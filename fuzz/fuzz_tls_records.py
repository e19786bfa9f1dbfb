"""Invariant: the facts are the same for every cut, what is kept is bounded, and what is told is printable."""

from __future__ import annotations

from fuzz.fuzz_client_hello import SEEDS as HELLOS
from fuzz.fuzz_server_hello import flight
from fuzz.measure import held
from fuzz.origins import cut, plan, seeds
from fuzz.words import BINARY

from gatepost.tls.records import KEPT_LIMIT, Alert, Fact, Message, Record, RecordReader, Sender

WORDS = (
    *BINARY, b"\x15\x03\x03\0\2\2\x28", b"\x17\x03\x03\0\1x", b"\x18\x03\x03\0\0", b"\x14\x03\x03\0\1\1",
    b"\x16\x03\x03\0\4",
)  # fmt: skip
SEEDS = seeds(
    flight(),
    flight() + b"\x15\x03\x03\0\2\2\x28",
    HELLOS[0][2:],
    b"\x16\x03\x03\0\4\x0e\0\0\0\x17\x03\x03\0\1x",
    choices=4,
)
SENDERS: tuple[Sender, Sender] = ("client", "server")


def facts(pieces: list[tuple[Sender, bytes]]) -> list[Fact]:
    """What the reader says."""
    reader = RecordReader()
    found = [fact for sender, piece in pieces for fact in reader.read(sender, piece)]
    assert held(reader) <= 2 * (KEPT_LIMIT + 32)
    for fact in found:
        match fact:
            case Record(kind=text) | Alert(name=text):
                assert text.isprintable()
            case Message(name=text, detail=detail):
                assert (text + detail).isprintable()
    return found


def records(data: bytes) -> bytes:
    """The input as records, so that most of it is read: an octet of type and one of length before each body."""
    out, at = [], 0
    while at + 2 <= len(data):
        kind, length = 20 + data[at] % 6, data[at + 1]
        body = data[at + 2 : at + 2 + length]
        out.append(bytes((kind, 3, data[at] % 5)) + len(body).to_bytes(2) + body)
        at += 2 + length
    return b"".join(out)


def target(data: bytes) -> None:
    """As it is and as records, of either side: in pieces, and whole."""
    told = plan(data, 4)
    octets = records(told.words) if told.choice // 2 else told.words
    sender = SENDERS[told.choice % 2]
    before: tuple[Sender, bytes] = ("server", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
    assert facts([before, *((sender, piece) for piece in cut(octets, told.step))]) == facts([before, (sender, octets)])
