"""A real ``gatepost serve``, started as an operator would: a file, a certificate, users, and SIGTERM in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.interop.letters import Arrived, find
from tests.interop.patience import PATIENCE, until
from tests.interop.programs import Done, group_lives, run
from tests.ports import free_port

from gatepost.testing.ca import TestAuthority

GATEPOST = (sys.executable, "-m", "gatepost")
SENDMAIL = (sys.executable, "-m", "gatepost.sendmail")
LISTENERS = ("mx", "submission", "submissions", "pop3", "pop3s")
Tables = Mapping[str, Mapping[str, object]]


class Gatepost:
    """A server of its own: configuration, data, ports, certificate.

    :param directory: an empty directory.
    :param authority: issues its certificate.
    :param hostname: its name; the certificate has it and ``localhost``, and no address.
    :param domains: those that it keeps mail for.
    :param users: address to password.
    :param tables: further tables of the configuration, such as ``{"delivery": {"tls_level": "verify"}}``.
    :param keys: further keys of its top level.
    :param deny: its mx offers no STARTTLS.
    """

    def __init__(
        self,
        directory: Path,
        authority: TestAuthority,
        *,
        hostname: str = "mx.example.test",
        domains: tuple[str, ...] = ("example.test",),
        users: Mapping[str, str] | None = None,
        tables: Tables | None = None,
        keys: Mapping[str, object] | None = None,
        deny: bool = False,
    ) -> None:
        self.directory = directory
        self.authority = authority
        self.hostname = hostname
        self.domains = domains
        self.users = dict(users or {})
        self.data = directory / "data"
        self.config = directory / "gatepost.toml"
        self.log_file = directory / "log"
        self.out_file = directory / "out"
        self.ca_file = directory / "ca.pem"
        self.ports = {name: free_port() for name in LISTENERS}
        self._starttls = "deny" if deny else "offer"
        self.process: subprocess.Popen[bytes] | None = None
        self.may_complain = False
        self.ca_file.write_bytes(authority.pem)
        authority.issue(hostname, "localhost").write(directory / "server.pem")
        self.configure(tables, keys)

    # -- its configuration

    def configure(self, tables: Tables | None = None, keys: Mapping[str, object] | None = None) -> None:
        """Write the configuration file."""
        top: dict[str, object] = {
            "hostname": self.hostname,
            "domains": list(self.domains),
            "data": str(self.data),
            "drain_seconds": 10,
            **({"user": "root"} if os.geteuid() == 0 else {}),  # others may not enter the directories of pytest
            **(keys or {}),
        }
        lines = _toml(top)
        every: dict[str, Mapping[str, object]] = {"tls": {"certificate": "server.pem"}, **(tables or {})}
        for name, table in every.items():
            lines += [f"[{name}]", *_toml(table)]
        for name, port in self.ports.items():
            lines += ["[[listener]]", *_toml({"name": name, "bind": f"127.0.0.1:{port}"})]
            if name == "mx":
                lines += _toml({"protocol": "smtp", "starttls": self._starttls})
                continue
            lines += _toml({"protocol": "pop3" if name.startswith("pop3") else "submission"})
            lines += _toml({"tls": "implicit" if name.endswith("s") else "starttls"})
        self.config.write_text("\n".join(lines) + "\n")

    # -- its life

    def __enter__(self) -> Gatepost:
        for address, password in self.users.items():
            done = self.cli("user", "add", address, "--password-stdin", given=password.encode() + b"\n")
            assert done.code == 0, done.said
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    def start(self) -> None:
        """Start it, and wait until it says that it serves."""
        with self.out_file.open("wb") as out, self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*GATEPOST, "--config", str(self.config), "serve"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True,
            )  # fmt: skip
        until(self._serves, what="the server serves", log=self.log)

    def _serves(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}\n{self.log()}")
        return f"serves {', '.join(self.domains)} as {self.hostname}\n" in self.out_file.read_text()

    def stop(self) -> None:
        """SIGTERM: it must end with 0, leave no process, and not have complained of itself."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            assert process.wait(PATIENCE) == 0, self.log()
            until(lambda: not group_lives(process.pid), what="no process is left", log=self.log)
        finally:
            _kill_group(process)
        log = self.log_file.read_text()
        if not self.may_complain:
            assert "severity=critical" not in log and "Traceback" not in log, self.log()

    def kill(self) -> None:
        """End it without asking for anything."""
        process, self.process = self.process, None
        if process is not None:
            _kill_group(process)

    def log(self) -> str:
        """The end of its log."""
        return "\n".join(self.log_file.read_text().splitlines()[-40:])

    # -- its commands

    def cli(self, *arguments: str, given: bytes = b"", given_file: Path | None = None, seconds: float = 60.0) -> Done:
        """Run ``gatepost`` with its configuration."""
        command = (*GATEPOST, "--config", str(self.config), *arguments)
        return run(command, given=given, given_file=given_file, seconds=seconds, env={"NO_COLOR": "1"})

    def ask(self, *arguments: str) -> Any:
        """Run a command with ``--json``; it must succeed."""
        done = self.cli(*arguments, "--json")
        assert done.code == 0, done.said
        return json.loads(done.out)

    @property
    def sendmail_environment(self) -> dict[str, str]:
        """What tells ``sendmail`` which server to use."""
        return {"GATEPOST_SENDMAIL_SOCKET": str(self.data / "sendmail.sock")}

    # -- its mail

    def mailbox(self, address: str) -> Path:
        """The Maildir of an address."""
        local, _, domain = address.partition("@")
        return self.data / "mail" / domain / local

    def arrived(self, address: str, token: str) -> Arrived:
        """Wait for the message whose header has the token."""
        return until(
            lambda: find(self.mailbox(address), token), what=f"{token} arrives at {address}", log=self.log
        )  # fmt: skip

    def queue(self) -> list[dict[str, Any]]:
        """The queue."""
        found: list[dict[str, Any]] = self.ask("queue", "list")["messages"]
        return found

    def waits(self, state: str = "deferred") -> dict[str, Any]:
        """Wait until the queue holds one message, whose first recipient is in a state; returns it."""

        def look() -> dict[str, Any] | None:
            queue = self.queue()
            return queue[0] if len(queue) == 1 and queue[0]["recipients"][0]["state"] == state else None

        return until(look, what=f"one message is {state}", log=self.log)

    def empties(self) -> None:
        """Wait until nothing is queued."""
        until(lambda: not self.queue(), what="the queue is empty", log=self.log)


def _toml(table: Mapping[str, object]) -> list[str]:
    return [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
