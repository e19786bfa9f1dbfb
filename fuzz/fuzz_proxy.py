"""Invariant: a header is read alike for every cut, names addresses and ports, leaves what is behind it alone, and no
more is held than the longest header has."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from fuzz.measure import held
from fuzz.origins import plan, seeds
from fuzz.words import BINARY

from gatepost.wire.proxy import V2_LIMIT, V2_SIGNATURE, HeaderReader, ProxyHeaderInvalid, Told, crc32c

BEGINNINGS = (b"", b"PROXY TCP4 ", b"PROXY TCP6 ", V2_SIGNATURE, V2_SIGNATURE + b"\x21\x11\x00\x10")
WORDS = (
    b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"192.0.2.1 ", b"2001:db8::1 ", b"25 ", b"65535", b"\r\n",
    V2_SIGNATURE, b"\x21\x11\x00\x0c", b"\x21\x21\x00\x24", b"\x20\x00\x00\x00", b"\x03\0\4", b"\x20\0\5\1\0\0\0\0",
    *BINARY,
)  # fmt: skip
_FIXED = V2_SIGNATURE + b"\x21\x11\x00\x13\xc0\0\2\1\xc0\0\2\2\x9c\x40\0\x19\x03\0\4"
_CHECKED = crc32c(_FIXED + bytes(4)).to_bytes(4)
SEEDS = seeds(
    b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\nEHLO a\r\n",
    b"PROXY UNKNOWN x\r\n",
    b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 40000 25\r\n",
    _FIXED + _CHECKED + b"\x16\x03\x01",
    V2_SIGNATURE + b"\x20\x00\x00\x00",
    V2_SIGNATURE + b"\x21\x21\x00\x24" + bytes(range(36)),
    b"192.0.2.1 192.0.2.2 1 2\r\n",
    choices=len(BEGINNINGS),
)


def read(pieces: Iterable[bytes]) -> tuple[Told, bytes] | str | None:
    """What a header says, and what stands behind it; None while it is not complete."""
    reader, left = HeaderReader(), list(pieces)
    try:
        for at, piece in enumerate(left):
            if (told := reader.feed(piece)) is not None:
                return told, reader.rest + b"".join(left[at + 1 :])
            assert held(reader) <= V2_LIMIT + len(piece)
    except ProxyHeaderInvalid:
        return "refused"
    return None


def target(data: bytes) -> None:
    """As it is, or behind the beginning of a version; in pieces, and whole."""
    plan_ = plan(data, len(BEGINNINGS))
    header = BEGINNINGS[plan_.choice] + plan_.words
    found = read([header])
    assert read(header[at : at + plan_.step] for at in range(0, len(header), plan_.step)) == found
    if not isinstance(found, tuple):
        assert found == "refused" or len(header) < V2_LIMIT
        return
    told, rest = found
    assert header.endswith(rest)
    for address in (told.source, told.destination):
        if address is not None:
            ip_address(address[0])
            assert 0 <= address[1] <= 65535
