"""Reading the server's flight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import HandshakeError
from gatepost.tls.evidence import facts
from gatepost.tls.serverhello import _RETRY, read_server_hello


def record(content: bytes, kind: int = 22) -> bytes:
    return bytes((kind, 3, 3)) + len(content).to_bytes(2) + content


def hello(*extensions: int, random: bytes = bytes(32)) -> bytes:
    block = b"".join(kind.to_bytes(2) + b"\0\0" for kind in extensions)
    body = b"\x03\x03" + random + b"\0\x13\x01\0" + len(block).to_bytes(2) + block
    return b"\x02" + len(body).to_bytes(3) + body


CHANGE = record(b"\x01", kind=20)


@pytest.mark.parametrize(
    ("flight", "resumed", "master"),
    [
        (record(hello(43)), False, True),
        (record(hello(43, 41)), True, True),
        (record(hello(43, random=_RETRY)) + CHANGE + record(hello(43, 41)), True, True),
        (record(hello(23)) + CHANGE, True, True),
        (record(hello()) + CHANGE, True, False),
        (record(hello(23)) + record(b"\x04\0\0\0"), True, True),
        (record(hello(23)) + record(b"\x0b\0\0\0"), False, True),
        (record(hello(23) + b"\x0b\0\0\0"), False, True),
        (record(hello(43)[:20]) + record(hello(43)[20:]), False, True),
    ],
)
def test_flight_tells_whether_it_resumes(flight: bytes, resumed: bool, master: bool) -> None:
    """TLS 1.3 by the pre-shared key, TLS 1.2 by what follows the hello."""
    read = read_server_hello(flight)
    assert read is not None
    assert (read.resumed, read.extended_master_secret) == (resumed, master)


@pytest.mark.parametrize(
    "flight",
    [b"", record(hello(23)), record(hello(43))[:30], record(b"\x02\0\0\x01x"), record(b"hello", kind=23), CHANGE,
     record(b"\x0b\0\0\0"), record(hello(43, random=_RETRY))],
)  # fmt: skip
def test_flight_that_does_not_tell_yet_is_none(flight: bytes) -> None:
    """Incomplete, or no server's flight at all."""
    assert read_server_hello(flight) is None
    with pytest.raises(HandshakeError):
        facts(flight)


@given(st.binary(max_size=200))
def test_nothing_escapes(data: bytes) -> None:
    """The bytes come from a peer."""
    read_server_hello(data)
    read_server_hello(record(b"\x02" + len(data).to_bytes(3) + data))
