"""The server's stream: statuses are told apart, literals and everything else pass."""

from __future__ import annotations

import pytest
from tests.unit.wire.imap.imap_talk import responses

from gatepost.wire.imap.events import Broken, Continue, Listed, Passing, Tagged, Untagged
from gatepost.wire.imap.responses import HELD_LIMIT, ResponseReader


def test_statuses_are_told_apart() -> None:
    """Tagged and untagged statuses, capabilities and continuations are events of their own."""
    data = b"* OK hi\r\n* CAPABILITY IMAP4rev1\r\n* 3 EXISTS\r\n* FLAGS (x)\r\n+ go\r\na1 no [X] y\r\n* bye\r\n"
    assert responses(ResponseReader(), data) == [
        Untagged(b"* OK hi\r\n", "OK"),
        Listed(b"* CAPABILITY IMAP4rev1\r\n"),
        Passing(b"* 3 EXISTS\r\n* FLAGS (x)\r\n"),
        Continue(b"+ go\r\n"),
        Tagged(b"a1 no [X] y\r\n", b"a1", "NO"),
        Untagged(b"* bye\r\n", "BYE"),
    ]


def test_a_literal_is_content() -> None:
    """What a message holds is no response, whatever it looks like."""
    content = b"a1 OK done\r\n* CAPABILITY X\r\n+ go\r\n* BYE\r\n"
    data = b"* 1 FETCH (BODY[] {%d}\r\n%b FLAGS ())\r\na1 OK done\r\n" % (len(content), content)
    found = responses(ResponseReader(), data)
    assert found == [Passing(data[:-12]), Tagged(b"a1 OK done\r\n", b"a1", "OK")]


def test_several_literals_and_empty_ones() -> None:
    """A response goes on behind each of its literals, also behind literal8."""
    data = b"* 1 FETCH (A {0}\r\n B ~{3}\r\n\0\r\n C {2}\r\n* )\r\n* 2 EXISTS\r\n"
    each = ResponseReader()
    assert responses(each, data) == [Passing(data)]
    assert each.between


@pytest.mark.parametrize(
    "line", [b'* LIST () "/" "foo {5}"', b"* OK text {5}", b"a1 NO text {5}", b"+ text {5}", b"* LIST () NIL foo}"]
)
def test_free_text_announces_nothing(line: bytes) -> None:
    """At the end of a text or inside a quoted string braces are text."""
    each = ResponseReader()
    found = responses(each, line + b"\r\na2 OK next\r\n")
    assert found[-1] == Tagged(b"a2 OK next\r\n", b"a2", "OK")


@pytest.mark.parametrize(
    "line", [b'* LIST () "/" "foo {5}', b"* 1 FETCH (X {-1}", b"* 1 FETCH (X {9223372036854775808}"]
)
def test_what_looks_like_a_literal_and_is_none_ends_the_reading(line: bytes) -> None:
    """Where a client could see a literal and we none, the server is not read any more."""
    each = ResponseReader()
    assert isinstance(responses(each, line + b"\r\na1 OK\r\n")[-1], Broken)
    assert responses(each, b"a1 OK\r\n") == []


def test_long_lines_pass_in_pieces() -> None:
    """A line of a megabyte is not held, and its quoted strings and its literal are still seen."""
    each = ResponseReader()
    head = b'* SEARCH "' + b'x\\"' * 400_000
    passed = sum(len(piece.octets) for piece in responses(each, head) if isinstance(piece, Passing))
    assert passed > len(head) - 100
    assert not each.between
    rest = b'" {10}\r\na1 OK x\r\n\r\n\r\na2 OK\r\n'
    found = responses(each, rest)
    assert found[-1] == Tagged(b"a2 OK\r\n", b"a2", "OK")
    assert not any(isinstance(piece, Tagged) for piece in found[:-1])


@pytest.mark.parametrize("before", [b"", b'"a" ', b'"a\\"b" "c" ', b'"{3}" '])
def test_long_lines_may_announce_a_literal_behind_quoted_strings(before: bytes) -> None:
    """A quoted string that was closed in a piece that has passed is closed: what the line announces is content."""
    each = ResponseReader()
    responses(each, b"* SEARCH " + before + b"x" * 100_000)
    assert not each.between
    found = responses(each, b" {9}\r\na1 OK x\r\n)\r\na2 OK\r\n")
    assert found[-1] == Tagged(b"a2 OK\r\n", b"a2", "OK")
    assert not any(isinstance(piece, Tagged) for piece in found[:-1])


def test_long_statuses_are_refused() -> None:
    """What must be whole before it passes has a bound, whether its end has come or not."""
    assert isinstance(responses(ResponseReader(), b"* OK " + b"x" * (HELD_LIMIT + 1) + b"\r\n")[0], Broken)
    assert isinstance(responses(ResponseReader(), b"* OK " + b"x" * (HELD_LIMIT + 1))[0], Broken)
    assert isinstance(responses(ResponseReader(), b"x" * (HELD_LIMIT + 1))[0], Broken)


def test_responses_that_are_cut_are_not_between() -> None:
    """Nothing of our own may be said inside a response."""
    each = ResponseReader()
    responses(each, b"* 1 FETCH (BODY[] {10}\r\nabc")
    assert not each.between
    responses(each, b"defghij")
    assert not each.between
    responses(each, b")\r\n")
    assert each.between


def test_strange_lines_pass() -> None:
    """What is no response passes as it is, and announces nothing."""
    data = b"\r\nhello {5}\r\n*\r\na1 BYE\r\n\xff\xfe\r\n"
    each = ResponseReader()
    assert responses(each, data) == [Passing(data)]
    assert each.between
