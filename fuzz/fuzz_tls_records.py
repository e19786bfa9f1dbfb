"""Invariant: the facts are the same for every cut and direction of cutting, and what is kept is bounded."""

from __future__ import annotations

from gatepost.tls.records import KEPT_LIMIT, Fact, RecordReader, Sender


def facts(pieces: list[tuple[Sender, bytes]]) -> list[Fact]:
    """What the reader says."""
    reader = RecordReader()
    found = [fact for sender, piece in pieces for fact in reader.read(sender, piece)]
    for side in reader._sides.values():
        assert len(side.kept) <= KEPT_LIMIT
    return found


def records(data: bytes) -> bytes:
    """The input as records, so that most of it is read: an octet of type and one of length before each body."""
    out, at = b"", 0
    while at + 2 <= len(data):
        kind, length = 20 + data[at] % 6, data[at + 1]
        body = data[at + 2 : at + 2 + length]
        out += bytes((kind, 3, data[at] % 5)) + len(body).to_bytes(2) + body
        at += 2 + length
    return out


def target(data: bytes) -> None:
    """As it is and as records, of either side: whole, and cut at the place that the first octet names."""
    cut = data[0] % (len(data) + 1) if data else 0
    senders: tuple[Sender, ...] = ("client", "server")
    for octets in (data, records(data)):
        for sender in senders:
            whole = facts([("server", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"), (sender, octets)])
            parts = [(sender, octets[:cut]), (sender, octets[cut:])]
            assert facts([("server", b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"), *parts]) == whole
