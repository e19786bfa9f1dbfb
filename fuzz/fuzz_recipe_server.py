"""Invariant: whatever a client says, a server half ends with a token or a peer's error, and its words are bounded."""

from __future__ import annotations

from gatepost.errors import RemoteProtocolError
from gatepost.testing.recipes import serve
from gatepost.wire.recipes.table import RECIPES

WORDS = (
    b"EHLO a\r\n",
    b"LHLO a\r\n",
    b"STARTTLS\r\n",
    b"CAPA\r\n",
    b"STLS\r\n",
    b"a CAPABILITY\r\n",
    b"a STARTTLS\r\n",
    b"x {9}\r\n",
    b"CAPABILITIES\r\n",
    b"MODE READER\r\n",
    b"FEAT\r\n",
    b"AUTH TLS\r\n",
    b"CAP LS\r\n",
    b"PING x\r\n",
    b"QUIT\r\n",
    b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
    b"</stream:stream>",
    b"<a>",
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037",
    b"\0\0\0\x08\x04\xd2\x16\x2f",
    b"\0\0\0\x08\x04\xd2\x16\x30",
    b" \0\0\1\1\xaa\x08\0",
    bytes(28),
    b"\x16\x03\x01\x02\0\x01",
    b"\r\n",
    b"\n",
    b"\x30\x84",
    b"\xff",
)


def target(data: bytes) -> None:
    """Every recipe, the words that the octets choose, in pieces of the size that the first of them names."""
    said = b"".join(WORDS[octet % len(WORDS)] if octet >= 128 else bytes((octet,)) for octet in data[1:])
    size = (data[0] % 40 if data else 0) + 1
    for recipe in RECIPES.values():
        for octets in (said, data):
            peer = serve(recipe)
            for start in range(0, len(octets), size):
                if peer.granted is not None or peer.error is not None:
                    break
                peer.receive(octets[start : start + size])
            assert peer.error is None or isinstance(peer.error, RemoteProtocolError)
            assert peer.granted is None or peer.error is None
            assert len(peer.outgoing()) <= 2000 + 100 * len(octets)
