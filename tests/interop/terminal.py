"""Programs that want a terminal: they get one, and their keys."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.interop.patience import PATIENCE
from tests.interop.programs import Done


def run_on_terminal(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, seconds: float = PATIENCE
) -> Done:
    """Run a program on a terminal of its own, to its end; it is killed when it takes longer than it may."""
    words = [str(word) for word in command]
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execvpe(words[0], words, {**os.environ, "TERM": "xterm", **(env or {})})  # noqa: S606
        finally:
            os._exit(127)
    said, end = b"", time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            if not select.select([terminal], [], [], left)[0]:
                break
            try:
                data = os.read(terminal, 65536)
            except OSError:  # EIO: it has closed its end
                break
            if not data:
                break
            said += data
        else:
            os.kill(pid, signal.SIGKILL)
        if time.monotonic() >= end:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(terminal)
    return Done(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said, b"")
