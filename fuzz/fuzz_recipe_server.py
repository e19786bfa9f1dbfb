"""Invariant: whatever a client says, a server half ends with a token or a peer's error, its words and what it holds are
bounded, and up to the upgrade both are the same for every cut."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.measure import held
from fuzz.origins import cut, plan
from fuzz.words import BINARY, ENDS, IMAP, POP3, SMTP, XML

from gatepost.errors import RemoteProtocolError
from gatepost.testing.recipes import ServedPeer, serve
from gatepost.wire.recipes.recipe import Recipe
from gatepost.wire.recipes.table import RECIPES
from gatepost.wire.upgrade import PlaintextAfterUpgrade

NAMES = sorted(RECIPES)
HELD = 1 << 17
REQUESTS = {
    "ftp": b"FEAT\r\nPBSZ 0\r\nAUTH TLS\r\n",
    "imap": b"a CAPABILITY\r\nb STARTTLS\r\n",
    "irc": b"CAP LS 302\r\nNICK a\r\nSTARTTLS\r\n",
    "ldap": b"0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037",
    "lmtp": b"LHLO a\r\nSTARTTLS\r\n",
    "mysql": b" \0\0\1\1\xaa\x08\0" + bytes(28),
    "nntp": b"CAPABILITIES\r\nMODE READER\r\nSTARTTLS\r\n",
    "pop3": b"CAPA\r\nSTLS\r\n",
    "postgres": b"\0\0\0\x08\x04\xd2\x16\x30\0\0\0\x08\x04\xd2\x16\x2f",
    "sieve": b"CAPABILITY\r\nNOOP {3+}\r\nabc\r\nSTARTTLS\r\n",
    "smtp": b"EHLO a\r\nNOOP\r\nSTARTTLS\r\n",
    "xmpp": b"<?xml version='1.0'?><stream:stream to='server.example' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
}
WORDS = (
    b"LHLO a\r\n", b"a CAPABILITY\r\n", b"CAPABILITIES\r\n", b"MODE READER\r\n", b"FEAT\r\n", b"AUTH TLS\r\n",
    b"CAP LS\r\n", b"PING x\r\n", b"NICK a\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30",
    bytes(28), b"\x30\x84", *SMTP, *POP3, *IMAP, *XML, *BINARY, *ENDS,
)  # fmt: skip
SEEDS = tuple(
    bytes((NAMES.index(name) + len(NAMES) * size, 0)) + words for name, words in REQUESTS.items() for size in (0, 9)
)


def hear(recipe: Recipe, pieces: Iterable[bytes]) -> ServedPeer:
    """A server half that heard what comes before its end."""
    peer = serve(recipe)
    for number, piece in enumerate(pieces):
        if peer.granted is not None or peer.error is not None:
            break
        peer.receive(piece)
        assert number % 256 or held(peer) <= HELD + len(peer.outgoing()) + len(piece)
    return peer


def target(data: bytes) -> None:
    """One recipe an input: in pieces, and whole."""
    told = plan(data, len(NAMES))
    recipe = RECIPES[NAMES[told.choice]]
    said: list[tuple[bool, bytes]] = []
    for pieces in (told.pieces(), cut(told.words, max(1, len(told.words)))):
        peer = hear(recipe, pieces)
        assert peer.error is None or isinstance(peer.error, RemoteProtocolError)
        assert peer.granted is None or peer.error is None
        assert sum(map(len, peer.turns)) <= 2000 + 100 * len(told.words)
        asked = peer.granted is not None or isinstance(peer.error, PlaintextAfterUpgrade)
        said.append(
            (asked, b"" if asked else b"".join(peer.turns))
        )  # what stands behind the request decides the answer
    assert said[0] == said[1]
