"""Invariant: whatever a server says, a client half ends with a token, a peer's error or a deadline, and says little."""

from __future__ import annotations

from gatepost.errors import DeadlineExceeded, RemoteProtocolError
from gatepost.testing.memory import CLOSE, MemoryDriver, ScriptedPeer
from gatepost.testing.recipes import CLIENT_TERMS
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import Origin

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 25), "dial", 0.0, "c1")
WORDS = (
    b"+OK\r\n",
    b"-ERR\r\n",
    b"STLS\r\n",
    b".\r\n",
    b"* OK\r\n",
    b"* CAPABILITY STARTTLS\r\n",
    b"a1 OK\r\n",
    b"a2 OK\r\n",
    b"220 x\r\n",
    b"220-x\r\n",
    b"250-x\r\n",
    b"250 STARTTLS\r\n",
    b'"STARTTLS"\r\n',
    b"OK\r\n",
    b"OK {3}\r\n",
    b"200 x\r\n",
    b"101 x\r\nSTARTTLS\r\n.\r\n",
    b"382 x\r\n",
    b"211-x\r\n AUTH TLS\r\n211 x\r\n",
    b"234 x\r\n",
    b":s CAP * LS :tls\r\n",
    b":s 670 *\r\n",
    b"PING x\r\n",
    b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
    b"<stream:features>",
    b"</stream:features>",
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"0\x0c\x02\x01\x01x\x07\n\x01\0\4\0\4\0",
    b"S",
    b"N",
    b"E",
    b"\x30\x84",
    b"R\0\0\0\n8.0\0\1\0\0\0gatepost\0\1\xaa-\2\0\x08\0\x15",
)


def target(data: bytes) -> None:
    """Every recipe, the words that the octets choose, in pieces of the size that the first of them names."""
    said = b"".join(WORDS[octet % len(WORDS)] if octet >= 128 else bytes((octet,)) for octet in data[1:])
    size = (data[0] % 40 if data else 0) + 1
    for recipe in RECIPES.values():
        for octets in (said, data):
            driver = MemoryDriver(ScriptedPeer((b"", octets), (b"", CLOSE)), chunks=size)
            try:
                ready = driver.run(recipe.client(ORIGIN, CLIENT_TERMS))
            except (RemoteProtocolError, DeadlineExceeded):
                pass
            else:
                assert ready.spend() is ORIGIN
            assert sum(map(len, driver.sent)) <= 1000 + 10 * len(octets)
