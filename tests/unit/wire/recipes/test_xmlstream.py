"""The reader of what stands before TLS in an XMPP stream: little, strict, bounded."""

from __future__ import annotations

import pytest

from gatepost.wire.recipes.recipe import UnexpectedWords
from gatepost.wire.recipes.xmlstream import DEPTH_LIMIT, OCTETS_LIMIT, TAG_LIMIT, Close, Open, StreamReader, Token

STREAM = b"<s:stream xmlns:s='urn:s' xmlns=\"urn:d\" version='1.0'>"


def read(*pieces: bytes) -> list[Token]:
    """All tags."""
    reader = StreamReader()
    found: list[Token] = []
    for piece in pieces:
        reader.receive(piece)
        while (token := reader.next_token()) is not None:
            found.append(token)
    return found


def test_names_have_the_namespaces_that_are_in_force() -> None:
    """Prefixes are resolved; a default namespace is inherited, and may change on the way down."""
    tags = read(
        b"<?xml version='1.0' encoding='utf-8' standalone=\"yes\"?>",
        STREAM,
        b"<a/><b xmlns='urn:b'><c/></b><s:e></s:e>",
    )
    assert tags == [
        Open("urn:s", "stream", {"version": "1.0"}, 0, False),
        Open("urn:d", "a", {}, 1, True),
        Open("urn:b", "b", {}, 1, False),
        Open("urn:b", "c", {}, 2, True),
        Close(1),
        Open("urn:s", "e", {}, 1, False),
        Close(1),
    ]


def test_tags_are_the_same_for_every_cut() -> None:
    """Octet by octet, quotes that hold a `>` included."""
    text = b"<?xml version='1.0'?>\n" + STREAM + b" <a x='>' y=\"'\"> text &amp; more</a> </s:stream>\n "
    assert read(*[bytes((octet,)) for octet in text]) == read(text)
    assert read(text)[1] == Open("urn:d", "a", {"x": ">", "y": "'"}, 1, False)


def test_references_are_the_five_of_xml_and_characters() -> None:
    """Nothing is expanded but what XML has by itself."""
    (tag,) = read(b"<a b='&lt;&gt;&amp;&quot;&apos;&#65;&#x42;' xml:lang='en'/>")
    assert isinstance(tag, Open)
    assert tag.attributes == {"b": "<>&\"'AB", "xml:lang": "en"}


@pytest.mark.parametrize(
    "octets",
    [
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]>", b"<!--", b"<![CDATA[", b"<?php", b"<!", b" <?xml version='1.0'?>",
        STREAM + b"<?xml version='1.0'?>", b"<?xml version='1.1'?><a>", b"<?xml version='1.0' encoding='latin1'?>",
        b"<a b='&x;'>", b"<a b='&#0;'>", b"<a b='&#xD800;'>", b"<a b='&#x110000;'>", b"<a b='&'>", b"<a b='\xff'>",
        b"<a b='\0'>", b"<a b='1' b='2'>", b"<a b=1>", b"<a b>", b"<a b='<'>", b"< a>", b"<a\xc3\xa9>", b"<1>", b"<>",
        b"</a>", b"<a></b>", b"<a><b></a></b>", b"<a/><b/>", b"<p:a>", b"<a xmlns:p=''>", b"<a xmlns:xml='x'>",
        b"<a p:xmlns='x'>", b"text", STREAM + b"text<a/>", STREAM + b"<a>&x;</a>", STREAM + b"<a>\xff</a>", b"<a:b:c>",
        b"\xef\xbb\xbf<a>", STREAM + b"</s:stream>x",
    ],
)  # fmt: skip
def test_what_may_not_stand_there_is_refused(octets: bytes) -> None:
    """Forbidden by RFC 6120 §11, or no XML, or more than is needed here."""
    with pytest.raises(UnexpectedWords):
        read(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"<a" + b" " * TAG_LIMIT,
        b"<a b='" + b"x" * TAG_LIMIT,
        b"<a>" * (DEPTH_LIMIT + 1),
        STREAM + b" " * 5000,
        STREAM + b"<a>" + b"x" * 5000,
        STREAM + b"<a/>" * OCTETS_LIMIT,
    ],
    ids=["tag", "value", "depth", "space", "text", "everything"],
)
def test_whatever_can_grow_is_bounded(octets: bytes) -> None:
    """A tag, a text, the depth, and everything together."""
    with pytest.raises(UnexpectedWords):
        read(octets)


def test_what_was_not_asked_for_is_residue() -> None:
    """Nothing behind the last tag has been looked at."""
    reader = StreamReader()
    reader.receive(STREAM + b"<a/><!DOCTYPE")
    reader.next_token()
    assert reader.next_token() == Open("urn:d", "a", {}, 1, True)
    assert reader.pending
    assert reader.residue() == b"<!DOCTYPE"
    assert not reader.pending
