"""What a retry means: the decision over what is remembered of a triplet.

Theory
------
A triplet is *waiting* from its first attempt, and has *passed* once an attempt came at least ``delay`` and at most
``window`` after the first. An attempt before that changes nothing, so that hammering buys nothing; one after it begins
anew. What has passed stays so for ``lifetime`` after its last mail.

A sender that retries as RFC 5321 §4.5.4.1 says passes: its attempts lie no further apart than a few hours, and
``window`` leaves at least that after ``delay``. (The first attempt that is not too early comes within one interval
after ``delay``.)

The clock is the system's, and may be set. What a jump can do is bounded, in both directions:

* Back: a waiting triplet seems to begin in the future. That it was written is proof of an earlier attempt, and how long
  ago it was nobody can tell: more than ``SLACK`` back the sender is let in. A triplet that has passed stays so.
* Forward: waiting triplets seem late and begin anew; passed ones seem forgotten and wait once more. The next retry
  after the last jump finds an honest age.

So after the last jump a sender waits no longer than a stranger does.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

SLACK: Final = 60.0
"""Seconds by which clocks are set in passing; so much in the future is now."""

_REFRESH: Final = 86400.0
_REFRESH_PART: Final = 8


class Timing(NamedTuple):
    """How long is waited, in seconds. See the module's text."""

    delay: float = 300.0
    window: float = 86400.0
    lifetime: float = 3110400.0


class Memory(NamedTuple):
    """What is remembered of one triplet; seconds since the Unix epoch.

    :param first_seen: when the attempt came that its waiting is counted from.
    :param passed_at: when it came again in time; None while it waits.
    :param seen_at: when its last mail came, exact to ``refresh_after``.
    """

    first_seen: float
    passed_at: float | None
    seen_at: float

    def expires_at(self, timing: Timing) -> float:
        """When it may be forgotten."""
        return self.first_seen + timing.window if self.passed_at is None else self.seen_at + timing.lifetime


class Verdict(Enum):
    """What an attempt is."""

    NEW = "new"  # the first one, or the first after everything was forgotten
    EARLY = "early"  # before the delay is over
    LATE = "late"  # behind the window: it begins anew
    PASSED = "passed"  # a retry in time: from now on the triplet is known
    KNOWN = "known"  # has passed before
    ALLOWED = "allowed"  # the client network is no stranger any more

    @property
    def deferred(self) -> bool:
        """Whether the sender is asked to come again."""
        return self in (Verdict.NEW, Verdict.EARLY, Verdict.LATE)


class Step(NamedTuple):
    """The decision, and what is to be remembered.

    :param wait: seconds until an attempt would pass; 0 for what is let in.
    :param waited: seconds since the first attempt, for ``PASSED``.
    :param memory: what to write; None when what is stored stays.
    """

    verdict: Verdict
    wait: float = 0.0
    waited: float = 0.0
    memory: Memory | None = None


def judge(memory: Memory | None, now: float, timing: Timing) -> Step:
    """Decide an attempt.

    :param memory: what is remembered; None when nothing is.
    :param now: seconds since the Unix epoch.
    """
    if memory is None:
        return Step(Verdict.NEW, timing.delay, 0.0, Memory(now, None, now))
    if memory.passed_at is not None:
        return _known(memory, now, timing)
    age = now - memory.first_seen
    if age < -SLACK:
        return Step(Verdict.PASSED, 0.0, 0.0, Memory(now, now, now))
    if age < timing.delay:
        return Step(Verdict.EARLY, timing.delay - age)
    if age > timing.window:
        return Step(Verdict.LATE, timing.delay, 0.0, Memory(now, None, now))
    return Step(Verdict.PASSED, 0.0, age, Memory(memory.first_seen, now, now))


def _known(memory: Memory, now: float, timing: Timing) -> Step:
    quiet = now - memory.seen_at
    if quiet > timing.lifetime:
        return Step(Verdict.NEW, timing.delay, 0.0, Memory(now, None, now))
    if abs(quiet) > refresh_after(timing):
        return Step(Verdict.KNOWN, 0.0, 0.0, memory._replace(seen_at=now))
    return Step(Verdict.KNOWN)


def refresh_after(timing: Timing) -> float:
    """How exact ``seen_at`` is, in seconds: a known triplet is written once in this time, not at each mail."""
    return min(_REFRESH, timing.lifetime / _REFRESH_PART)
