"""Reading ClientHellos: real ones, cut ones, hostile ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from gatepost.errors import HandshakeError
from gatepost.tls.clienthello import FRAGMENT_LIMIT, HELLO_LIMIT, HelloRefused, read_client_hello


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
        (sni(b"x"), "x"),
        ((0, vector(b"\0" + vector(b"a.example") + b"\0" + vector(b"b.example"))), "a.example"),
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


LONGEST = b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + vector(b"\x13\x01") + vector(b"\0", 1)


def padded(size: int) -> bytes:
    """A ClientHello message of so many octets, with the longest session id and a name at its end."""
    extensions = b"\0\x15" + vector(bytes(size - len(LONGEST) - 4 - 2 - 4 - 4 - len(sni(b"a.example")[1])))
    return message(LONGEST + vector(extensions + b"\0\0" + vector(sni(b"a.example")[1])))


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (record(b""), "unexpected_message"),
        (record(b"") + b"x", "unexpected_message"),
        (b"\x16\x03\x01\x40\x00", None),
        (b"\x16\x03\x01\x40\x01", "record_overflow"),
        (record(b"\x02\x00\x00\x00"), "unexpected_message"),
        (record(b"\x02"), "unexpected_message"),
        (record(message(b"")), "decode_error"),
        (record(message(bytes(34))), "decode_error"),
        (record(message(bytes(34) + b"\x21" + bytes(40))), "decode_error"),
        (record(message(bytes(34) + b"\x20" + bytes(10))), "decode_error"),
        (record(message(bytes(34) + b"\0\0")), "decode_error"),
        (record(message(bytes(34) + b"\0\xff\xff\0")), "decode_error"),
        (record(message(bytes(34) + b"\0\0\x02\x13\x01")), "decode_error"),
        (record(message(bytes(34) + b"\0\0\0\x05\0")), "decode_error"),
        (record(message(bytes(34) + b"\0\0\0\0\0")), "decode_error"),
        (record(message(bytes(34) + b"\0\0\0\0\0\x09")), "decode_error"),
        (record(message(bytes(34) + b"\0\0\0\0\0\0\0")), "decode_error"),
        (hello(tail=b"\0\0\0"), "decode_error"),
        (hello(tail=b"\0\x99\0\x05x"), "decode_error"),
        (hello((0, b"")), "decode_error"),
        (hello((0, b"\0\x02\0\0")), "decode_error"),
        (hello((0, b"\0\x09\0\0\x01a")), "decode_error"),
        (hello((0, b"\0\x04\0\0\x05a")), "decode_error"),
        (hello((16, b"")), "decode_error"),
        (hello((16, b"\0\0")), "decode_error"),
        (hello((16, b"\0\x09\x01a")), "decode_error"),
        (hello((16, b"\0\x02\x05a")), "decode_error"),
        (hello((16, b"\0\x03\0\x01a")), "decode_error"),
        (record(b"\x01") + record(b"\x00\x00"), None),
        (record(b"\x01\x00") + record(b""), "unexpected_message"),
        (record(b"\x01\x00") + b"\x16\x03\x01\xff\xff", "record_overflow"),
        (record(b"\x01\xff\xff\xff" + bytes(8000)), "illegal_parameter"),
        (record(b"\x01\x01\x00\x00" + bytes(10)), "illegal_parameter"),
        (record(b"\x01") + record(b"\x00\x00\x00"), "decode_error"),
        (record(message(bytes(34) + b"\x21" + bytes(33) + vector(b"\x13\x01") + vector(b"\0", 1))), "decode_error"),
    ],
)
def test_hello_that_lies_about_its_lengths_is_refused_or_waited_for(data: bytes, alert: str | None) -> None:
    """Every length is checked; nothing is read past its end, and every refusal has its alert (RFC 8446 §6.2)."""
    if alert is None:
        assert read_client_hello(data) is None
        return
    with pytest.raises(HelloRefused) as caught:
        read_client_hello(data)
    assert caught.value.alert == alert
    assert caught.value.number is not None
    assert not caught.value.plaintext


def test_first_octet_tells_tls_from_text() -> None:
    """RFC 8446 §5.1: 20 to 23 are TLS, and from 128 on it is SSL 2. Both get an alert, text gets none."""
    for octet in range(256):
        data = bytes((octet, 3, 1, 0, 5)) + b"hello"
        if octet == 22:
            continue
        with pytest.raises(HelloRefused) as caught:
            read_client_hello(data)
        is_tls = octet in (20, 21, 23) or octet >= 128
        assert caught.value.plaintext is not is_tls
        assert (caught.value.number, caught.value.alert) == ((10, "unexpected_message") if is_tls else (None, ""))
        assert ("an injection" in caught.value.hint) is not is_tls
    for data in (b"\x16H", b"\x16\x02\x01\x00\x05"):  # a control, or SSL before 3
        with pytest.raises(HelloRefused) as caught:
            read_client_hello(data)
        assert caught.value.plaintext
    for data in (b"", b"\x16", b"\x16\x03", b"\x16\x03\x01\x00"):
        assert read_client_hello(data) is None


def test_hello_over_several_records_is_waited_for_record_by_record() -> None:
    """Like OpenSSL, which is given whole records only: the last one may hold more than the hello."""
    content = hello(sni(b"a.example"))[5:]
    split = record(content[:50]) + record(content[50:] + b"behind the hello")
    assert [cut for cut in range(len(split) + 1) if read_client_hello(split[:cut]) is not None] == [len(split)]


def test_shortest_of_everything_is_read() -> None:
    """No extension in their list, one that is empty at its end, one protocol of one octet."""
    assert read_client_hello(hello()) == (None, None, b"id")
    assert read_client_hello(hello(sni(b"a.example"), (23, b""))) == ("a.example", None, b"id")
    assert read_client_hello(hello((16, vector(vector(b"a", 1))))) == (None, (b"a",), b"id")


def test_longest_of_everything_is_read() -> None:
    """A record, a message, a session id and a name of the greatest length, the most records, many cipher suites."""
    body = b"\x03\x03" + bytes(32) + b"\0" + vector(b"\x13\x01" * 300) + vector(b"\0", 1) + vector(b"\x00\x17\0\0")
    assert read_client_hello(record(message(body))) == (None, None, b"")
    whole = padded(16384)
    assert len(whole) == 16384
    assert read_client_hello(record(whole)) == ("a.example", None, bytes(32))
    with pytest.raises(HelloRefused) as caught:
        read_client_hello(record(padded(16385)))
    assert caught.value.alert == "record_overflow"
    long = padded(HELLO_LIMIT - 100)
    parts = [long[at : at + 16384] for at in range(0, len(long), 16384)]
    assert read_client_hello(b"".join(map(record, parts))) == ("a.example", None, bytes(32))
    name = b"x" * 255
    assert read_client_hello(hello(sni(name))) == (name.decode(), None, b"id")
    short = hello(sni(b"a.example"))[5:]
    pieces = [short[at : at + 1] for at in range(FRAGMENT_LIMIT - 1)] + [short[FRAGMENT_LIMIT - 1 :]]
    assert read_client_hello(b"".join(map(record, pieces))) == ("a.example", None, b"id")


def test_growing_without_end_is_refused() -> None:
    """In octets and in records, as soon as it is known, and as what it is."""
    for claimed, alert in ((HELLO_LIMIT, None), (HELLO_LIMIT + 1, "illegal_parameter")):
        data = record(b"\x01" + (claimed - 4).to_bytes(3) + bytes(10))
        if alert is None:
            assert read_client_hello(data) is None
            continue
        with pytest.raises(HelloRefused, match=f"a ClientHello of {claimed} octets") as caught:
            read_client_hello(data)
        assert caught.value.alert == alert
    part = b"\x16\x03\x01\x3f\x00" + bytes(0x3F00)
    begun = record(b"\x01\x00\xff\xf0" + bytes(100)) + part * 4 + b"\x16\x03\x01\x3f\x00"
    assert read_client_hello(begun + bytes(HELLO_LIMIT - len(begun))) is None
    with pytest.raises(HelloRefused, match="no whole ClientHello") as caught:
        read_client_hello(begun + bytes(HELLO_LIMIT - len(begun) + 1))
    assert caught.value.alert == "illegal_parameter"
    many = record(b"\x01\x00\x10\x00") + record(b"x") * (FRAGMENT_LIMIT - 2)
    assert read_client_hello(many) is None
    with pytest.raises(HelloRefused, match="records") as caught:
        read_client_hello(many + record(b"x"))
    assert caught.value.alert == "illegal_parameter"


def test_protocols_are_read_one_by_one() -> None:
    """As many as there are, of one octet or of 255."""
    names = (b"a", b"x" * 255, b"smtp")
    read = read_client_hello(hello((16, vector(b"".join(vector(name, 1) for name in names)))))
    assert read is not None
    assert read.alpn == names
    assert read.server_name is None


def test_something_else_between_the_fragments_is_refused() -> None:
    """Only handshake records may come; text there is an injection."""
    first = record(b"\x01\x00\x10\x00")
    with pytest.raises(HelloRefused) as caught:
        read_client_hello(first + b"NOOP\r\n")
    assert caught.value.plaintext
    assert caught.value.number is None
    with pytest.raises(HelloRefused) as caught:
        read_client_hello(first + record(b"x", kind=23))
    assert not caught.value.plaintext
    assert caught.value.alert == "unexpected_message"
    with pytest.raises(HelloRefused):
        read_client_hello(first + b"\x16\x02\x01\x00\x01x")


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
