"""A server that is measured: its processes, what CPU time they took, and what memory they hold."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Server:
    """A running server.

    :param pid: of its first process; all others descend from it, or are of its session.
    """

    name: str
    pid: int
    port: int

    def processes(self) -> list[int]:
        """Its processes: descendants, and who is in the session that it leads."""
        children: dict[int, list[int]] = {}
        found = [self.pid]
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = _fields(entry)
                pid = int(entry.parent.name)
                children.setdefault(int(fields[1]), []).append(pid)
                if int(fields[3]) == self.pid and pid != self.pid:
                    found.append(pid)
        for pid in found:
            found += [child for child in children.get(pid, []) if child not in found]
        return found

    def cpu(self) -> float:
        """CPU seconds of all its processes, those that have ended and were waited for included."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                total += sum(map(int, _fields(Path(f"/proc/{pid}/stat"))[11:15]))
        return total / TICKS

    def memory(self) -> int:
        """Octets: the proportional set size of all its processes."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total * 1024


def _fields(stat: Path) -> list[str]:
    """Of /proc/PID/stat from the state on, which is field 0 here."""
    return stat.read_text().rpartition(")")[2].split()


@contextlib.contextmanager
def started(name: str, command: Sequence[object], port: int, log: Path, *, core: int | None = None) -> Iterator[Server]:
    """Start a server in a session of its own, wait until it listens, and stop it in the end.

    :param core: the processor that it and all that it starts run on; None is any.
    :raises RuntimeError: when somebody else goes on listening there, or it does not in time.
    """
    until(lambda: not _listens(port), f"port {port} is given up by another")

    def pin() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True, preexec_fn=pin,
        )  # fmt: skip
    try:
        until(lambda: _listens(port), f"{name} listens; see {log}", process)
        yield Server(name, process.pid, port)
    finally:
        family = Server(name, process.pid, port).processes()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in family[1:]:  # who was started by a program that does not wait for it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def end_on_sigterm() -> None:
    """Leave by an exception, so that servers are stopped: by the one that Ctrl-C raises, which nothing catches."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def until(condition: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for something.

    :raises RuntimeError: when it does not come about.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end or (process is not None and process.poll() is not None):
            raise RuntimeError(f"in vain: {what}")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def look_in_sbin() -> None:
    """Find what Debian keeps out of the PATH of those who are not root."""
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"


def found(*programs: str) -> bool:
    """Whether these programs are installed."""
    return all(shutil.which(program) for program in programs)
