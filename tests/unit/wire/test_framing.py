"""The strict framer: only CRLF ends a line."""

from __future__ import annotations

import time

import pytest

from gatepost.wire.framing import LineFault, LineFramer


def lines(data: bytes, *, limit: int = 100, normalise: bool = False, step: int = 0) -> list[bytes | LineFault]:
    """All lines and faults of some bytes, received at once or in steps."""
    framer = LineFramer(limit, normalise=normalise)
    found: list[bytes | LineFault] = []
    for start in range(0, len(data), step or max(len(data), 1)):
        framer.receive(data[start : start + step] if step else data)
        while (line := framer.next_line()) is not None:
            found.append(line)
    return found


def test_framer_cuts_at_crlf_and_nowhere_else() -> None:
    """CRLF ends a line, and what follows the last one waits."""
    framer = LineFramer(100)
    framer.receive(b"EHLO a\r\n\r\nQUIT")
    assert [framer.next_line(), framer.next_line(), framer.next_line()] == [b"EHLO a", b"", None]
    assert len(framer) == 4


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"a\nb\r\nc\r\n", LineFault.BARE_LF),
        (b"a\rb\r\nc\r\n", LineFault.BARE_CR),
        (b"a\r\r\nc\r\n", LineFault.BARE_CR),
    ],
)
@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_framer_reports_a_bare_cr_or_lf_once_and_skips_the_line(data: bytes, fault: LineFault, step: int) -> None:
    """The tail of a bad line never becomes a line of its own."""
    assert lines(data, step=step) == [fault, b"c"]


@pytest.mark.parametrize("step", [0, 1, 7])
def test_framer_reports_a_long_line_once_and_skips_it(step: int) -> None:
    """A line above the limit is one fault, whatever its length."""
    assert lines(b"x" * 1000 + b"\r\nQUIT\r\n", limit=20, step=step) == [LineFault.TOO_LONG, b"QUIT"]


def test_framer_takes_a_line_of_exactly_the_limit() -> None:
    """The limit itself is allowed, one octet more is not."""
    assert lines(b"x" * 20 + b"\r\n", limit=20) == [b"x" * 20]
    assert lines(b"x" * 21 + b"\r\n", limit=20) == [LineFault.TOO_LONG]


def test_framer_does_not_hold_an_endless_line() -> None:
    """After the fault nothing of the line stays in memory."""
    framer = LineFramer(20)
    for _ in range(100):
        framer.receive(b"x" * 1000)
        while framer.next_line() is not None:
            pass
        assert len(framer) <= 20


def test_framer_keeps_the_beginning_of_a_bad_line_for_the_log() -> None:
    """Up to the offence, and it is short."""
    framer = LineFramer(1000)
    framer.receive(b"BDAT 5\nabc\r\n" + b"x" * 2000)
    assert framer.next_line() is LineFault.BARE_LF
    assert framer.offender == b"BDAT 5\n"
    assert framer.next_line() is LineFault.TOO_LONG
    assert framer.offender == b"x" * 128


def test_framer_takes_a_bare_lf_as_a_line_end_when_told_to() -> None:
    """``normalise`` is for old peers; a bare CR stays a fault."""
    assert lines(b"a\nb\r\nc\rd\n", normalise=True) == [b"a", b"b", LineFault.BARE_CR]


def test_framer_gives_content_up_to_a_count_and_goes_on_with_lines() -> None:
    """Counted octets are taken from the same buffer, and lines go on behind them."""
    framer = LineFramer(100)
    framer.receive(b"BDAT 3\r\na\r\nQUIT\r\n")
    assert framer.next_line() == b"BDAT 3"
    assert framer.take(3) == b"a\r\n"
    assert framer.next_line() == b"QUIT"
    assert framer.take() == b""


def test_framer_lets_a_reader_look_before_it_takes() -> None:
    """``peek`` shows the unread part, ``advance`` takes a piece of it."""
    framer = LineFramer(100)
    framer.receive(b"DATA\r\nxyz")
    framer.next_line()
    buffer, start = framer.peek()
    assert buffer[start:] == b"xyz"
    framer.advance(start + 1)
    framer.receive(b"\r\n")
    assert framer.next_line() == b"yz"


def test_framer_takes_back_what_was_not_used() -> None:
    """``give_back`` undoes a ``take``."""
    framer = LineFramer(100)
    framer.receive(b"abc\r\n")
    framer.give_back(framer.take()[1:])
    assert framer.next_line() == b"bc"


@pytest.mark.no_cover  # it measures time, and a tracer takes some
@pytest.mark.parametrize("data", [b"NOOP\r\n", b"\r", b"\n", b"\r\n", b"x", b"\r\r\n"])
def test_framer_is_linear(data: bytes) -> None:
    """A megabyte of anything, in one piece or dripping, takes well under the time that quadratic work would."""
    whole = data * (1_000_000 // len(data))
    began = time.process_time()
    lines(whole, limit=2048)
    lines(whole[:200_000], limit=2048, step=3)
    assert time.process_time() - began < 5
