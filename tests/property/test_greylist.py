"""A sender that retries as RFC 5321 §4.5.4.1 says always gets in, whatever clock and processes do."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.greylist.memory import Memory, Timing, Verdict, judge
from gatepost.greylist.triplet import Triplet
from gatepost.store.greylist import Bounds
from gatepost.store.sqlite.greylist import SQLiteGreylist

T = 1_700_000_000.0
HOUR = 3600.0
ROOM = 4 * HOUR  # what the configuration insists on between delay and window
TRIPLET = Triplet("192.0.2.0/24", "ann@example.com", "bob@x.test")

# RFC 5321 §4.5.4.1: at least 30 minutes between retries; two in the first hour, then every two or three hours.
_gaps = st.lists(st.floats(1800.0, 3 * HOUR), min_size=1, max_size=8)
_delays = st.floats(1.0, 86400.0)
_jumps = st.lists(st.one_of(st.just(0.0), st.floats(-1e9, 1e9), st.floats(-120.0, 120.0)), max_size=6)


@given(_gaps, _delays, st.floats(ROOM, 6 * 86400.0), st.floats(604800.0, 1e7))
def test_sender_that_keeps_retrying_gets_in_within_one_interval_of_the_delay(
    gaps: list[float], delay: float, room: float, lifetime: float
) -> None:
    """For every delay, window and lifetime that may be set, and every rhythm that the standard allows."""
    timing = Timing(delay, delay + room, lifetime)
    now, memory = T, None
    for gap in itertools.cycle(gaps):
        step = judge(memory, now, timing)
        memory = step.memory or memory
        if not step.verdict.deferred:
            break
        assert now - T < delay, "an attempt after the delay was put off"
        now += gap
    assert now - T <= delay + max(gaps)


@given(_jumps, _gaps, _delays, st.floats(0.0, 1e9))
def test_clock_that_jumps_locks_nobody_out(jumps: list[float], gaps: list[float], delay: float, start: float) -> None:
    """While it jumps, a sender may be put off; once it goes on evenly, no longer than a stranger (and a minute)."""
    timing = Timing(delay, delay + ROOM, 604800.0)
    clock, memory = T + start, None
    for jump, gap in zip(jumps, itertools.cycle(gaps), strict=False):
        step = judge(memory, clock, timing)
        if not step.verdict.deferred:
            return
        memory = step.memory or memory
        clock += gap + jump
    waited = 0.0
    for gap in itertools.cycle(gaps):
        step = judge(memory, clock, timing)
        if not step.verdict.deferred:
            break
        memory = step.memory or memory
        assert waited < delay + 60.0 + max(gaps)
        clock += gap
        waited += gap


@given(st.floats(-1e9, 1e9), _delays)
def test_who_has_passed_stays_so_when_the_clock_is_set_back(jump: float, delay: float) -> None:
    """And when it is set ahead he waits once more, at most."""
    timing = Timing(delay, delay + ROOM, 604800.0)
    verdict = judge(Memory(T, T, T), T + jump, timing).verdict
    assert verdict is (Verdict.KNOWN if jump <= timing.lifetime else Verdict.NEW)


@given(st.one_of(st.none(), st.builds(Memory, st.floats(0, 1e10), st.none() | st.floats(0, 1e10), st.floats(0, 1e10))),
       st.floats(0, 1e10), _delays)  # fmt: skip
def test_wait_is_bounded_whatever_is_remembered(memory: Memory | None, now: float, delay: float) -> None:
    """No content of the file, damaged or forged by a clock, asks for more than the delay and a minute."""
    step = judge(memory, now, Timing(delay, delay + ROOM, 604800.0))
    assert 0.0 <= step.wait <= delay + 60.0
    assert (step.wait > 0) is step.verdict.deferred


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.0, 3 * HOUR)), min_size=1, max_size=20))
def test_interleaving_of_processes_does_not_matter(steps: list[tuple[int, float]]) -> None:
    """Attempts that come to different processes are judged as if they all came to one."""
    timing, now = Timing(HOUR, HOUR + ROOM, 604800.0), T
    with tempfile.TemporaryDirectory() as folder:
        stores = [SQLiteGreylist(Path(folder) / "greylist.db", clock=lambda: now, busy_seconds=30.0) for _ in range(3)]
        memory: Memory | None = None
        try:
            for process, gap in steps:
                expected = judge(memory, now, timing)
                memory = expected.memory or memory
                assert stores[process].decide(TRIPLET, timing, Bounds(0)).verdict is expected.verdict
                now += gap
        finally:
            for store in stores:
                store.close()


_events = st.lists(
    st.tuples(
        st.integers(0, 2),  # the process
        st.sampled_from(["attempt", "attempt", "expire", "restart"]),
        st.one_of(st.floats(0.0, 3 * HOUR), st.floats(-1e8, 1e8)),  # how the clock goes on
    ),
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(_events, _gaps, st.integers(0, 2))
def test_sender_gets_in_whatever_processes_and_clock_did_before(
    events: list[tuple[int, str, float]], gaps: list[float], process: int
) -> None:
    """Attempts at any process, forgetting, restarts and a clock that is set: afterwards he waits as a stranger does."""
    timing, now = Timing(HOUR, HOUR + ROOM, 604800.0), T
    with tempfile.TemporaryDirectory() as folder:

        def opened() -> SQLiteGreylist:
            return SQLiteGreylist(Path(folder) / "greylist.db", clock=lambda: now, busy_seconds=30.0)

        stores = [opened() for _ in range(3)]
        try:
            for number, event, passed in events:
                if event == "attempt":
                    stores[number].decide(TRIPLET, timing, Bounds(1, 1000))
                elif event == "expire":
                    stores[number].expire(timing, 100)
                else:
                    stores[number].close()
                    stores[number] = opened()
                now += passed
            waited = 0.0
            for gap in itertools.cycle(gaps):
                if not stores[process].decide(TRIPLET, timing, Bounds(1, 1000)).verdict.deferred:
                    break
                assert waited <= HOUR + 60.0 + max(gaps)
                now += gap
                waited += gap
                process = (process + 1) % 3
                stores[process].expire(timing, 100)
        finally:
            for store in stores:
                store.close()
