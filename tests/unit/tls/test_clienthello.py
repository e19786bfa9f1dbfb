"""Reading ClientHellos: real ones, cut ones, hostile ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from gatepost.errors import HandshakeError
from gatepost.tls.clienthello import HelloRefused, read_client_hello


def real_hello(name: bytes | None = b"mx.example.test", alpn: list[bytes] | None = None) -> bytes:
    """What OpenSSL sends."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    connection.set_connect_state()
    if name is not None:
        connection.set_tlsext_host_name(name)
    if alpn:
        connection.set_alpn_protos(alpn)
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


def record(content: bytes, kind: int = 22) -> bytes:
    return bytes((kind, 3, 1)) + len(content).to_bytes(2) + content


def vector(content: bytes, width: int = 2) -> bytes:
    return len(content).to_bytes(width) + content


def message(body: bytes) -> bytes:
    return b"\x01" + vector(body, 3)


def hello(*extensions: tuple[int, bytes], tail: bytes = b"") -> bytes:
    """A hand-made hello."""
    block = b"".join(kind.to_bytes(2) + vector(body) for kind, body in extensions) + tail
    body = b"\x03\x03" + bytes(32) + vector(b"id", 1) + vector(b"\x13\x01") + vector(b"\0", 1) + vector(block)
    return record(message(body))


def sni(name: bytes, kind: int = 0) -> tuple[int, bytes]:
    return 0, vector(bytes((kind,)) + vector(name))


def test_real_hello_is_read() -> None:
    """Name in lower case, protocols in order."""
    read = read_client_hello(real_hello(b"MX.Example.TEST", [b"smtp", b"x"]))
    assert read is not None
    assert read.server_name == "mx.example.test"
    assert read.alpn == (b"smtp", b"x")
    assert len(read.session_id) == 32
    read = read_client_hello(real_hello(None))
    assert read is not None
    assert read.server_name is None
    assert read.alpn is None


def test_every_beginning_is_incomplete() -> None:
    """Any cut of a good hello asks for more; what follows it does not matter."""
    data = real_hello()
    for cut in range(len(data)):
        assert read_client_hello(data[:cut]) is None
    assert read_client_hello(data + b"trailing") == read_client_hello(data)
    assert read_client_hello(bytearray(data)) == read_client_hello(data)


@pytest.mark.parametrize("size", [60, 100, 517])
def test_hello_over_several_records_is_put_together(size: int) -> None:
    """A hello may be split over records (RFC 8446 §5.1)."""
    whole = real_hello()
    content = whole[5:]
    split = b"".join(record(content[at : at + size]) for at in range(0, len(content), size))
    assert read_client_hello(split) == read_client_hello(whole)
    assert read_client_hello(split[:-1]) is None
    assert read_client_hello(split[: 5 + size]) is None


def test_hello_without_extensions_is_read() -> None:
    """TLS 1.2 clients may have none."""
    body = b"\x03\x03" + bytes(32) + b"\0" + vector(b"\xc0\x2b") + vector(b"\0", 1)
    assert read_client_hello(record(message(body))) == (None, None, b"")


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        (sni(b"a.example"), "a.example"),
        (sni(b"A.EXAMPLE."), "a.example"),
        (sni(b"a\0b.example"), None),
        (sni(b"a b"), None),
        (sni("ü.example".encode()), None),
        (sni(b"x", kind=1), None),
        (sni(b"x" * 256), None),
        (sni(b"."), None),
        (sni(b""), None),
    ],
)
def test_name_that_no_certificate_has_counts_as_none(extension: tuple[int, bytes], expected: str | None) -> None:
    """It gets the default certificate, never a refusal (RFC 7672 §8.1)."""
    read = read_client_hello(hello(extension))
    assert read is not None
    assert read.server_name == expected


GOOD = hello()


@pytest.mark.parametrize(
    "data",
    [
        record(b""),
        record(b"")[:5] + b"x",
        b"\x16\x03\x01\xff\xff",
        record(b"\x02\x00\x00\x00"),
        record(message(bytes(10))),
        record(message(bytes(34) + b"\x21" + bytes(40))),
        record(message(bytes(34) + b"\x20" + bytes(10))),
        record(message(bytes(34) + b"\0\xff\xff\0")),
        record(message(bytes(34) + b"\0\0\0\x05\0")),
        record(message(bytes(34) + b"\0\0\0\0\0")),
        record(message(bytes(34) + b"\0\0\0\0\0\x09")),
        hello(tail=b"\0\0\0"),
        hello(tail=b"\0\x99\0\x05x"),
        hello((0, b"")),
        hello((0, b"\0\x09\0\0\x01a")),
        hello((0, b"\0\x04\0\0\x05a")),
        hello((16, b"")),
        hello((16, b"\0\x09\x01a")),
        hello((16, b"\0\x02\x05a")),
        hello((16, b"\0\x03\0\x01a")),
        record(b"\x01") + record(b"\x00\x00"),
        record(b"\x01\xff\xff\xff" + bytes(8000)),
    ],
)
def test_hello_that_lies_about_its_lengths_is_refused_or_waited_for(data: bytes) -> None:
    """Every length is checked; nothing is read past its end, and every refusal has its alert."""
    try:
        assert read_client_hello(data) is None
    except HelloRefused as error:
        assert error.number is not None
        assert error.alert
        assert not error.plaintext


def test_growing_without_end_is_refused() -> None:
    """In octets and in records."""
    with pytest.raises(HelloRefused, match="octets"):
        read_client_hello(record(b"\x01\x01\x00\x00" + bytes(10)))
    part = b"\x16\x03\x01\x3f\x00" + bytes(0x3F00)
    begun = record(b"\x01\x00\xff\xf0" + bytes(100)) + part * 4 + b"\x16\x03\x01\x3f\x00" + bytes(2000)
    with pytest.raises(HelloRefused, match="no whole ClientHello"):
        read_client_hello(begun)
    with pytest.raises(HelloRefused, match="records"):
        read_client_hello(record(b"\x01\x00\x10\x00") + record(b"x") * 40)


def test_something_else_between_the_fragments_is_refused() -> None:
    """Only handshake records may come; text there is an injection."""
    first = record(b"\x01\x00\x10\x00")
    with pytest.raises(HelloRefused) as caught:
        read_client_hello(first + b"NOOP\r\n")
    assert caught.value.plaintext
    with pytest.raises(HelloRefused) as caught:
        read_client_hello(first + record(b"x", kind=23))
    assert not caught.value.plaintext


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_only_handshake_errors_escape(data: bytes, wrapped: bool) -> None:
    """Whatever comes, it is read, waited for, or refused."""
    with contextlib.suppress(HandshakeError):
        read_client_hello(record(message(bytes(34) + data)) if wrapped and data else data)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 255))
def test_one_wrong_octet_never_escapes(at: int, octet: int) -> None:
    """A good hello with one octet changed."""
    data = bytearray(GOOD)
    data[at % len(data)] = octet
    with contextlib.suppress(HandshakeError):
        read_client_hello(data)
