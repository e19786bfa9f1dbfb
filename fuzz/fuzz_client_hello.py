"""Invariant: from a ClientHello that comes in pieces only HelloRefused escapes, what is read is the same for every cut,
a name is a host name, and once it is read it stays as it was read."""

from __future__ import annotations

import re
from contextlib import suppress

from fuzz.origins import plan, seeds
from fuzz.words import BINARY

from gatepost.testing.handshakes import CLIENT_ORIGIN
from gatepost.testing.tls import client_settings
from gatepost.tls.clienthello import HELLO_LIMIT, ClientHello, HelloRefused, read_client_hello
from gatepost.tls.engine import ClientHandshake

_HELLO = ClientHandshake.implicit(client_settings(), CLIENT_ORIGIN).outgoing()
_BODY = _HELLO[5:]


def records(message: bytes, size: int) -> bytes:
    """A handshake message in records of some size."""
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


WORDS = (*BINARY, b"\0\0\0\x0e\0\x0c\0\0\x09localhost", b"\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1", b"\0\x05\0\x03\x02h2")
_WITH_ALPN = _BODY[:4] + _BODY[4:]
SEEDS = seeds(_HELLO, records(_BODY, 100), records(_BODY, 20), b"EHLO a\r\n", b"\x80\x2e\x01\0\2", choices=2)
HOST = re.compile(r"[a-z0-9._-]{1,255}")


def read(data: bytes) -> ClientHello | str | None:
    """What a hello says; ``refused``, or None while it is not whole."""
    try:
        return read_client_hello(data)
    except HelloRefused as error:
        assert str(error).isprintable()
        return "refused"


def target(data: bytes) -> None:
    """As it is, or as records of the size that the plan says: growing piece by piece, and whole."""
    told = plan(data, 2)
    octets = records(told.words, told.step) if told.choice else told.words
    whole = read(octets)
    if isinstance(whole, ClientHello):
        assert whole.server_name is None or HOST.fullmatch(whole.server_name)
        assert whole.alpn is None or all(whole.alpn)
    stride = max(1, len(octets) // 64)
    for end in range(0, len(octets), stride):
        part = read(octets[:end])
        assert part is None or part == whole or end > HELLO_LIMIT or whole == "refused" or part == "refused"
        if part is not None:
            break
    with suppress(HelloRefused):
        read_client_hello(b"\x16\x03\x01" + min(len(told.words), 65535).to_bytes(2) + told.words)
