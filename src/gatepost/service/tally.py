"""What every listener counts, whatever it speaks."""

from __future__ import annotations

from typing import Final

from gatepost.observe.metrics import Counters
from gatepost.wire.upgrade import TLSEvidence


class Tally:
    """The columns of the shared counters that a listener counts in, looked up once.

    :param family: what the metrics' names begin with: ``pop3``.
    """

    __slots__ = ("_counters", "_handshakes", "_sessions", "add", "connections", "count", "errors", "family", "open")

    def __init__(self, counters: Counters, family: str, listener: str) -> None:
        self._counters = counters
        self._handshakes: dict[tuple[str, str | None, bool], int] = {}
        self._sessions = {
            tls: counters.index(f"{family}_sessions_total", listener=listener, tls=tls)
            for tls in ("none", "starttls", "implicit")
        }
        self.family: Final = family
        self.add: Final = counters.add
        self.count: Final = counters.count
        self.connections: Final = counters.index(f"{family}_connections_total", listener=listener)
        self.open: Final = counters.index(f"{family}_connections_open", listener=listener)
        self.errors: Final = counters.index(f"{family}_protocol_errors_total", listener=listener)

    def session(self, tls: str) -> None:
        """Count a session that ended: ``none``, ``starttls`` or ``implicit``."""
        self.add(self._sessions[tls])

    def handshake(self, evidence: TLSEvidence) -> None:
        """Count a handshake that completed."""
        key = (evidence.version, evidence.group, evidence.resumed)
        column = self._handshakes.get(key)
        if column is None:
            column = self._handshakes[key] = self._counters.index(
                "tls_handshakes_total",
                direction="inbound",
                version=evidence.version,
                group=evidence.group or "none",
                result="resumed" if evidence.resumed else "full",
            )
        self.add(column)
