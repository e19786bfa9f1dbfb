"""The PROXY protocol: what a header says, what is none, and what is sent. Sections of HAProxy's proxy-protocol.txt."""

from __future__ import annotations

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.proxy import (
    LOCAL_V2,
    UNKNOWN_V1,
    V1_LIMIT,
    V2_LIMIT,
    V2_SIGNATURE,
    HeaderReader,
    ProxyHeaderInvalid,
    Told,
    crc32c,
    header_v1,
    header_v2,
)

CLIENT, HERE = ("192.0.2.7", 40000), ("198.51.100.1", 25)
HIGHEST = ("255.255.255.255", 65535)
CLIENT6, HERE6 = ("2001:db8::7", 40000), ("2001:db8::1", 25)
INET = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (40000).to_bytes(2) + (25).to_bytes(2)


def binary(block: bytes = INET, *, command: int = 0x21, family: int = 0x11, size: int | None = None) -> bytes:
    """A header of version 2, right or wrong."""
    return V2_SIGNATURE + bytes([command, family]) + (len(block) if size is None else size).to_bytes(2) + block


def vector(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2) + value


def read(data: bytes) -> tuple[Told | None, bytes]:
    reader = HeaderReader()
    return reader.feed(data), reader.rest


# §2.1: version 1


@pytest.mark.parametrize(
    ("line", "source", "destination"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n", CLIENT, HERE),
        (b"PROXY TCP6 2001:db8::7 2001:DB8:0:0:0::1 40000 25\r\n", CLIENT6, HERE6),
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", HIGHEST, HIGHEST),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 0 0\r\n", ("192.0.2.7", 0), ("198.51.100.1", 0)),
    ],
)  # fmt: skip
def test_line_names_client_and_destination(line: bytes, source: tuple[str, int], destination: tuple[str, int]) -> None:
    """§2.1: protocol, source, destination, ports."""
    assert read(line + b"EHLO x\r\n") == (Told(1, source, destination), b"EHLO x\r\n")


@pytest.mark.parametrize(
    "line",
    [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff:f 65535 \x01\r\n", b"PROXY UNKNOWN \r\n"],
)
def test_unknown_is_the_proxys_own_connection(line: bytes) -> None:
    """§2.1: the rest of the line is ignored, and the real addresses count."""
    assert read(line) == (Told(1), b"")


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\rX",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 \r\n",
        b"PROXY TCP4  192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 040000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 +25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 \xc2\xb25 25\r\n",
        b"PROXY TCP4 192.0.02.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 25\r\n",
        b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP6 2001:db8::7%eth0 2001:db8::1 40000 25\r\n",
        b"PROXY TCP6 2001::db8::7 2001:db8::1 40000 25\r\n",
        b"PROXY TCP6 12001:db8::7 2001:db8::1 40000 25\r\n",
        b"PROXY TCP5 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY tcp4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.7\0 198.51.100.1 40000 25\r\n",
        b"proxy TCP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY\tTCP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"EHLO mail.example\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b" ",
    ],
)
def test_refuses_what_does_not_match_exactly(line: bytes) -> None:
    """§2.1: "Any sequence which does not exactly match the protocol must be discarded"."""
    with pytest.raises(ProxyHeaderInvalid):
        read(line)


def test_refuses_the_first_octet_that_is_wrong() -> None:
    """§2.1: as soon as possible, not when a line ends."""
    reader = HeaderReader()
    assert reader.feed(b"PRO") is None
    with pytest.raises(ProxyHeaderInvalid, match="does not begin"):
        reader.feed(b"P")


def test_silence_is_no_header_and_half_a_header_has_begun() -> None:
    """Who waits in vain can say whether anything came at all."""
    reader = HeaderReader()
    assert reader.feed(b"") is None
    assert not reader.begun
    assert reader.feed(b"PROXY UNK") is None
    assert reader.begun


