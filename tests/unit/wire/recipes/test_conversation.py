"""What a half hears, and how much of it at most."""

from __future__ import annotations

import pytest

from gatepost.testing.memory import CLOSE, MemoryDriver, ScriptedPeer
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.conversation import LINES_LIMIT, OCTETS_LIMIT, Conversation
from gatepost.wire.recipes.recipe import PeerLeft, UnexpectedWords


def lines(conversation: Conversation, count: int) -> Dialogue[list[bytes]]:
    heard = []
    for _ in range(count):
        heard.append((yield from conversation.line("line")))
    return heard


@pytest.mark.parametrize("chunks", [None, 1, 3])
def test_lines_octets_and_residue_share_one_stream(chunks: int | None) -> None:
    """A line, then octets by the count, then a line; and nothing behind it was looked at."""
    conversation = Conversation(1.0)

    def talk() -> Dialogue[tuple[bytes, bytes, bytes]]:
        first = yield from conversation.line("first")
        octets = yield from conversation.octets(4, "octets")
        last = yield from conversation.line("last")
        return first, octets, last

    driver = MemoryDriver(ScriptedPeer((b"", b"one\r\n\r\n\0\ntwo\r\nrest\r")), chunks=chunks)
    assert driver.run(talk()) == (b"one", b"\r\n\0\n", b"two")
    if chunks is None:
        assert conversation.residue() == b"rest\r"
        assert conversation.residue() == b""
    assert {wait.step for wait in driver.waited} <= {"first", "octets", "last"}


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"x\r\n" * (LINES_LIMIT + 1), "lines before the upgrade"),
        ((b"x" * 2000 + b"\r\n") * 40, "octets before the end"),
        (b"x" * 3000, "line too long in the line"),
        (b"a\nb\r\n", "bare line feed in the line"),
        (b"a\rb\r\n", "bare carriage return in the line"),
    ],
)
def test_whatever_can_grow_is_bounded(octets: bytes, message: str) -> None:
    """Lines, octets, and the length of a line; and a line ends with CR LF."""
    with pytest.raises(UnexpectedWords, match=message):
        MemoryDriver(ScriptedPeer((b"", octets))).run(lines(Conversation(1.0), LINES_LIMIT + 1))


def test_octets_by_the_count_are_bounded_together() -> None:
    """However few are asked for at a time."""
    conversation = Conversation(1.0)

    def talk() -> Dialogue[None]:
        for _ in range(OCTETS_LIMIT // 1000 + 1):
            yield from conversation.octets(1000, "octets")

    with pytest.raises(UnexpectedWords):
        MemoryDriver(ScriptedPeer((b"", b"x" * (OCTETS_LIMIT + 2000)))).run(talk())


def test_the_end_of_the_stream_is_no_line() -> None:
    """Half a line is nothing."""
    with pytest.raises(PeerLeft, match="before the line was complete"):
        MemoryDriver(ScriptedPeer((b"", b"half"), (b"", CLOSE))).run(lines(Conversation(1.0), 1))


def test_nothing_is_asked_while_something_waits() -> None:
    """An answer before its question is refused, with its octets, and the question is not sent."""
    conversation = Conversation(1.0)

    def talk() -> Dialogue[None]:
        yield from conversation.line("line")
        yield from conversation.ask(b"why?\r\n")

    driver = MemoryDriver(ScriptedPeer((b"", b"one\r\nbecause")))
    with pytest.raises(UnexpectedWords) as error:
        driver.run(talk())
    assert error.value.words == b"because"
    assert driver.sent == []
