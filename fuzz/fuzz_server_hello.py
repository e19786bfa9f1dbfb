"""Invariant: nothing escapes from reading a server's flight, and once it tells something it tells the same for more."""

from __future__ import annotations

from fuzz.origins import plan, seeds
from fuzz.words import BINARY

from gatepost.testing.handshakes import CLIENT_ORIGIN, SERVER_ORIGIN
from gatepost.testing.tls import client_settings, contexts
from gatepost.tls.alerts import received_alert, sent_alert
from gatepost.tls.engine import ClientHandshake, ServerHandshake
from gatepost.tls.serverhello import read_server_hello


def flight() -> bytes:
    """What our server says first."""
    client, server = (
        ClientHandshake.implicit(client_settings(), CLIENT_ORIGIN),
        ServerHandshake.implicit(contexts(), SERVER_ORIGIN),
    )
    server.receive(client.outgoing())
    server.advance()
    return server.outgoing()


_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_OLD = b"\x02\0\0\x2c\3\3" + bytes(32) + b"\0\xc0\x2f\0\0\4\0\x17\0\0"
WORDS = (*BINARY, _RETRY, b"\x16\x03\x03\0\x30", b"\2\0\0\x26\3\3", b"\x14\x03\x03\0\1\1", b"\4\0\0\0", b"\x0b\0\0\0")
SEEDS = seeds(
    flight(),
    b"\x16\x03\x03\0\x30" + _OLD + b"\x14\x03\x03\0\1\1",
    b"\x16\x03\x03\0\x34" + _OLD + b"\4\0\0\0",
    b"\x16\x03\x03\0\x30" + _OLD + b"\x16\x03\x03\0\4\x0b\0\0\0",
    b"\x16\x03\x03\0\x2a\2\0\0\x26\3\3" + _RETRY + b"\0\x13\1\0" + flight(),
)


def target(data: bytes) -> None:
    """The flight as it grows."""
    told = plan(data)
    whole = read_server_hello(told.words)
    for end in range(0, len(told.words), max(1, len(told.words) // 64)):
        part = read_server_hello(bytearray(told.words[:end]))
        if part is not None:
            assert part.tls13 == (whole is not None and whole.tls13)
            break
    assert sent_alert(told.words).isprintable()
    assert received_alert(told.words.decode("latin-1")).isprintable()
