"""When to try again, and when to give up (RFC 5321 §4.5.4.1).

Pure: the time and a random value are given. The wait doubles from ``first`` to ``longest``; jitter shortens or
lengthens each by up to a tenth, so that mail deferred together does not come back together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

JITTER: Final = 0.1


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """A retry schedule; all times in seconds.

    :param first: the wait after the first attempt.
    :param longest: no wait is longer, jitter aside.
    :param lifetime: how long after its receipt a message is given up; RFC 5321 asks for at least 4 to 5 days.
    :raises ValueError: when a time is not positive, or ``longest`` is below ``first``.
    """

    first: float = 5 * 60.0
    longest: float = 4 * 3600.0
    lifetime: float = 5 * 86400.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.longest or self.lifetime <= 0:
            raise ValueError("a schedule needs 0 < first <= longest and 0 < lifetime")

    def wait(self, attempts: int, chance: float) -> float:
        """How long to wait after an attempt.

        :param attempts: which attempt it was; 1 is the first.
        :param chance: a random value, 0 <= chance < 1.
        :raises ValueError: when either is out of range.
        """
        if attempts < 1 or not 0 <= chance < 1:
            raise ValueError(f"attempts {attempts} must be at least 1 and chance {chance} in [0, 1)")
        doublings = min(attempts - 1, 63)  # beyond, every wait is the longest
        return min(self.first * 2.0**doublings, self.longest) * (1 - JITTER + 2 * JITTER * chance)

    def expires(self, received_at: float) -> float:
        """When a message received then is given up."""
        return received_at + self.lifetime

    def next_attempt(self, *, received_at: float, now: float, attempts: int, chance: float) -> float | None:
        """When to try again, or None when the lifetime is over.

        The last attempt falls on the end of the lifetime: a message is tried once more then, and given up after it.
        """
        end = self.expires(received_at)
        if now >= end:
            return None
        return min(now + self.wait(attempts, chance), end)
