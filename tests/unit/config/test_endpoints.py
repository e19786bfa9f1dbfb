"""Addresses with ports."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.endpoints import format_endpoint, parse_bind, parse_endpoint, parse_nameserver


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("127.0.0.1:25", ("127.0.0.1", 25)),
        ("[::1]:2525", ("::1", 2525)),
        ("localhost:0", ("localhost", 0)),
        ("[::]:25", ("::", 25)),
    ],
)
def test_bind_reads_addresses_of_both_families(written: str, read: tuple[str, int]) -> None:
    """IPv4, bracketed IPv6 and localhost are understood."""
    assert parse_bind(written) == read
    assert format_endpoint(*read) == written


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("127.0.0.1", "no port"),
        ("::1:25", "brackets"),
        (":25", "no address"),
        ("[::1]", "no port"),
        ("[127.0.0.1]:25", "IPv6"),
        ("[::1]x:25", "not an address"),
        ("127.0.0.1:99999", "not a port"),
        ("127.0.0.1:-1", "not a port"),
        ("127.0.0.1:٢٥", "not a port"),
        ("mx.example.org:25", "not an address"),
        ("127.0.0.256:25", "not an address"),
        ("", "no address"),
    ],
)
def test_bind_refusals_say_how_to_write_it(written: str, says: str) -> None:
    """Each mistake is refused with its own reason."""
    with pytest.raises(ValueError, match=says):
        parse_bind(written)


def test_endpoint_takes_names_and_a_default_port() -> None:
    """A server may be named, and its port left out where there is a usual one."""
    assert parse_endpoint("smtp.example.org", default_port=587) == ("smtp.example.org", 587)
    assert parse_endpoint("[2001:db8::1]", default_port=587) == ("2001:db8::1", 587)
    with pytest.raises(ValueError, match="no port"):
        parse_endpoint("smtp.example.org")
    with pytest.raises(ValueError, match="not a domain"):
        parse_endpoint("smtp..example:25")


def test_nameserver_takes_an_address_with_or_without_a_port() -> None:
    """Port 53 unless another is written; a name cannot be asked for by name."""
    assert parse_nameserver("192.0.2.1") == ("192.0.2.1", 53)
    assert parse_nameserver("2001:db8::1") == ("2001:db8::1", 53)
    assert parse_nameserver("127.0.0.1:5353") == ("127.0.0.1", 5353)
    with pytest.raises(ValueError, match="name server"):
        parse_nameserver("dns.example.org")


@given(st.text(max_size=60))
def test_endpoint_parser_ends_with_a_value_or_a_refusal(text: str) -> None:
    """No text makes the parser fail in another way than by refusing."""
    try:
        host, port = parse_endpoint(text)
    except ValueError:
        return
    assert host and 0 <= port <= 65535