def test_line_has_at_most_107_octets() -> None:
    """§2.1: with its CRLF; the longest that can be is taken, and one octet more is refused before it ends."""
    longest = b"PROXY UNKNOWN " + b"x" * (V1_LIMIT - 16) + b"\r\n"
    assert len(longest) == 107
    assert read(longest)[0] == Told(1)
    with pytest.raises(ProxyHeaderInvalid, match="107"):
        read(b"PROXY UNKNOWN " + b"x" * (V1_LIMIT - 15) + b"\r\n")
    reader = HeaderReader()
    assert reader.feed(b"PROXY UNKNOWN " + b"x" * (V1_LIMIT - 15)) is None
    with pytest.raises(ProxyHeaderInvalid, match="107"):
        reader.feed(b"x")


def test_line_end_may_be_cut_in_two() -> None:
    """A CR at the end of a segment is half of a line end."""
    reader = HeaderReader()
    assert reader.feed(b"PROXY UNKNOWN\r") is None
    assert reader.feed(b"\n\x16") == Told(1)
    assert reader.rest == b"\x16"


# §2.2: version 2


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (binary(), Told(2, CLIENT, HERE)),
        (
            binary(
                bytes.fromhex("20010db800000000000000000000000720010db8000000000000000000000001") + INET[8:],
                family=0x21,
            ),
            Told(2, CLIENT6, HERE6),
        ),
        (binary(b"", command=0x20, family=0), Told(2)),
        (binary(INET, command=0x20), Told(2)),
        (binary(b"any", command=0x20, family=0xFF), Told(2)),
        (binary(b"", family=0), Told(2)),
        (binary(INET, family=0x12), Told(2)),
        (binary(bytes(36), family=0x22), Told(2)),
        (binary(bytes(216), family=0x31), Told(2)),
        (binary(bytes(216), family=0x32), Told(2)),
    ],
)
def test_binary_header_names_the_client_or_none(header: bytes, told: Told) -> None:
    """§2.2: PROXY over TCP and IP has addresses; LOCAL, and what we do not speak, counts as the proxy's own."""
    assert read(header + b"\x16\x03\x01") == (told, b"\x16\x03\x01")


@pytest.mark.parametrize(
    "header",
    [
        binary(command=0x11),
        binary(command=0x01),
        binary(command=0x31),
        binary(command=0x22),
        binary(command=0x2F),
        binary(family=0x13),
        binary(family=0x10),
        binary(family=0x01),
        binary(bytes(300), family=0x41),
        binary(INET[:-1]),
        binary(bytes(35), family=0x21),
        binary(bytes(215), family=0x31),
        binary(b"", size=V2_LIMIT - 15),
        V2_SIGNATURE[:-1] + b"\r",
        V2_SIGNATURE[:4] + b"\n",
        binary(INET + b"\x01"),
        binary(INET + b"\x01\x00"),
        binary(INET + b"\x01\x00\x02a"),
        binary(INET + vector(0x03, b"abc")),
        binary(INET + vector(0x03, b"abcd")),
    ],
)
def test_refuses_a_binary_header_that_is_none(header: bytes) -> None:
    """§2.2: versions, commands and families that do not exist, lengths that cannot be, a checksum that is wrong."""
    with pytest.raises(ProxyHeaderInvalid):
        read(header)


@pytest.mark.parametrize("cut", range(1, len(binary())))
def test_binary_header_may_be_cut_anywhere(cut: int) -> None:
    """§2.2: it is read when all of it is there, and what stands behind it is nobody's before."""
    reader = HeaderReader()
    assert reader.feed(binary()[:cut]) is None
    assert reader.rest == b""
    assert reader.feed(binary()[cut:] + b"\x16") == Told(2, CLIENT, HERE)
    assert reader.rest == b"\x16"


def test_length_is_refused_before_it_is_waited_for() -> None:
    """Nobody makes us keep 64 KiB."""
    reader = HeaderReader()
    with pytest.raises(ProxyHeaderInvalid, match="65551 octets"):
        reader.feed(binary(b"", size=65535))


