"""Invariant: the tags of a stream are the same for every cut, only UnexpectedWords escapes, and depth and what is held
are bounded."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.measure import held
from fuzz.origins import plan, seeds
from fuzz.words import XML

from gatepost.wire.recipes.recipe import UnexpectedWords
from gatepost.wire.recipes.xmlstream import DEPTH_LIMIT, TAG_LIMIT, TEXT_LIMIT, Open, StreamReader, Token

WORDS = (*XML, b" ", b"\r\n", b"<b:c ", b"</a>", b"<a>", b"\xc3\xa9", b"&#xD800;", b"&amp;")
SEEDS = seeds(
    b"<?xml version='1.0' encoding='UTF-8'?><stream:stream xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'> <stream:features><starttls "
    b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls><a x='&lt;&#65;'>t&amp;</a></stream:features>",
    b'<a:b xmlns:a="u"><c/></a:b>',
)


def read(pieces: Iterable[bytes]) -> list[Token | str]:
    """The tags, and what ends them."""
    reader, found, longest = StreamReader(), list[Token | str](), 0
    for piece in pieces:
        longest = max(longest, len(piece))
        reader.receive(piece)
        try:
            while (token := reader.next_token()) is not None:
                assert token.depth < DEPTH_LIMIT
                found.append(token)
        except UnexpectedWords as error:
            assert str(error).isprintable()
            return [*found, "refused"]
    assert held(reader) <= TAG_LIMIT * (DEPTH_LIMIT + 1) * DEPTH_LIMIT + TEXT_LIMIT + longest
    return found


def target(data: bytes) -> None:
    """In pieces, and whole."""
    told = plan(data)
    whole = read([told.words])
    assert read(told.pieces()) == whole
    assert all(token.name for token in whole if isinstance(token, Open))
