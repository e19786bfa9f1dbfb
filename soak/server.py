"""``gatepost serve``, from outside: started, asked, killed, started again, its log read as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from causes import History

from gatepost.testing.ca import TestAuthority
from gatepost.testing.dns import FakeDNS

_PATIENCE: Final = 60.0
_AGAIN: Final = 0.3


@dataclass(slots=True)
class Server:
    """One server, whatever process it is just now.

    :param place: where its configuration, its certificate and its log are.
    :param data: its directory, on a small file system of its own where ``small`` is true.
    :param ports: where it listens, by listener.
    :param silent: listeners that say nothing by themselves.
    :param environment: of its processes.
    :param absent: whether it was killed, or could not start, and nobody can be served.
    :param absences: seconds that this took, each time.
    """

    place: Path
    data: Path
    small: bool
    ports: Mapping[str, int]
    silent: Collection[str]
    environment: Mapping[str, str]
    authority: TestAuthority
    dns: FakeDNS
    history: History = field(default_factory=History)
    process: subprocess.Popen[bytes] | None = None
    absent: bool = False
    absences: list[float] = field(default_factory=list)
    _read: int = 0

    def command(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run one of its commands."""
        return subprocess.run(
            [sys.executable, "-m", "gatepost", "--config", str(self.place / "gatepost.toml"), *words],
            input=given, capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    @property
    def log(self) -> Path:
        """What it says, a JSON object a line."""
        return self.place / "log"

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gatepost", "--config", str(self.place / "gatepost.toml"), "serve"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
            )  # fmt: skip

    async def keep(self) -> None:
        """What an init system does: start it again whenever it has ended, for ever."""
        while True:
            await asyncio.sleep(_AGAIN)
            if self.process is None or self.process.poll() is None:
                continue
            self.absent, begun = True, time.monotonic()
            while self.process.poll() is not None:
                self.note("soak.started")
                self.start()
                await self.serving()
            self.absent = False
            self.absences.append(time.monotonic() - begun)

    async def serving(self) -> None:
        """Wait until every listener accepts, or it has ended."""
        while self.process is not None and self.process.poll() is None:
            await asyncio.sleep(_AGAIN)
            if await asyncio.to_thread(self._serves):
                return

    async def kill_supervisor(self, *, workers: bool) -> None:
        """SIGKILL to the supervisor, and to its workers; then wait until there is another one."""
        assert self.process is not None
        doomed = [self.process.pid, *(self.workers() if workers else ())]
        self.absent = True
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.note("soak.killed", pids=doomed)
        self.process.wait()
        while self.absent:
            await asyncio.sleep(_AGAIN)

    def _serves(self) -> bool:
        return all(_serves(port, name not in self.silent) for name, port in self.ports.items())

    def note(self, event: str, **fields: object) -> None:
        """Write a line of ours into its log, where it stands in order."""
        with self.log.open("ab", buffering=0) as log:
            log.write(json.dumps({"event": event, **fields}).encode() + b"\n")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_PATIENCE)
            self.process.kill()
            self.process = None

    def workers(self) -> list[int]:
        """The processes that serve; their roles are in ``history``."""
        if self.process is None:
            return []
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            return []
        self.look()
        return [pid for pid in map(int, children.split()) if pid in self.history.roles]

    def look(self) -> None:
        """Read what was logged since the last time."""
        for line in self._new_lines():
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    self.history.feed(found)

    def _new_lines(self) -> Iterator[bytes]:
        with self.log.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield line


def _serves(port: int, greets: bool) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            return not greets or bool(sock.recv(1))
    except OSError:
        return False
