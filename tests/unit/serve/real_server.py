"""The real ``gatepost serve`` on loopback, run as its own process."""

from __future__ import annotations

import json
import os
import pwd
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.ports import free_port

from gatepost.serve.control import ControlError, request

PATIENCE = 30.0
ME = pwd.getpwuid(os.geteuid()).pw_name
GATEPOST = (sys.executable, "-m", "gatepost")


class RealServer:
    """One run of the real server, with every role.

    :param keys: lines of its configuration, before any table.
    :param tables: further lines.
    """

    def __init__(
        self, directory: Path, keys: str = "", tables: str = "", *, umask: int = 0o022, listener: str = "mx"
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        protocol = {"mx": "smtp"}.get(listener, listener)
        self._tables = (
            f'[[listener]]\nname = "{listener}"\nprotocol = "{protocol}"\nbind = ["127.0.0.1:{self.port}"]\n{tables}\n'
        )
        self.file = directory / "gatepost.toml"
        self.configure(keys)
        self.log_file = directory / "log"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*GATEPOST, "--config", str(self.file), "serve"], stdout=subprocess.DEVNULL, stderr=log, umask=umask
            )
        self.until(self._serves)

    def _serves(self) -> bool:
        assert self.process.poll() is None, self.log_file.read_text()
        return bool(self.ask("status")["state"] == "running")

    def configure(self, keys: str) -> None:
        """Write the configuration again, with other keys."""
        top = (
            f'hostname = "mx.host.test"\ndomains = ["example.test"]\ndata = "{self.data}"\nlog = "json"\nworkers = 2\n'
        )
        self.file.write_text(f'{top}user = "{ME}"\n{keys}\n{self._tables}')

    def ask(self, command: str, **more: Any) -> dict[str, Any]:
        """Ask on the control socket."""
        return request(self.runtime / "control.sock", {"command": command, **more}, PATIENCE)

    @property
    def runtime(self) -> Path:
        """Where its sockets are."""
        return self.directory / "run" if "run_directory" in self.file.read_text() else self.data

    def workers(self) -> dict[str, int]:
        """Process ids of the workers in force, by name."""
        found = self.ask("status")["processes"]
        return {f"{each['role']}/{each['index']}": each["pid"] for each in found if each["state"] == "running"}

    def sendmail(self, *arguments: str, given: bytes, program: str = "sendmail") -> subprocess.CompletedProcess[str]:
        """Call ``sendmail`` with a message."""
        code = f"import sys; from gatepost.sendmail import main; main([{program!r}, *sys.argv[1:]])"
        environment = os.environ | {"GATEPOST_SENDMAIL_SOCKET": str(self.runtime / "sendmail.sock")}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            input=given,
            capture_output=True,
            env=environment,
            timeout=PATIENCE,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call ``gatepost`` with this server's configuration."""
        return subprocess.run(
            [*GATEPOST, "--config", str(self.file), *arguments], capture_output=True, text=True, timeout=PATIENCE
        )

    def mailbox(self, address: str) -> list[str]:
        """The messages in a mailbox."""
        local, _, domain = address.partition("@")
        return [path.read_text() for path in sorted((self.data / "mail" / domain / local).glob("new/*"))]

    def until(self, promise: Callable[[], Any]) -> Any:
        """Wait for something to become true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(ControlError, OSError, KeyError):
                if found := promise():
                    return found
            select.select([], [], [], 0.05)
        raise AssertionError(f"it never happened; the log:\n{self.log_file.read_text()}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        lines = [json.loads(line) for line in self.log_file.read_text().splitlines()]
        return [line for line in lines if line["event"] == name]

    def close(self) -> None:
        """End it, whatever state it is in."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Client:
    """An SMTP client that says what it is told to, over a connected socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._received = b""
        self.greeting = self.reply()

    @classmethod
    def connect(cls, port: int) -> Client:
        """Over TCP, and EHLO."""
        client = cls(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        client.say("EHLO client.test")
        return client

    def say(self, line: str) -> str:
        """Say a line; returns the last line of the reply."""
        self.sock.sendall(line.encode() + b"\r\n")
        return self.reply()

    def reply(self) -> str:
        """The last line of the next reply; empty when the connection has ended."""
        while True:
            line, end, rest = self._received.partition(b"\r\n")
            if end:
                self._received = rest
                if line[3:4] != b"-":
                    return line.decode()
                continue
            data = self.sock.recv(65536)
            if not data:
                return ""
            self._received += data

    def send(self, text: str, *, to: str = "postmaster@example.test") -> str:
        """A whole message; returns the reply to its end, or the first refusal."""
        for line in ("MAIL FROM:<you@else.test>", f"RCPT TO:<{to}>", "DATA"):
            reply = self.say(line)
            if reply[:1] not in "23":
                return reply
        return self.say(f"Subject: {text}\r\n\r\n{text}\r\n.")

    def close(self) -> None:
        """Close without a word."""
        self.sock.close()