def test_vectors_are_passed_over() -> None:
    """§2.2: those that nobody knows, too."""
    block = INET + vector(0x02, b"mail.example") + vector(0x04, b"") + vector(0xEE, b"\r\n")
    assert read(binary(block))[0] == Told(2, CLIENT, HERE)


def test_checksum_that_is_right_is_good() -> None:
    """§2.2.3: over the whole header, with four zeros in its own place."""
    blank = binary(INET + vector(0x03, bytes(4)) + vector(0x04, b"x"))
    summed = crc32c(blank).to_bytes(4)
    at = blank.index(b"\x03\x00\x04\0\0\0\0") + 3
    assert read(blank[:at] + summed + blank[at + 4 :])[0] == Told(2, CLIENT, HERE)


def test_checksum_is_the_one_of_the_standard() -> None:
    """RFC 3720, appendix B.4: 32 octets of zeros, and of ones."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


@pytest.mark.parametrize("line", [b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 40000 25\r\n", None])
def test_ipv4_in_ipv6_is_ipv4(line: bytes | None) -> None:
    """Rules for an address hold however a proxy writes it."""
    mapped = bytes(10) + b"\xff\xff"
    header = line or binary(mapped + INET[:4] + mapped + INET[4:], family=0x21)
    told = read(header)[0]
    assert told is not None
    assert (told.source, told.destination) == (CLIENT, HERE)


# What is sent


@pytest.mark.parametrize("make", [header_v1, header_v2])
@pytest.mark.parametrize(("source", "destination"), [(CLIENT, HERE), (CLIENT6, HERE6)])
def test_header_that_is_sent_is_read_again(make: object, source: tuple[str, int], destination: tuple[str, int]) -> None:
    """Both versions, both families."""
    assert callable(make)
    told = read(make(source, destination))[0]
    assert told is not None
    assert (told.source, told.destination) == (source, destination)


def test_lines_are_written_as_the_text_has_them() -> None:
    """§2.1, with its examples."""
    assert header_v1(("192.168.0.1", 56324), ("192.168.0.11", 443)) == (
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
    )
    assert read(UNKNOWN_V1) == (Told(1), b"")
    assert read(LOCAL_V2) == (Told(2), b"")
    assert len(LOCAL_V2) == 16


@pytest.mark.parametrize("make", [header_v1, header_v2])
def test_two_families_are_both_written_as_ipv6(make: object) -> None:
    """§2.1: destination and source are of one family."""
    assert callable(make)
    told = read(make(CLIENT, HERE6))[0]
    assert told is not None
    assert (told.source, told.destination) == (CLIENT, HERE6)
    assert b"TCP6" in make(CLIENT, HERE6) or make(CLIENT, HERE6)[13] == 0x21


def test_zone_of_an_address_is_not_told() -> None:
    """It means nothing on another machine."""
    assert b"%" not in header_v1(("fe80::1%eth0", 1), ("fe80::2%eth0", 25))


@pytest.mark.parametrize(
    ("source", "destination"),
    [(("local", 0), HERE), (CLIENT, ("mail.example\r\n", 25)), (("192.0.2.7", 65536), HERE), (CLIENT, ("::1", -1))],
)
def test_nothing_but_addresses_is_sent(source: tuple[str, int], destination: tuple[str, int]) -> None:
    """What is no address never reaches a wire."""
    for make in (header_v1, header_v2):
        with pytest.raises(LocalProtocolError):
            make(source, destination)


def test_header_does_not_grow_beyond_what_is_read() -> None:
    """What we would refuse ourselves is not sent."""
    assert len(header_v2(CLIENT, HERE, vector(0x04, bytes(V2_LIMIT - 31)))) == V2_LIMIT
    with pytest.raises(LocalProtocolError, match="so much"):
        header_v2(CLIENT, HERE, vector(0x04, bytes(V2_LIMIT - 30)))
