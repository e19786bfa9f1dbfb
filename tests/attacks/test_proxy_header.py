"""The attacker wants to be somebody else: with a PROXY header that nobody asked him for, or through a proxy that is
believed. Sections of HAProxy's proxy-protocol.txt."""

from __future__ import annotations

import pytest

from gatepost.service.gate.introduction import introduction
from gatepost.service.gate.link import Client
from gatepost.wire.proxy import V2_LIMIT, V2_SIGNATURE, HeaderReader, ProxyHeaderInvalid, Told, header_v1
from gatepost.wire.upgrade import Origin

CLIENT, HERE = ("192.0.2.7", 40000), ("198.51.100.1", 25)
FIXED = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (40000).to_bytes(2) + (25).to_bytes(2)


@pytest.mark.parametrize(
    "address",
    [
        "local", "127.1", "0x7f.0.0.1", "2130706433", "127.0.0.1 ", "127.0.0.1\t", "127.0.0.1,10.0.0.1", "127.0.0.1/8",
        "١٢٧.0.0.1",
    ],
)  # fmt: skip
def test_goal_an_address_that_rules_read_otherwise(address: str) -> None:
    """Spellings that one reader takes for loopback and another does not: only four plain numbers are an address."""
    with pytest.raises(ProxyHeaderInvalid):
        HeaderReader().feed(f"PROXY TCP4 {address} 198.51.100.1 40000 25\r\n".encode())


def test_goal_past_a_rule_for_ipv4_by_writing_it_as_ipv6() -> None:
    """An address that is denied is denied in every spelling."""
    told = HeaderReader().feed(b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 40000 25\r\n")
    assert told is not None
    assert told.source == CLIENT


def test_goal_a_second_header_behind_the_first() -> None:
    """What a client sends behind its proxy's header is the protocol's, whatever it looks like."""
    reader = HeaderReader()
    told = reader.feed(header_v1(CLIENT, HERE) + header_v1(("127.0.0.1", 1), HERE))
    assert told == Told(1, CLIENT, HERE)
    assert reader.rest == header_v1(("127.0.0.1", 1), HERE)


def test_goal_a_line_in_the_next_layer_by_a_length_that_lies() -> None:
    """The header is as long as it says: addresses that do not fit, and vectors that reach out of it, are none."""
    for block, size in ((FIXED[:11] + b"\r\nMAIL", 11), (FIXED + b"\x02\x00\xff" + b"MAIL", len(FIXED) + 3)):
        with pytest.raises(ProxyHeaderInvalid):
            HeaderReader().feed(V2_SIGNATURE + b"\x21\x11" + size.to_bytes(2) + block)


def test_goal_memory_by_headers_without_end() -> None:
    """Each connection may have so many octets of header, and then it is over."""
    reader = HeaderReader()
    with pytest.raises(ProxyHeaderInvalid):
        reader.feed(V2_SIGNATURE + b"\x21\x11" + (V2_LIMIT - 15).to_bytes(2))
    line = HeaderReader()
    assert line.feed(b"PROXY UNKNOWN" + b" " * 93) is None
    with pytest.raises(ProxyHeaderInvalid):
        line.feed(b" ")


def test_goal_a_forged_line_to_the_server_by_the_names_of_a_client() -> None:
    """What a client calls itself is in no header, so nothing in it can end one."""
    evil = "x\r\nPROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n"
    client = Client(Origin(CLIENT, HERE, "front", 0.0, "c1"), helo=evil, login=evil)
    assert introduction("proxy1", client) == header_v1(CLIENT, HERE)
    assert b"127.0.0.1" not in introduction("proxy2", client)
