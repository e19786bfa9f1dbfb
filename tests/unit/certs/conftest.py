"""A real server of its own process, whose certificate files the tests replace."""

from __future__ import annotations

import json
import os
import pwd
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

from gatepost.net.blocking import BlockingWire
from gatepost.serve.control import SOCKET_NAME, request
from gatepost.testing.ca import Issued, TestAuthority
from gatepost.tls.contexts import ClientContext, ClientTLS
from gatepost.wire.dialogue import Dialogue, upgrade
from gatepost.wire.smtp.client import PlainClient, SecureClient
from gatepost.wire.upgrade import TLSEvidence

PROGRAM = Path(__file__).parent / "serving.py"
PATIENCE = 30.0
NAME = "mx.example.test"


class Serving:
    """A running server.

    :param directory: an empty directory; ``server.pem`` in it is the default certificate.
    :param certificates: by file name; the first is the default.
    :param arguments: more for the program.
    """

    def __init__(self, directory: Path, certificates: Mapping[str, Issued], arguments: Iterable[Path] = ()) -> None:
        self.directory = directory
        self.port = free_port()
        for name, issued in certificates.items():
            self.replace(name, issued)
        names = list(certificates)
        lines = [
            f'hostname = "{NAME}"\ndata = "{directory}/data"\nlog = "json"\nworkers = 2',
            f'user = "{pwd.getpwuid(os.geteuid()).pw_name}"',
            "[limits]\nconnections = 100000",
            f'[tls]\ncertificate = "{names[0]}"',
            *(f'[[certificate]]\nfile = "{name}"' for name in names[1:]),
            f'[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "127.0.0.1:{self.port}"',
        ]
        (directory / "gatepost.toml").write_text("\n".join(lines) + "\n")
        self.log_file = directory / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, directory / "gatepost.toml", *arguments], stdout=subprocess.PIPE, stderr=log
            )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert readable and b"serves" in self.process.stdout.readline(), self.log_file.read_text()

    def replace(self, name: str, issued: Issued | bytes) -> None:
        """Put another file in the place of one, as ``cert install`` would."""
        new = self.directory / f".{name}"
        new.unlink(missing_ok=True)
        if isinstance(issued, bytes):
            new.write_bytes(issued)
        else:
            issued.write(new)
        new.replace(self.directory / name)

    def status(self) -> Any:
        """Ask how it is."""
        return request(self.directory / "data" / SOCKET_NAME, {"command": "status"}, PATIENCE)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        mark = f'"event":{json.dumps(name)}'
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if mark in line]

    def until(self, promise: Callable[[], Any]) -> Any:
        """Wait for something to become true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := promise():
                return found
            select.select([], [], [], 0.02)
        raise AssertionError(f"it never happened; the log:\n{self.log_file.read_text()}")

    def connect(self, context: ClientContext, name: str = NAME) -> tuple[BlockingWire, SecureClient]:
        """A session inside TLS, past its EHLO; the certificate is verified."""
        wire = BlockingWire("127.0.0.1", self.port, tls=ClientTLS(context, name), connect_seconds=PATIENCE)
        try:
            evidence = wire.run(_upgrade(wire))
            client = SecureClient(wire.origin, evidence, hostname="client.example.test")
            wire.run(client.hello())
        except BaseException:
            wire.close()
            raise
        return wire, client

    def close(self) -> None:
        """SIGTERM; it must end with 0."""
        self.process.terminate()
        try:
            assert self.process.wait(PATIENCE) == 0, self.log_file.read_text()
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()


def _upgrade(wire: BlockingWire) -> Dialogue[TLSEvidence]:
    client = PlainClient(wire.origin, hostname="client.example.test")
    yield from client.greeting()
    yield from client.hello()
    return (yield from upgrade((yield from client.start_tls())))


Serve = Callable[..., Serving]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server, with more arguments if need be; ends it after the test."""
    running: list[Serving] = []

    def begin(*arguments: Path, **certificates: Issued) -> Serving:
        named = {name.replace("_", "."): issued for name, issued in certificates.items()}
        served = Serving(tmp_path, named, arguments)
        running.append(served)
        return served

    yield begin
    for each in running:
        each.close()


@pytest.fixture(scope="session")
def authority() -> TestAuthority:
    """Whom the clients trust."""
    return TestAuthority("the authority of the certificates' tests")
