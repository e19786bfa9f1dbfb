"""How often the reflector answers: so many messages an hour to one address, and so many to everybody."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, final

WINDOW: Final = 3600.0  # seconds


@final
class Allowance:
    """The answers of the last hour. What it remembers is bounded by ``total``.

    :param per_sender: answers to one address.
    :param total: answers to everybody.
    """

    __slots__ = ("_given", "_per_sender", "_senders", "_total")

    def __init__(self, per_sender: int, total: int) -> None:
        self._per_sender = per_sender
        self._total = total
        self._given: deque[tuple[float, str]] = deque()
        self._senders: Counter[str] = Counter()

    def take(self, sender: str, now: float) -> str:
        """Take one answer from the allowance.

        :param now: a clock that never goes back, in seconds.
        :return: why there is none left, and nothing was taken; empty when it was.
        """
        while self._given and self._given[0][0] <= now - WINDOW:
            _, old = self._given.popleft()
            self._senders[old] -= 1
            if not self._senders[old]:
                del self._senders[old]
        who = sender.lower()
        if len(self._given) >= self._total:
            return f"{self._total} answers were given within an hour"
        if self._senders[who] >= self._per_sender:
            return f"{self._per_sender} answers went to this sender within an hour"
        self._given.append((now, who))
        self._senders[who] += 1
        return ""
