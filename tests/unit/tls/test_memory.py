"""Records past pyOpenSSL's wrapper: the same octets and the same errors as through it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from OpenSSL import SSL

from gatepost.testing.handshakes import private_pair
from gatepost.testing.tls import client_settings, contexts
from gatepost.tls import memory
from gatepost.tls.memory import Records, read_all

ROOM = 16384


def records() -> tuple[SSL.Connection, SSL.Connection]:
    """A server's and a client's connection behind their handshake, with nothing left to send."""
    server, client = private_pair(contexts(), client_settings())
    return server._connection, client._connection


def beginning() -> SSL.Connection:
    """A client's connection that has its hello to send."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection


@pytest.mark.parametrize("size", [1, 100, ROOM])
@pytest.mark.parametrize("room", [1, 120, ROOM + 256])
def test_sealed_record_is_whole_however_much_room_was_expected(size: int, room: int) -> None:
    """A wrong guess loses nothing, and leaves nothing behind in OpenSSL's buffer."""
    server, client = records()
    text = bytes(range(256)) * 64
    sealed = Records(server).seal(text[:size], room)
    assert len(sealed) == 5 + int.from_bytes(sealed[3:5])
    assert read_all(server) == b""
    assert Records(client).open(sealed, ROOM) == text[:size]


def test_sealed_record_has_what_was_waiting_before_it() -> None:
    """What OpenSSL had to say itself goes out first."""
    server, client = records()
    server.send(b"first")
    octets = Records(server).seal(b"second", 1)
    first = 5 + int.from_bytes(octets[3:5])
    assert [Records(client).open(each, ROOM) for each in (octets[:first], octets[first:])] == [b"first", b"second"]


def test_record_without_plaintext_is_no_error_of_the_peer() -> None:
    """A goodbye, and half a record, are told apart as pyOpenSSL tells them apart."""
    server, client = records()
    sealed = Records(server).seal(b"x", ROOM)
    with pytest.raises(SSL.WantReadError):
        Records(client).open(sealed[:10], ROOM)
    assert Records(client).open(sealed[10:], ROOM) == b"x"
    server.shutdown()
    with pytest.raises(SSL.ZeroReturnError):
        Records(client).open(read_all(server), ROOM)
    with pytest.raises(SSL.Error):
        Records(server).seal(b"behind the goodbye", ROOM)


def test_record_that_was_changed_on_its_way_is_refused_with_an_alert() -> None:
    """Not one octet of it is taken for plaintext."""
    server, client = records()
    sealed = bytearray(Records(server).seal(b"PASS secret", ROOM))
    sealed[-1] ^= 1
    with pytest.raises(SSL.Error, match="bad record mac"):
        Records(client).open(bytes(sealed), ROOM)
    assert read_all(client)


def test_octets_that_openssl_does_not_take_are_never_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its buffer grows as long as there is memory: a record that is lost without a word would be a hole in the text."""
    _, client = records()
    monkeypatch.setattr(memory, "lib", SimpleNamespace(BIO_write=lambda *_: -1))
    with pytest.raises(MemoryError):
        Records(client).open(b"\x17\x03\x03\x00\x01x", ROOM)


def test_read_all_takes_more_than_was_expected() -> None:
    """A wrong guess loses nothing, even when it is met exactly."""
    for expected in (7, 100000):
        connection = beginning()
        hello = read_all(connection, expected)
        assert len(hello) == 5 + int.from_bytes(hello[3:5])
        assert read_all(connection, expected) == b""
    first = read_all(beginning(), 100000)
    assert len(read_all(beginning(), len(first))) == len(first)
