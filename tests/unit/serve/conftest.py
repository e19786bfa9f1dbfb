"""A server of stand-in workers, run as its own process."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serve.real_server import RealServer

from gatepost.serve.control import ControlError, request

PROGRAM = Path(__file__).parent / "stand_in.py"
PATIENCE = 20.0


class RunningServer:
    """One run of ``stand_in.py``."""

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self.directory = directory
        self.file = directory / "settings.json"
        self.settings = settings
        self.write()
        self.log_file = directory / "log"
        self._log = self.log_file.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.file)], stdout=subprocess.PIPE, stderr=self._log
        )
        self.addresses: dict[str, list[tuple[str, int]]] = {}
        self.said = ""

    def write(self, **changes: Any) -> None:
        """Write the settings, changed."""
        self.settings |= changes
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(self.settings))
        temporary.replace(self.file)

    def wait_started(self) -> None:
        """Wait until it says where it listens."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert readable, self.log_file.read_text()
        self.said = self.process.stdout.readline().decode()
        with suppress(ValueError):
            self.addresses = {
                name: [(host, port) for host, port in found] for name, found in json.loads(self.said).items()
            }

    def connect(self, listener: str = "mx") -> tuple[socket.socket, str, int, str]:
        """Open a session; returns it with the greeting: the worker's name, its process id, the host name."""
        sock = socket.create_connection(self.addresses[listener][0], timeout=PATIENCE)
        name, pid, host = read_line(sock).split()
        return sock, name, int(pid), host

    def ask(self, command: str, **more: Any) -> dict[str, Any]:
        """Ask on the control socket."""
        return request(self.directory / "control.sock", {"command": command, **more}, PATIENCE)

    def workers(self) -> dict[str, int]:
        """The process ids of the workers that run, by name."""
        return {
            f"{each['role']}/{each['index']}": each["pid"]
            for each in self.ask("status")["processes"]
            if each["state"] == "running"
        }

    def until(self, promise: Callable[[], Any]) -> Any:
        """Wait for something to become true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(ControlError, OSError, KeyError):
                if found := promise():
                    return found
            select.select([], [], [], 0.02)
        raise AssertionError(f"it never happened; the log:\n{self.log_file.read_text()}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        lines = [json.loads(line) for line in self.log_file.read_text().splitlines()]
        return [line for line in lines if line["event"] == name]

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            with suppress(ControlError, OSError, KeyError):
                for pid in [each["pid"] for each in self.ask("status")["processes"] if each["pid"]]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


def read_line(sock: socket.socket) -> str:
    """One line, or what came before the end."""
    data = b""
    while not data.endswith(b"\n"):
        received = sock.recv(1)
        if not received:
            break
        data += received
    return data.decode()


def config_of(directory: Path, **changes: Any) -> dict[str, Any]:
    """A small configuration on ports that the kernel chooses."""
    config: dict[str, Any] = {
        "hostname": "one.test",
        "log": "json",
        "data": str(directory),
        "drain_seconds": 10,
        "listener": [
            {"name": "mx", "protocol": "smtp", "bind": ["127.0.0.1:0"]},
            {"name": "submission", "protocol": "submission", "bind": ["127.0.0.1:0"]},
        ],
    }
    return config | changes


StartServer = Callable[..., RunningServer]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a stand-in server in a directory of its own; ends it after the test."""
    running: list[RunningServer] = []

    def begin(*, wait: bool = True, **settings: Any) -> RunningServer:
        server = RunningServer(tmp_path, {"config": config_of(tmp_path)} | settings)
        running.append(server)
        if wait:
            server.wait_started()
        return server

    yield begin
    for server in running:
        server.close()


StartReal = Callable[..., RealServer]


@pytest.fixture
def start_real(tmp_path: Path) -> Iterator[StartReal]:
    """Start the real server in a directory of its own; ends it after the test."""
    running: list[RealServer] = []

    def begin(*arguments: Any, **keywords: Any) -> RealServer:
        server = RealServer(tmp_path, *arguments, **keywords)
        running.append(server)
        return server

    yield begin
    for server in running:
        server.close()
