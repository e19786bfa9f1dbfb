"""Why a message came twice: what the server's log says of each attempt, and of the processes that ended.

Between the moment at which a server (or a mailbox) has a message and the one at which our queue knows it there is a
window. A process that is killed in it leaves the message to its successor, which delivers it again (RFC 5321 §6.1).
That is the one cause that is allowed; it is recognised by what the log shows in this order: an attempt that was logged
as sent, or was begun and never logged; the end of a delivery process; the attempt that delivered it again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

KILLED_NOTED: Final = "the process was killed after it logged the delivery, before the queue had it"
KILLED_BEFORE: Final = "the process was killed between the delivery and its line in the log"
ANSWER_LOST: Final = "the server's answer to the content never came (RFC 1047)"
UNEXPLAINED: Final = "UNEXPLAINED"


class Attempt(NamedTuple):
    """One line ``delivery.attempt``.

    :param at: its place in the log.
    :param number: which attempt it was, counted by leases: one whose process died is missing.
    """

    at: int
    pid: int
    number: int
    status: str


@dataclass(slots=True)
class History:
    """What the log said, in its order.

    :param roles: which worker each process is.
    :param counts: how often each event was logged.
    :param ends: where in the log delivery processes ended without a word, or were broken off.
    """

    roles: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    attempts: dict[tuple[str, str], list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    ends: list[int] = field(default_factory=list)
    at: int = 0

    def feed(self, line: Mapping[str, Any]) -> None:
        """Take one line."""
        self.at += 1
        event = str(line.get("event", ""))
        self.counts[event] += 1
        if event == "worker.started":
            self.roles[int(line["worker_pid"])] = str(line["worker"])
        elif event == "delivery.attempt":
            self.counts[f"{event} {line['dsn']}"] += 1
            address = str(line["to"]).strip("<>")
            self.attempts[str(line["queue_id"]), address].append(
                Attempt(self.at, int(line["pid"]), int(line["attempt"]), str(line["status"]))
            )
        elif (
            event == "delivery.cut-off"
            or (event == "worker.died" and self._delivers(int(line["worker_pid"])))
            or (event == "soak.killed" and any(map(self._delivers, line["pids"])))
        ):
            self.ends.append(self.at)

    def _delivers(self, pid: int) -> bool:
        return self.roles.get(pid, "").startswith("delivery")

    def explain(self, message: str, address: str, copies: int) -> list[str]:
        """Why there are so many copies: a cause for each but one.

        :param message: its identifier in the queue.
        """
        attempts = self.attempts.get((message, address), [])
        if not attempts:
            return [UNEXPLAINED] * (copies - 1)
        last = attempts[-1]
        noted = {each.number: each for each in attempts}
        causes = []
        for number in range(1, last.number):
            attempt = noted.get(number)
            if attempt is None:
                if any(end < last.at for end in self.ends):
                    causes.append(KILLED_BEFORE)
            elif attempt.status == "sent":
                if any(attempt.at < end < last.at for end in self.ends):
                    causes.append(KILLED_NOTED)
            elif attempt.status == "deferred":
                causes.append(ANSWER_LOST)
        # A process may be killed after an attempt that another had deferred: what says most comes first.
        causes.sort(key=(KILLED_NOTED, KILLED_BEFORE, ANSWER_LOST).index)
        return [*causes, *[UNEXPLAINED] * (copies - 1)][: copies - 1]
