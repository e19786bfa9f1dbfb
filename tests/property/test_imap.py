"""What holds for every IMAP conversation, every content and every cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire.imap.imap_talk import ORIGIN, PROFILE, answer, commands, events_of, hear, relay, responses

from gatepost.errors import LocalProtocolError
from gatepost.wire.imap.commands import CommandReader
from gatepost.wire.imap.events import (
    Broken,
    ClientPiece,
    Ended,
    LiteralData,
    LoggedIn,
    Malformed,
    Passing,
    ServerPiece,
    StartTLSRequested,
)
from gatepost.wire.imap.responses import ResponseReader
from gatepost.wire.imap.server import PlainServer
from gatepost.wire.imap.states import PASSING, PASSING_STARTTLS, PLAIN, READING, Reading, State
from gatepost.wire.upgrade import PlaintextAfterUpgrade

_COMMANDS = st.sampled_from(
    [
        b"a NOOP\r\n", b"b CAPABILITY\r\n", b"c LOGIN bob secret\r\n", b"d LOGIN {3}\r\n", b"bob {6}\r\n",
        b"secret\r\n",
        b"e LOGIN {3+}\r\nbob {6+}\r\nsecret\r\n", b"f AUTHENTICATE PLAIN\r\n", b"AGEAYg==\r\n", b"*\r\n",
        b"g AUTHENTICATE PLAIN AGEAYg==\r\n", b"h IDLE\r\n", b"DONE\r\n", b"i APPEND x {9}\r\n", b"j STARTTLS\r\n",
        b"k COMPRESS DEFLATE\r\n", b"l LOGOUT\r\n", b'm SELECT "a {5}"\r\n', b'n SELECT "a {5}\r\n', b"o X {-1}\r\n",
        b"p SEARCH ~{0+}\r\n\r\n", b"q FETCH 1 BODY[]\r\n", b"\r\n", b"x\n", b"\0", b"r X\ry\r\n", b"{5}\r\n",
        b"hello", b"s X {4+}\r\na b ", b"t " + b"x" * 1200 + b"\r\n", b"GET / HTTP/1.1\r\n", b'u ID ("a" "b")\r\n',
    ]
)  # fmt: skip
_RESPONSES = st.sampled_from(
    [
        b"* OK hi\r\n", b"* CAPABILITY IMAP4rev1 STARTTLS COMPRESS=DEFLATE\r\n", b"a OK done\r\n", b"c NO no\r\n",
        b"c OK [CAPABILITY IMAP4rev1] in\r\n", b"d OK in\r\n", b"+ go\r\n", b"+\r\n", b"* 1 FETCH (X {12}\r\n",
        b"a OK done\r\n)\r\n", b"* 2 EXISTS\r\n", b'* LIST () "/" "x {3}"\r\n', b'* LIST () "/" "x {3}\r\n', b"\r\n",
        b"* BYE bye\r\n", b"* PREAUTH in\r\n", b"* X ~{3+}\r\nabc\r\n", b"* X {4}\r\n", b"garbage {5}\r\n", b"\0\n\r",
        b"h OK idle\r\n", b"f NO\r\n", b"i NO [TRYCREATE]\r\n", b"* 3 FETCH (A {0}\r\n B {2}\r\n\r\n)\r\n",
        b"* \\\" {1}",
        b"* X " + b'"' + b"y" * 70_000, b'" {3}\r\n* )\r\n',
    ]
)  # fmt: skip
_CLIENT = st.lists(_COMMANDS, max_size=12).map(b"".join)
_SERVER = st.lists(_RESPONSES, max_size=12).map(b"".join)
_CUTS = st.lists(st.integers(0, 2000), max_size=8)
_VOTES = st.lists(st.booleans(), max_size=12)
_NOISE = st.binary(max_size=200)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """The stream in pieces."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:stop] for start, stop in zip([0, *at], [*at, len(data)], strict=True)]


def read_commands(pieces: Sequence[bytes], votes: Sequence[bool]) -> list[ClientPiece]:
    """Everything that a reader finds when a server votes on what it waits for."""
    reader, found, left = CommandReader(1000), list[ClientPiece](), list(votes)
    for piece in pieces:
        reader.receive(piece)
        while True:
            found += commands(reader)
            if reader.reading not in (Reading.ASKED, Reading.PAUSED) or not left:
                break
            if left.pop(0):
                reader.go_ahead()
            else:
                reader.replied(reader.tag)
    joined: list[ClientPiece] = []
    for each in found:
        if joined and isinstance(each, LiteralData) and isinstance(last := joined[-1], LiteralData):
            joined[-1] = LiteralData(last.octets + each.octets, each.hidden)
        else:
            joined.append(each)
    return joined


def read_responses(pieces: Sequence[bytes]) -> list[ServerPiece]:
    reader, found = ResponseReader(), list[ServerPiece]()
    for piece in pieces:
        for each in responses(reader, piece):
            if found and isinstance(each, Passing) and isinstance(last := found[-1], Passing):
                found[-1] = Passing(last.octets + each.octets)
            else:
                found.append(each)
    return found


