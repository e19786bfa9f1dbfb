"""Invariant: a header is read alike for every cut, names addresses and ports, and leaves what is behind it alone."""

from __future__ import annotations

from ipaddress import ip_address

from gatepost.wire.proxy import V2_LIMIT, V2_SIGNATURE, HeaderReader, ProxyHeaderInvalid, Told


def read(pieces: list[bytes]) -> tuple[Told, bytes] | str | None:
    """What a header says, and what stands behind it; None while it is not complete."""
    reader = HeaderReader()
    try:
        for at, piece in enumerate(pieces):
            if (told := reader.feed(piece)) is not None:
                return told, reader.rest + b"".join(pieces[at + 1 :])
    except ProxyHeaderInvalid:
        return "refused"
    return None


def target(data: bytes) -> None:
    """As it is, and behind the beginnings of both versions; whole, and cut at the place that the first octet names."""
    for begin in (b"", b"PROXY TCP4 ", b"PROXY TCP6 ", V2_SIGNATURE, V2_SIGNATURE + b"\x21\x11\x00\x10"):
        header = begin + data
        cut = data[0] % (len(header) + 1) if data else 0
        found = read([header])
        assert read([header[:cut], header[cut:]]) == found
        if not isinstance(found, tuple):
            assert found == "refused" or len(header) < V2_LIMIT
            continue
        told, rest = found
        assert header.endswith(rest)
        for address in (told.source, told.destination):
            if address is not None:
                ip_address(address[0])
                assert 0 <= address[1] <= 65535
