"""Durations and sizes as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.quantities import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("5d", 432000),
        ("30m", 1800),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        (" 2 W ", 1209600),
    ],
)
def test_duration_reads_what_people_write(written: object, seconds: float) -> None:
    """Numbers are seconds; units and sums of them are understood."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "soon", "5 days", "-5m", -1, True, None, [], float("nan"), float("inf"), "5x", "m5"]
)
def test_duration_refuses_what_it_cannot_mean(written: object) -> None:
    """Anything else is refused with a text that shows how to write one."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(written)


@given(st.integers(min_value=0, max_value=10**9))
def test_duration_written_reads_back_the_same(seconds: int) -> None:
    """What is written for people is read back as the same number of seconds."""
    assert parse_duration(format_duration(float(seconds))) == seconds


@given(st.text(max_size=40))
def test_duration_parser_ends_with_a_number_or_a_refusal(text: str) -> None:
    """No text makes the parser fail in another way than by refusing."""
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize(
    ("written", "octets"), [(0, 0), ("50M", 52428800), ("64 KiB", 65536), ("1g", 1 << 30), ("10", 10), ("3kb", 3072)]
)
def test_size_reads_what_people_write(written: object, octets: int) -> None:
    """Numbers are bytes; K, M and G are powers of 1024."""
    assert parse_size(written) == octets


@pytest.mark.parametrize("written", ["", "much", "-1", -1, 1.5, True, None, "5T", "M"])
def test_size_refuses_what_it_cannot_mean(written: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="size"):
        parse_size(written)
