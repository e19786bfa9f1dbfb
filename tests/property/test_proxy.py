"""PROXY headers, whatever their addresses, in whatever pieces, with whatever octets."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from gatepost.wire.proxy import V2_LIMIT, V2_SIGNATURE, HeaderReader, ProxyHeaderInvalid, Told, header_v1, header_v2

PORTS = st.integers(0, 65535)
V4 = st.tuples(st.ip_addresses(v=4).map(str), PORTS)
V6 = st.tuples(st.ip_addresses(v=6).map(str), PORTS)
PAIRS = st.one_of(st.tuples(V4, V4), st.tuples(V6, V6), st.tuples(V4, V6), st.tuples(V6, V4))
VECTORS = st.lists(st.tuples(st.integers(0, 255).filter(lambda kind: kind != 3), st.binary(max_size=60)), max_size=5)
CUTS = st.lists(st.integers(1, 40), max_size=30)


def plain(address: tuple[str, int]) -> tuple[str, int]:
    """An address as it is known here."""
    parsed = ip_address(address[0])
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return str(mapped or parsed), address[1]


def feed_in_pieces(data: bytes, cuts: list[int]) -> tuple[Told | None, bytes]:
    """What is read, and all that stood behind it."""
    reader = HeaderReader()
    for cut in cuts:
        piece, data = data[:cut], data[cut:]
        if (told := reader.feed(piece)) is not None:
            return told, reader.rest + data
    return reader.feed(data), reader.rest


@given(PAIRS, VECTORS, st.booleans(), CUTS, st.binary(max_size=200))
def test_header_is_read_as_it_was_meant_however_it_is_cut(
    pair: tuple[tuple[str, int], tuple[str, int]],
    vectors: list[tuple[int, bytes]],
    binary: bool,
    cuts: list[int],
    behind: bytes,
) -> None:
    """The addresses are those that were sent, and what stands behind the header is handed on, octet by octet."""
    extra = b"".join(bytes([kind]) + len(value).to_bytes(2) + value for kind, value in vectors)
    header = header_v2(*pair, extra) if binary else header_v1(*pair)
    told, rest = feed_in_pieces(header + behind, cuts)
    assert told == Told(2 if binary else 1, plain(pair[0]), plain(pair[1]))
    assert rest == behind


@given(
    st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: V2_SIGNATURE + b"\x21" + tail)), CUTS
)
def test_reading_ends_the_same_however_octets_are_cut(data: bytes, cuts: list[int]) -> None:
    """A header, none yet, or a refusal: never anything else, and never by how the segments fell."""

    def outcome(where: list[int]) -> object:
        try:
            return feed_in_pieces(data, where)
        except ProxyHeaderInvalid:
            return "refused"

    assert outcome(cuts) == outcome([])


@given(st.sampled_from(["v1", "v2"]), PAIRS, st.integers(0, 10_000), st.integers(0, 255))
def test_changed_octet_is_refused_or_names_addresses(
    version: str, pair: tuple[tuple[str, int], tuple[str, int]], at: int, octet: int
) -> None:
    """Whatever is changed on the way, what comes out are addresses and ports, or nothing."""
    header = bytearray(header_v1(*pair) if version == "v1" else header_v2(*pair))
    header[at % len(header)] = octet
    try:
        told = HeaderReader().feed(bytes(header))
    except ProxyHeaderInvalid:
        return
    if told is not None and told.source is not None:
        assert 0 <= told.source[1] <= 65535
        ip_address(told.source[0])


@given(st.binary(min_size=1, max_size=64))
def test_endless_header_is_refused_within_its_bound(piece: bytes) -> None:
    """Nothing that goes on for ever is kept for ever."""
    for begin in (b"PROXY ", V2_SIGNATURE + b"\x21\x11\x0f\xf0"):
        reader, size = HeaderReader(), 0
        try:
            told = reader.feed(begin)
            while told is None:
                told = reader.feed(piece)
                size += len(piece)
                assert size <= V2_LIMIT + len(piece)
        except ProxyHeaderInvalid:
            continue
