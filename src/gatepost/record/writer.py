"""Writes what sessions recorded, in a thread of its own: one a process.

Whoever records puts a line into a queue and goes on. The queue is bounded in octets; what does not fit, and what the
disk does not take, is dropped and counted. Nothing here waits for the disk but the thread itself, and nothing raises.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, final

from gatepost.record.compression import Compressor
from gatepost.record.events import FileBegins, to_line
from gatepost.record.shelf import NoRoom, OpenFile, Shelf

if TYPE_CHECKING:
    from pathlib import Path

QUEUE_LIMIT: Final = 8 << 20  # octets that may wait for the disk
BATCH_LIMIT: Final = 1 << 18  # octets of one write, unless one line has more
GATHER_SECONDS: Final = 0.1  # how long the first line waits for others
_PAUSE_SECONDS: Final = 1.0  # how long nothing is tried after the disk refused
_STOP_SECONDS: Final = 5.0  # how long a process that ends waits for the disk
_TELL_SECONDS: Final = 60.0  # between two lines in the log about what is dropped


class Loser(Protocol):
    """Who is told of its lines that were dropped."""

    dropped: int


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """How files are written.

    :param directory: where.
    :param budget: octets that all files may have together.
    :param rotate_size: octets after which the next file is begun.
    :param rotate_every: seconds after which it is.
    :param keep: seconds after which a finished file is removed; 0 for never.
    :param compress: whether files are compressed.
    """

    directory: Path
    budget: int
    rotate_size: int
    rotate_every: float
    keep: float = 0.0
    compress: bool = False


Counted = Callable[[str, int], None]
"""Told of ``written`` octets, and of events dropped: ``budget``, ``disk``. Called in the thread of the writer."""
Told = Callable[[int, str], None]
"""Told now and then how many events were dropped, and why, in words. Called in the thread of the writer."""


@final
class Writer:
    """The queue and its thread.

    :param plan: how files are written.
    :param role: of this process: lower-case letters and digits.
    :param counted: told what was written and dropped.
    :param told: the same in words, seldom.
    :raises OSError: when the directory cannot be used.
    :raises RecordError: when files are to be compressed and there is no Zstandard.
    """

    __slots__ = (
        "_compressor", "_counted", "_file", "_idle", "_paused_until", "_plan", "_put", "_queue", "_role", "_shelf",
        "_stopping", "_taken", "_thread", "_told", "_told_at", "_trouble", "_unsaid", "_wake",
    )  # fmt: skip

    def __init__(self, plan: Plan, role: str, counted: Counted, told: Told) -> None:
        self._plan: Final = plan
        self._role: Final = role
        self._counted: Final = counted
        self._told: Final = told
        self._shelf: Final = Shelf(plan.directory, budget=plan.budget, keep=plan.keep)
        if plan.compress:
            Compressor()
        self._queue: Final[deque[tuple[str, Loser, int]]] = deque()
        self._put = 0  # octets, by whoever records
        self._taken = 0  # octets, by the thread
        self._wake: Final = threading.Event()
        self._idle = True
        self._stopping = False
        self._file: OpenFile | None = None
        self._compressor: Compressor | None = None
        self._paused_until = 0.0
        self._unsaid: dict[str, int] = {}  # what was dropped and not yet told in the log
        self._told_at = float("-inf")
        self._trouble = ""  # what the disk said last
        self._thread: Final = threading.Thread(target=self._run, name="records", daemon=True)
        self._thread.start()

    def put(self, lines: str, loser: Loser, events: int = 1) -> bool:
        """Queue some lines, one for each event, with their line ends. Called in one thread only.

        :return: whether there was room.
        """
        if self._put - self._taken + len(lines) > QUEUE_LIMIT:
            return False
        self._put += len(lines)
        self._queue.append((lines, loser, events))
        if self._idle:
            self._idle = False
            self._wake.set()
        return True

    def stop(self) -> None:
        """Write what waits and close the file, as far as the disk lets us within some seconds."""
        self._stopping = True
        self._wake.set()
        self._thread.join(_STOP_SECONDS)

    # In the thread

    def _run(self) -> None:
        while True:
            self._idle = not self._queue  # set before the queue is looked at again: no line is left behind
            if not self._queue and not self._stopping:
                self._wake.wait(self._until_rotation())
            self._wake.clear()
            self._idle = False
            if not self._stopping:
                time.sleep(GATHER_SECONDS)
            ending = self._stopping
            try:
                self._empty()
                if self._file is not None and (ending or self._due(self._file)):
                    self._finish()
            except Exception as error:  # noqa: BLE001 - a bug in here loses records, and no mail
                self._told(0, f"{type(error).__name__}: {error}")
                self._file = self._compressor = None
            if ending and not self._queue:
                self._shelf.close()
                return

    def _until_rotation(self) -> float | None:
        if self._file is None:
            return None
        return max(0.0, self._file.begun + self._plan.rotate_every - time.monotonic())

    def _due(self, file: OpenFile) -> bool:
        return file.size >= self._plan.rotate_size or time.monotonic() >= file.begun + self._plan.rotate_every

    def _empty(self) -> None:
        while self._queue:
            batch: list[tuple[str, Loser, int]] = []
            octets = 0
            while self._queue and (not batch or octets + len(self._queue[0][0]) <= BATCH_LIMIT):
                batch.append(self._queue.popleft())
                octets += len(batch[-1][0])
            try:
                trouble = self._write("".join([lines for lines, _, _ in batch]).encode("ascii"))
            finally:
                self._taken += octets
            lost = 0
            if trouble:
                for _, loser, events in batch:
                    loser.dropped += events
                    lost += events
                self._counted(trouble, lost)
            self._tell(trouble, lost)

    def _write(self, data: bytes) -> str:
        """Write some lines; why they were dropped, or an empty string."""
        if time.monotonic() < self._paused_until:
            return "disk"
        for last in (False, True):
            try:
                if self._file is not None and self._due(self._file):
                    self._finish()
                self._append(data)
            except NoRoom:
                if self._file is None or last:
                    self._abandon()
                    return "budget"
                self._finish()  # then what we wrote ourselves can make room, for us and for others
            except OSError as error:
                self._abandon()
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
                self._trouble = os.strerror(error.errno) if error.errno else str(error)
                return "disk"
            else:
                self._counted("written", len(data))
                return ""
        return "budget"

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._shelf.begin(self._role, compressed=self._plan.compress)
            self._compressor = Compressor() if self._plan.compress else None
            data = to_line(FileBegins(role=self._role, pid=os.getpid(), at=time.time())) + data
        self._shelf.append(self._file, data if self._compressor is None else self._compressor.add(data))

    def _finish(self) -> None:
        """End the file. Where there is no room for the end of its frame it is left out: it can be read without."""
        file, compressor = self._file, self._compressor
        self._file = self._compressor = None
        if file is None:
            return
        try:
            if compressor is not None and (end := compressor.finish()):
                self._shelf.append(file, end)
        except (NoRoom, OSError):
            pass
        finally:
            file.close()

    def _abandon(self) -> None:
        """End a file to which something could not be written: its compressor is ahead of it."""
        file, self._file, self._compressor = self._file, None, None
        if file is not None:
            if not file.size:
                file.path.unlink(missing_ok=True)
            file.close()

    def _tell(self, trouble: str, events: int) -> None:
        if trouble:
            reason = self._trouble if trouble == "disk" else "the budget is used up"
            self._unsaid[reason] = self._unsaid.get(reason, 0) + events
        now = time.monotonic()
        if self._unsaid and now >= self._told_at + _TELL_SECONDS:
            self._told_at = now
            reason = max(self._unsaid, key=lambda each: self._unsaid[each])
            dropped = sum(self._unsaid.values())
            self._unsaid.clear()
            self._told(dropped, reason)
