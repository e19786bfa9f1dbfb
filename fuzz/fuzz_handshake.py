"""Invariant: whatever comes in place of a handshake, or with it, only a HandshakeError or a VerificationError escapes,
what is said is bounded, and what is held is."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.fuzz_client_hello import SEEDS as HELLOS
from fuzz.fuzz_server_hello import flight
from fuzz.measure import held
from fuzz.origins import plan, seeds
from fuzz.words import BINARY

from gatepost.errors import HandshakeError, UpgradeError
from gatepost.testing.handshakes import CLIENT_ORIGIN, SERVER_ORIGIN
from gatepost.testing.tls import client_settings, contexts
from gatepost.tls.engine import HANDSHAKE_LIMIT, ClientHandshake, ServerHandshake

WORDS = (*BINARY, b"\x15\x03\x03\0\2\2\x28", b"\x14\x03\x03\0\1\1", b"\x17\x03\x03\0\1x", b"EHLO a\r\n")
SEEDS = seeds(*(each[2:] for each in HELLOS), flight(), choices=2)


def shake(side: ServerHandshake | ClientHandshake, pieces: Iterable[bytes]) -> None:
    """Feed one side until it is over."""
    said = len(side.outgoing())
    try:
        for number, piece in enumerate(pieces):
            side.receive(piece)
            if side.advance() is not None:
                return
            said += len(side.outgoing())
            assert number % 64 or held(side) <= 2 * HANDSHAKE_LIMIT + len(piece)
        side.receive_eof()
    except UpgradeError as error:
        assert str(error).isprintable()
        said += len(side.outgoing())
    assert said <= 1 << 17


def target(data: bytes) -> None:
    """Our server, or our client, in pieces; and our server whole."""
    told = plan(data, 2)
    if told.choice:
        shake(ClientHandshake.implicit(client_settings(), CLIENT_ORIGIN), told.pieces())
    else:
        shake(ServerHandshake.implicit(contexts(), SERVER_ORIGIN, alpn=frozenset({"smtp"})), told.pieces())
    try:
        server = ServerHandshake.implicit(contexts(), SERVER_ORIGIN)
        server.receive(told.words)
        server.advance()
    except HandshakeError:
        pass
