"""A descriptor that lines are written to without blocking, and the lines that wait for it.

SECURITY: opens the descriptor's file again, so that making it non-blocking does not touch the terminal or pipe of
whoever started us.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import stat
import threading
import time
from typing import Final, final

FLUSH_AT: Final = 8192
_BACKLOG_LIMIT: Final = 1 << 20


@final
class Output:
    """Where lines go: a descriptor that is written without blocking, and the lines that wait for it."""

    __slots__ = ("_chunk", "_lock", "_rest", "_socket", "descriptor", "dropped", "lines", "scheduled", "size")

    def __init__(self, descriptor: int) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.scheduled = False
        self.dropped = 0
        self._rest = b""  # what a partial write left of a line, or what the descriptor did not take
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        # A pipe takes up to PIPE_BUF octets whole or not at all (write(2)), so lines of several workers do not mix.
        self._chunk = select.PIPE_BUF
        self.descriptor = self._reopen(descriptor)

    def _reopen(self, descriptor: int) -> int:
        """A descriptor of our own for the same file, non-blocking; O_NONBLOCK on an inherited one would spread."""
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:
            return -1
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
            return descriptor
        if stat.S_ISREG(mode):
            self._chunk = FLUSH_AT * 4
            _append(descriptor)
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:
            return descriptor

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        elif self.descriptor > 2:
            os.close(self.descriptor)

    def _write(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return os.write(self.descriptor, data)

    def _next_chunk(self, data: bytes) -> bytes:
        if len(data) <= self._chunk:
            return data
        end = data.rfind(b"\n", 0, self._chunk) + 1 or data.find(b"\n") + 1 or len(data)
        return data[:end]

    def flush(self, wait: float = 0.0) -> None:
        """Write what waits, for at most ``wait`` seconds, and keep what cannot be written yet."""
        with self._lock:
            count = len(self.lines)
            data = self._rest + "".join(self.lines[:count]).encode("utf-8", "backslashreplace")
            del self.lines[:count]
            self.size = 0
            until = time.monotonic() + wait if wait else 0.0
            while data:
                try:
                    data = data[self._write(self._next_chunk(data)) :]
                except BlockingIOError:
                    left = until - time.monotonic() if wait else 0.0
                    if left <= 0:
                        break
                    select.select([], [self.descriptor], [], left)
                except OSError:
                    # The disk is full, the reader is gone. What waits is lost from here on, and counted.
                    self.dropped += data.count(b"\n")
                    data = b""
            if len(data) > _BACKLOG_LIMIT:
                keep = data.rfind(b"\n", 0, _BACKLOG_LIMIT) + 1
                self.dropped += data.count(b"\n", keep)
                data = data[:keep]
            self._rest = data

    @property
    def waiting(self) -> bool:
        return bool(self._rest)


def _append(descriptor: int) -> None:
    """Have every write to a file go to its end: to this descriptor, and to standard output when it is the same file."""
    ours = os.fstat(descriptor)
    for each in {descriptor, 1}:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(each), ours):
                fcntl.fcntl(each, fcntl.F_SETFL, fcntl.fcntl(each, fcntl.F_GETFL) | os.O_APPEND)
