"""What a retry means, at each side of each bound, under clocks that jump."""

from __future__ import annotations

import pytest

from gatepost.greylist.memory import SLACK, Memory, Step, Timing, Verdict, judge, refresh_after

TIMING = Timing(delay=300.0, window=86400.0, lifetime=3_000_000.0)
T = 1_700_000_000.0


def test_stranger_is_put_off_and_remembered() -> None:
    """The first attempt begins the waiting."""
    assert judge(None, T, TIMING) == Step(Verdict.NEW, 300.0, 0.0, Memory(T, None, T))


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (0.0, Verdict.EARLY), (299.9, Verdict.EARLY), (300.0, Verdict.PASSED), (86400.0, Verdict.PASSED),
        (86400.1, Verdict.LATE), (9e9, Verdict.LATE), (-0.5, Verdict.EARLY), (-SLACK, Verdict.EARLY),
        (-SLACK - 0.1, Verdict.PASSED), (-9e9, Verdict.PASSED),
    ],
)  # fmt: skip
def test_retry_is_judged_by_its_age(age: float, verdict: Verdict) -> None:
    """Too early, in time, too late; and from before it began, which only a clock that was set back makes."""
    assert judge(Memory(T, None, T), T + age, TIMING).verdict is verdict


def test_wait_that_is_said_is_enough() -> None:
    """Whoever comes back after just that time gets in, also where the clock went a little back."""
    for age in (-SLACK, -0.5, 0.0, 17.0, 299.0):
        step = judge(Memory(T, None, T), T + age, TIMING)
        assert judge(Memory(T, None, T), T + age + step.wait, TIMING).verdict is Verdict.PASSED


def test_early_retry_changes_nothing() -> None:
    """Hammering neither shortens the waiting nor prolongs it, and costs no write."""
    assert judge(Memory(T, None, T), T + 5, TIMING) == Step(Verdict.EARLY, 295.0)


def test_late_retry_begins_anew() -> None:
    """A day and more later it is a first attempt."""
    assert judge(Memory(T, None, T), T + 90000, TIMING).memory == Memory(T + 90000, None, T + 90000)


def test_pass_is_remembered_with_how_long_it_took() -> None:
    """The log tells how long a sender had to wait."""
    step = judge(Memory(T, None, T), T + 1800, TIMING)
    assert (step.waited, step.memory) == (1800.0, Memory(T, T + 1800, T + 1800))


def test_known_triplet_is_not_written_at_each_mail() -> None:
    """Only when what is stored has become too old to tell when it may be forgotten."""
    memory, every = Memory(T, T, T), refresh_after(TIMING)
    assert judge(memory, T + every, TIMING) == Step(Verdict.KNOWN)
    assert judge(memory, T + every + 1, TIMING).memory == Memory(T, T, T + every + 1)
    assert judge(memory, T - every - 1, TIMING).memory == Memory(T, T, T - every - 1)


def test_triplet_without_mail_for_its_lifetime_is_a_stranger_again() -> None:
    """What was forgotten in the file and what is about to be are the same."""
    memory = Memory(T, T, T)
    assert judge(memory, T + TIMING.lifetime, TIMING).verdict is Verdict.KNOWN
    assert judge(memory, T + TIMING.lifetime + 1, TIMING).verdict is Verdict.NEW


def test_lives_end_where_decisions_change() -> None:
    """Nothing is forgotten that would still be decided differently from a stranger's first attempt."""
    waiting, passed = Memory(T, None, T), Memory(T, T, T)
    assert waiting.expires_at(TIMING) == T + TIMING.window
    assert passed.expires_at(TIMING) == T + TIMING.lifetime


def test_verdicts_that_put_off_are_three() -> None:
    """Everything else lets mail in."""
    assert {verdict for verdict in Verdict if verdict.deferred} == {Verdict.NEW, Verdict.EARLY, Verdict.LATE}
