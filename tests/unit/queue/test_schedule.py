"""Backoff, jitter and the end of the lifetime."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.queue.schedule import JITTER, Schedule

MIDDLE = 0.5  # a random value that leaves the wait as it is


def test_wait_doubles_from_five_minutes_to_four_hours() -> None:
    """The default schedule."""
    waits = [Schedule().wait(n, MIDDLE) / 60 for n in range(1, 9)]
    assert waits == pytest.approx([5, 10, 20, 40, 80, 160, 240, 240])


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_wait_stays_within_its_jitter(attempts: int, chance: float) -> None:
    """However often it was tried, the wait is positive, and at most the longest and a tenth."""
    schedule = Schedule()
    plain = min(300.0 * 2.0 ** min(attempts - 1, 63), 14400.0)
    assert plain * (1 - JITTER) <= schedule.wait(attempts, chance) <= plain * (1 + JITTER)


def test_jitter_spreads_mail_that_was_deferred_together() -> None:
    """Different random values give different times."""
    assert Schedule().wait(1, 0.0) == pytest.approx(270)
    assert Schedule().wait(1, 0.999999) == pytest.approx(330, abs=0.01)


def test_last_attempt_falls_on_the_end_of_the_lifetime() -> None:
    """A message is tried once more at its end and given up after it."""
    schedule = Schedule(first=100, longest=1000, lifetime=5000)
    assert schedule.next_attempt(received_at=0, now=4500, attempts=9, chance=MIDDLE) == 5000
    assert schedule.next_attempt(received_at=0, now=4999.9, attempts=9, chance=MIDDLE) == 5000
    assert schedule.next_attempt(received_at=0, now=5000, attempts=9, chance=MIDDLE) is None
    assert schedule.next_attempt(received_at=0, now=10, attempts=1, chance=MIDDLE) == 110
    assert schedule.expires(7) == 5007


def test_default_lifetime_is_five_days() -> None:
    """RFC 5321 §4.5.4.1: at least 4 to 5 days."""
    assert Schedule().lifetime == 5 * 86400


@pytest.mark.parametrize("times", [(0, 1, 1), (2, 1, 1), (1, 2, 0), (-1, 2, 3)])
def test_schedule_refuses_impossible_times(times: tuple[float, float, float]) -> None:
    """A schedule that would never retry, or at once for ever, is not made."""
    with pytest.raises(ValueError, match="schedule"):
        Schedule(*times)


@pytest.mark.parametrize(("attempts", "chance"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_wait_refuses_values_out_of_range(attempts: int, chance: float) -> None:
    """A wrong argument is a bug, not a short wait."""
    with pytest.raises(ValueError, match="attempts"):
        Schedule().wait(attempts, chance)
