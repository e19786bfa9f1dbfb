"""Reading as dialogues: whatever the cuts, the same octets, and none twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from gatepost.testing.memory import CLOSE, ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.wire.dialogue import Dialogue, Receive, receive, send, upgrade
from gatepost.wire.inbox import EXACT_LIMIT, Inbox, Standing, patience, upgrading
from gatepost.wire.upgrade import PlaintextAfterUpgrade, UpgradeReady, hand_over_client

WORDS = b"one\r\n\ntwo three\nfour"


def driver(said: bytes, cuts: int | None = None) -> MemoryDriver:
    return MemoryDriver(ScriptedPeer((b"", said), (b"", CLOSE)), chunks=cuts)


def test_what_is_given_back_is_read_next() -> None:
    """In front of what came behind it, whatever of it was looked at before."""
    run, inbox = driver(WORDS), Inbox()
    line = run.run(inbox.readline(100, 1))
    inbox.give_back(line)
    assert run.run(inbox.read_exactly(len(WORDS), 1)) == WORDS
    inbox.give_back(b"")
    assert not inbox


@given(st.integers(1, 30), st.lists(st.sampled_from(["read", "exactly", "line"]), max_size=12))
def test_every_octet_is_read_once_whatever_the_cuts(cuts: int, ways: list[str]) -> None:
    """Mixed ways of reading lose nothing and repeat nothing."""
    run, inbox, heard = driver(WORDS, cuts), Inbox(), b""
    for way in ways:
        make: Callable[[], Dialogue[bytes]] = {
            "read": lambda: inbox.read(3, 1),
            "exactly": lambda: inbox.read_exactly(2, 1),
            "line": lambda: inbox.readline(100, 1),
        }[way]
        try:
            heard += run.run(make())
        except RemoteProtocolError:
            break
    while more := run.run(inbox.read(100, 1)):
        heard += more
    assert heard == WORDS


@pytest.mark.parametrize("cuts", [None, 1, 2, 7])
def test_lines_come_with_their_ends(cuts: int | None) -> None:
    """CRLF and LF end a line; half a line at the end is an error and stays readable."""
    run, inbox = driver(WORDS, cuts), Inbox()
    assert [run.run(inbox.readline(100, 1)) for _ in range(3)] == [b"one\r\n", b"\n", b"two three\n"]
    with pytest.raises(RemoteProtocolError, match="4 octets of a line") as caught:
        run.run(inbox.readline(100, 1))
    assert caught.value.temporary
    assert run.run(inbox.read_exactly(4, 1)) == b"four"
    assert run.run(inbox.readline(100, 1)) == b""


def test_exactly_as_many_octets_as_asked_for_or_an_error() -> None:
    """What came before the end stays where it is, for who is content with less."""
    run, inbox = driver(b"four", 1), Inbox()
    assert run.run(inbox.read_exactly(2, 1)) == b"fo"
    with pytest.raises(RemoteProtocolError, match="2 of 3 octets had come"):
        run.run(inbox.read_exactly(3, 1))
    assert run.run(inbox.read(9, 1)) == b"ur"
    assert run.run(inbox.read(9, 1)) == b""


@pytest.mark.parametrize("cuts", [None, 1, 3])
def test_line_limit_counts_the_end(cuts: int | None) -> None:
    """One octet more is refused, whether its end has come or not; nothing more is waited for."""
    for said in (b"12345\n", b"123456", b"1234567890" * 100):
        run, inbox = driver(said, cuts), Inbox()
        if said == b"12345\n":
            assert run.run(inbox.readline(6, 1)) == said
            run, inbox = driver(said, cuts), Inbox()
        with pytest.raises(RemoteProtocolError, match="more than 5 octets"):
            run.run(inbox.readline(5, 1))


def test_reader_that_was_broken_off_lost_nothing() -> None:
    """What had come stays for the next reader."""
    inbox = Inbox()
    half = inbox.readline(100, 1)
    assert next(half) == Receive(1, "line")
    assert half.send(b"on") == Receive(1, "line")
    half.close()
    assert driver(b"e\n").run(inbox.readline(100, 1)) == b"one\n"


@pytest.mark.parametrize("count", [0, -1, EXACT_LIMIT + 1])
def test_impossible_counts_are_mistakes(count: int) -> None:
    """Nothing, less than nothing, and more than may be held."""
    with pytest.raises(LocalProtocolError):
        driver(b"").run(Inbox().read_exactly(count, 1))


def half(words: bytes) -> Dialogue[UpgradeReady]:
    heard = b""
    while not heard.endswith(b"\n"):
        more = yield from receive(1, "words")
        assert more, "the recipe waits for words"
        heard += more
    assert heard == words
    return hand_over_client(ORIGIN, b"")


@pytest.mark.parametrize("taken", [0, 1, 6])
def test_recipe_hears_what_was_read_ahead(taken: int) -> None:
    """Not what the caller took, and everything else."""
    run, inbox = driver(b"a\nhello\n"), Inbox()
    assert run.run(inbox.readline(100, 1)) == b"a\n"
    if taken:
        assert run.run(inbox.read(taken, 1)) == b"hello\n"[:taken]
    if taken == 6:
        with pytest.raises(AssertionError):
            run.run(inbox.hand_over(ORIGIN, half(b"")))
    else:
        assert run.run(inbox.hand_over(ORIGIN, half(b"hello\n"[taken:]))).spend() is ORIGIN


def test_residue_is_refused_at_the_door() -> None:
    """A recipe that asks for nothing, and octets that were read ahead: they do not cross."""

    def nothing() -> Dialogue[UpgradeReady]:
        yield from ()
        return hand_over_client(ORIGIN, b"")

    run, inbox = driver(b"a\nb"), Inbox()
    run.run(inbox.readline(10, 1))
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        run.run(upgrading(inbox, ORIGIN, nothing()))
    assert caught.value.residue == b"b"
    assert not inbox


def test_dialogue_inside_may_not_upgrade_and_hears_of_failures() -> None:
    """``feed`` throws what the driver throws, and stops an upgrade; the dialogue may handle either."""

    def stubborn() -> Dialogue[list[str]]:
        heard = []
        for attempt in (receive(1, "words"), upgrade(hand_over_client(ORIGIN, b"")), send(b"x")):
            try:
                yield from attempt
            except (DeadlineExceeded, LocalProtocolError) as error:
                heard.append(type(error).__name__)
        return heard

    silent = MemoryDriver(ScriptedPeer((b"x", b"")))
    assert silent.run(Inbox().feed(stubborn())) == ["DeadlineExceeded", "LocalProtocolError"]
    assert silent.sent == [b"x"]


def test_standing_lets_one_reader_in_and_nobody_after_the_end() -> None:
    """The first reason for the end stays."""
    standing = Standing()
    with standing.reading():
        standing.check()
        with pytest.raises(LocalProtocolError, match="one reader"), standing.reading():
            raise AssertionError("let in")
    with pytest.raises(DeadlineExceeded), standing.reading():
        raise DeadlineExceeded("late")
    standing.end("another reason")
    with pytest.raises(LocalProtocolError, match="failed"):
        standing.check()


def test_standing_ends_with_what_it_came_from() -> None:
    """Who closes the connection in the clear has closed the private one that it became, and not the other way round."""
    plain, private = Standing(), Standing()
    plain.heir = private
    private.check()
    plain.end("closed")
    with pytest.raises(LocalProtocolError, match="closed"):
        private.check()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e9])
def test_patience_is_a_number_of_seconds(seconds: float) -> None:
    """Anything else is a mistake, not a wait without end."""
    assert patience(None, 3) == 3 and patience(0, 3) == 0
    with pytest.raises(LocalProtocolError):
        patience(seconds, 3)
