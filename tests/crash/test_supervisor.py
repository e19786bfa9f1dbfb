"""kill -9 of any process of a running server: it is replaced, the others go on serving, mail goes on arriving."""

from __future__ import annotations

import os
import select
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.ports import free_port

from gatepost.serve.control import ControlError, request

PATIENCE = 30.0
PROGRAM = """
import sys
from pathlib import Path
from gatepost.config.load import load
from gatepost.serve.launch import main
file = Path(sys.argv[1])
sys.exit(main(load(file), lambda: load(file)))
"""


class RealServer:
    """The real server, with every role, on loopback."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        ports = [free_port() for _ in range(3)]
        self.mx, self.submission, self.metrics = ports
        authority = trustme.CA()
        issued = authority.issue_cert("mx.test", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
        issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
        file = directory / "gatepost.toml"
        file.write_text(
            f'hostname = "mx.test"\ndomains = ["mx.test"]\ndata = "{self.data}"\nworkers = 2\ndrain_seconds = 5\n'
            f'[tls]\ncertificate = "server.pem"\n[metrics]\nbind = "127.0.0.1:{self.metrics}"\n'
            f'[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = ["127.0.0.1:{self.mx}"]\n'
            f'[[listener]]\nname = "submission"\nprotocol = "submission"\nbind = ["127.0.0.1:{self.submission}"]\n'
        )
        self.log_file = directory / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(file)], stdout=subprocess.DEVNULL, stderr=log
            )
        self.until(lambda: self.ask("status")["state"] == "running")

    def ask(self, command: str) -> dict[str, Any]:
        """Ask on the control socket."""
        return request(self.data / "control.sock", {"command": command}, PATIENCE)

    def workers(self) -> dict[str, int]:
        """Process ids of the running workers, by name."""
        found = self.ask("status")["processes"]
        return {f"{each['role']}/{each['index']}": each["pid"] for each in found if each["state"] == "running"}

    def until(self, promise: Callable[[], Any]) -> Any:
        """Wait for something to become true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(ControlError, OSError, KeyError):
                if found := promise():
                    return found
            select.select([], [], [], 0.05)
        raise AssertionError(f"it never happened; the log:\n{self.log_file.read_text()}")

    def deliver(self, text: str) -> None:
        """Send one message to the postmaster over SMTP."""
        with smtplib.SMTP("127.0.0.1", self.mx, timeout=PATIENCE) as client:
            client.sendmail("you@example.org", ["postmaster@mx.test"], f"Subject: {text}\r\n\r\n{text}\r\n")

    def arrived(self) -> list[str]:
        """What is in the postmaster's mailbox."""
        found = (self.data / "mail").rglob("new/*")
        return sorted(path.read_text().rstrip("\n").rpartition("\n")[2] for path in found)

    def page(self, path: str) -> bytes:
        """An answer of the metrics page."""
        with socket.create_connection(("127.0.0.1", self.metrics), timeout=PATIENCE) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """A server that runs, and does not after the test."""
    running = RealServer(tmp_path)
    yield running
    with suppress(ProcessLookupError):
        running.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        running.process.wait(PATIENCE)
    running.process.kill()
    running.process.wait()


@pytest.mark.parametrize("victim", ["mx/0", "mx/1", "submission/0", "delivery/0", "metrics/0"])
def test_killed_worker_is_replaced_while_others_serve(server: RealServer, victim: str) -> None:
    """Whichever worker is killed: mail arrives before, meanwhile and after, and there is a new process in its place."""
    before = server.workers()
    server.deliver("before")
    os.kill(before[victim], signal.SIGKILL)
    if not victim.startswith("mx"):
        server.deliver("meanwhile")
    after = server.until(lambda: (now := server.workers()).get(victim, before[victim]) != before[victim] and now)
    others = before.keys() - {victim}
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    server.deliver("after")
    expected = ["after", "before"] if victim.startswith("mx") else ["after", "before", "meanwhile"]
    server.until(lambda: server.arrived() == expected)
    server.until(lambda: server.page("/readyz").endswith(b"ready\n") and b"200 OK" in server.page("/readyz"))


def test_all_workers_killed_at_once_come_back(server: RealServer) -> None:
    """Nothing but the supervisor is left, and the server is whole again."""
    before = server.workers()
    server.deliver("before")
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    server.until(
        lambda: (now := server.workers()).keys() == before.keys() and not set(now.values()) & {*before.values()}
    )
    server.deliver("after")
    server.until(lambda: server.arrived() == ["after", "before"])


def test_killed_supervisor_can_be_started_again_on_the_same_data(server: RealServer, tmp_path: Path) -> None:
    """Its workers end without it, the lock is free, and what was acknowledged is there."""
    server.deliver("before")
    server.process.kill()
    server.process.wait(PATIENCE)
    server.until(lambda: not _listening(server.mx))
    with (tmp_path / "log2").open("wb") as log:
        server.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "gatepost.toml")], stdout=subprocess.DEVNULL, stderr=log
        )
    server.until(lambda: server.ask("status")["state"] == "running")
    server.deliver("after")
    server.until(lambda: server.arrived() == ["after", "before"])


def _listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True