@given(_CLIENT | _NOISE, _CUTS, _VOTES)
@settings(max_examples=300)
def test_commands_are_the_same_for_every_cut(data: bytes, places: list[int], votes: list[bool]) -> None:
    """However the client's stream is cut, the same commands are found, and their octets are the stream."""
    whole = read_commands([data], votes)
    assert read_commands(cut(data, places), votes) == whole
    octets = b"".join(each.octets for each in whole if not isinstance(each, Malformed))
    assert data.startswith(octets)


@given(_SERVER | _NOISE, _CUTS)
@settings(max_examples=300)
def test_responses_are_the_same_for_every_cut(data: bytes, places: list[int]) -> None:
    """However the server's stream is cut, the same statuses are found, and all octets are the stream."""
    whole, parts = read_responses([data]), read_responses(cut(data, places))
    ends = [each for each in whole if isinstance(each, Broken)]
    assert [each for each in parts if isinstance(each, Broken)] == ends
    if not ends:  # what is held at the end may differ: a long line passes in pieces
        read = [each for each in whole if not isinstance(each, Passing)]
        assert [each for each in parts if not isinstance(each, Passing)] == read
    for found in (whole, parts):
        assert data.startswith(b"".join(each.octets for each in found if not isinstance(each, Broken)))


@given(st.lists(st.tuples(_CLIENT | _NOISE, _SERVER | _NOISE), max_size=4))
@settings(max_examples=300)
def test_what_passes_was_said(talk: list[tuple[bytes, bytes]]) -> None:
    """Whatever both sides say: nothing is raised, the server hears only what the client said, in order, and nobody is
    logged in without a login and its answer."""
    engine = relay()
    said, logins = b"", 0
    for from_client, from_server in talk:
        said += from_client
        for event in (*hear(engine, from_client), *answer(engine, from_server)):
            logins += isinstance(event, LoggedIn)
        heard = engine.to_server()
        assert _is_within(heard, said)
        engine.outgoing()
    assert logins == 0 or any(word in said.upper() for word in (b"LOGIN", b"AUTHENTICATE"))


def _is_within(part: bytes, whole: bytes) -> bool:
    """Whether lines stand in a whole in the same order."""
    at = 0
    for line in part.splitlines(keepends=True):
        at = whole.find(line, at)
        if at < 0:
            return False
        at += len(line)
    return True


@given(st.lists(st.binary(max_size=300), max_size=6), _CUTS, st.integers(1, 5))
def test_messages_pass_octet_for_octet(messages: list[bytes], places: list[int], tag: int) -> None:
    """APPEND and FETCH carry any octets, whatever they look like, both ways."""
    engine = relay(authenticated=True)
    up = b"".join(b"t%d APPEND x ~{%d+}\r\n%b\r\n" % (tag, len(each), each) for each in messages)
    down = b"".join(b"* 1 FETCH (BODY[] {%d}\r\n%b)\r\nt%d OK done\r\n" % (len(each), each, tag) for each in messages)
    for piece in cut(up, places):
        assert hear(engine, piece) == []
    for piece in cut(down, places):
        assert answer(engine, piece) == []
    assert engine.to_server() == up
    assert engine.outgoing() == down


@given(_CLIENT | _NOISE, _CUTS)
@settings(max_examples=300)
def test_before_tls_nothing_is_believed(data: bytes, places: list[int]) -> None:
    """Whatever is said in the clear: the end is STARTTLS or the end, and what stood behind STARTTLS is no command."""
    engine = PlainServer(ORIGIN, PROFILE)
    engine.greet()
    for piece in cut(data, places):
        engine.receive(piece)
        events = events_of(engine)
        if StartTLSRequested() in events:
            try:
                engine.grant_upgrade()
            except PlaintextAfterUpgrade:
                assert engine.state is State.ENDED
            else:
                assert engine.state is State.UPGRADED
            return
        assert engine.over == any(isinstance(event, Ended) for event in events) or engine.over
    assert b" OK in" not in engine.outgoing()


def test_every_state_can_be_left_or_is_an_end() -> None:
    """The tables have no dead states, and no login before TLS."""
    for table in (PLAIN, PASSING, PASSING_STARTTLS):
        for state in table.edges:
            assert table.terminal(state) == (state in (State.ENDED, State.UPGRADED))
    assert State.LOGGING_IN not in PLAIN.edges
    assert State.UPGRADED not in PASSING.edges
    assert [state for state in READING.edges if READING.terminal(state)] == [Reading.BROKEN]


def test_a_spent_engine_takes_nothing() -> None:
    """Behind the upgrade octets belong to TLS."""
    engine = PlainServer(ORIGIN, PROFILE)
    engine.greet()
    hear(engine, b"a STARTTLS\r\n")
    engine.grant_upgrade()
    try:
        engine.receive(b"x")
    except LocalProtocolError:
        return
    raise AssertionError
