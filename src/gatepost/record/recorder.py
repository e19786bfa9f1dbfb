"""The recorder of one process: which sessions are recorded, and what becomes of what they say.

SECURITY: what was said reaches this floor masked (``wire.witness``). Files are written by a thread of this process into
the directory that the configuration names, and nowhere else; no session waits for it and none fails because of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Literal, final

from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.record.rules import RecordRule, rule_for
from gatepost.record.transcript import SessionRecord
from gatepost.record.writer import Loser, Plan, Writer
from gatepost.wire.upgrade import Origin


@final
class Recorder:
    """Made once a process, after the fork.

    :param plan: where and how files are written.
    :param rules: which sessions are recorded.
    :param role: the process's, for the names of files: lower-case letters and digits.
    :param counters: where it counts.
    :param loop: on which it tells the log what was dropped; None for tests.
    :raises OSError: when the directory cannot be used.
    :raises RecordError: when files are to be compressed and there is no Zstandard.
    """

    __slots__ = ("_add", "_columns", "_directory", "_loop", "_rules", "_told_broken", "_writer")

    def __init__(
        self,
        plan: Plan,
        rules: tuple[RecordRule, ...],
        role: str,
        counters: Counters,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._rules: Final = rules
        self._loop: Final = loop
        self._told_broken = False
        self._directory: Final = plan.directory
        self._add: Final = counters.add
        # Each column has one thread that counts in it: ``written``, ``budget`` and ``disk`` the writer's, others ours.
        self._columns: Final = {
            "written": counters.index("record_bytes_total"),
            "kept": counters.index("record_sessions_total"),
            **{
                reason: counters.index("record_dropped_total", reason=reason)
                for reason in ("queue", "budget", "disk", "session")
            },
        }
        self._writer: Final = Writer(plan, role, self._counted, self._told)

    def session(
        self, origin: Origin, protocol: str, listener: str, *, side: Literal["server", "gate"] = "server"
    ) -> SessionRecord | None:
        """The record of a session that begins; None when no rule wants it.

        :param listener: the name of the listener that it came to.
        :param side: ``gate`` where another server stands behind.
        """
        rule = rule_for(self._rules, listener, origin.peer[0], origin.connection)
        return None if rule is None else SessionRecord(self, rule, origin, protocol, side)

    def close(self) -> None:
        """Write what waits, for some seconds at most."""
        self._writer.stop()

    # What sessions tell

    def put(self, lines: str, loser: Loser, events: int = 1) -> None:
        """Write some lines, one for each event, or drop them."""
        if not self._writer.put(lines, loser, events):
            loser.dropped += events
            self._counted("queue", events)

    def lost(self, events: int = 1) -> None:
        """A session dropped events, because too many wait for its outcome."""
        self._counted("session", events)

    def broke(self, error: Exception) -> None:
        """A session could not make an event. The log has it once."""
        self.lost()
        if not self._told_broken:
            self._told_broken = True
            logs.failure("record.failed", error)

    def ended(self, *, kept: bool) -> None:
        """A session ended; whether it was written."""
        if kept:
            self._counted("kept", 1)

    # What the writer tells

    def _counted(self, what: str, count: int) -> None:
        self._add(self._columns[what], count)

    def _told(self, events: int, reason: str) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._log, events, reason)

    def _log(self, events: int, reason: str) -> None:
        logs.event("record.dropped", "warning", events=events, reason=reason, directory=str(self._directory))
