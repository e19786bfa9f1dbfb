"""The delivery worker's counters, their columns looked up once."""

from __future__ import annotations

from typing import final

from gatepost.delivery.trouble import Stage, Trouble
from gatepost.observe.metrics import Counters
from gatepost.queue.outcome import Result
from gatepost.wire.upgrade import TLSEvidence


@final
class Tally:
    """Counts what delivery does.

    :param counters: this process's view of the shared counters.
    """

    __slots__ = ("_attempts", "_bounces", "_connections", "_counters", "_expired", "_results", "_seconds")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._attempts = {
            (kind, result): counters.index("delivery_attempts_total", kind=kind, result=result.value)
            for kind in ("local", "remote")
            for result in Result
        }
        self._results = {result: counters.index("deliveries_total", result=result.value) for result in Result}
        self._expired = counters.index("deliveries_total", result="expired")
        self._seconds = counters.index("delivery_seconds")
        self._bounces = counters.index("bounces_total")
        self._connections = counters.index("outbound_connections_open")

    def outcome(self, kind: str, attempted: Result, final: Result, seconds: float) -> None:
        """Count an attempt, and what became of the recipient by it.

        :param attempted: the attempt's own result.
        :param final: the recipient's: a deferral after the end of the lifetime is a failure.
        :param seconds: since the message was taken.
        """
        add = self._counters.add
        add(self._attempts[kind, attempted])
        add(self._expired if attempted is not final else self._results[final])
        if final is not Result.DEFERRED:
            self._counters.observe(self._seconds, max(seconds, 0.0))

    def bounced(self, count: int) -> None:
        """Count notifications."""
        if count:
            self._counters.add(self._bounces, count)

    def connected(self, evidence: TLSEvidence | None) -> None:
        """Count a connection that was opened, and its handshake."""
        self._counters.add(self._connections)
        if evidence is not None:
            self._counters.count(
                "tls_handshakes_total", direction="outbound", version=evidence.version, group=evidence.group or "none",
                result="resumed" if evidence.resumed else "full",
            )  # fmt: skip

    def disconnected(self) -> None:
        """Count a connection that was closed."""
        self._counters.add(self._connections, -1)

    def failed(self, trouble: Trouble) -> None:
        """Count a handshake that failed, and plaintext that stood behind the go-ahead."""
        if trouble.stage is Stage.TLS:
            self._counters.count(
                "tls_handshakes_total", direction="outbound", version="none", group="none", result="failed"
            )
        if trouble.injected:
            self._counters.count("plaintext_after_upgrade_total", side="client")
