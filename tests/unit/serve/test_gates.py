"""Gates as processes: ``gatepost gate`` with options and with a file, ``gatepost serve`` with both, reload."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.unit.serve.real_server import GATEPOST, PATIENCE, RealServer
from tests.unit.service.gate.far_server import FarServer

from gatepost import blocking


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every account may enter, for workers of whatever account."""
    path = Path(tempfile.mkdtemp(prefix="gatepost-gate-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _talk(port: int, ca_file: Path, name: str, words: bytes) -> bytes:
    """What comes back for some words, behind the StartTLS of LDAP."""
    plain = blocking.connect("127.0.0.1", port, ca_file=ca_file, server_name=name, timeout=PATIENCE)
    with plain.upgrade("ldap") as client:
        client.send(words)
        return client.read_exactly(len(words))


def test_gate_of_options_needs_no_configuration(open_directory: Path) -> None:
    """It makes a certificate, says where it listens and what to try, serves, and leaves no account and no queue."""
    port, data = free_port(), open_directory / "data"
    command = [*GATEPOST, "gate", "--bind", f"127.0.0.1:{port}", "--protocol", "ldap", "--hostname", "gate.test"]
    with FarServer() as far, (open_directory / "log").open("wb") as log:
        command += ["--backend", far.name, "--data", str(data)]
        process = subprocess.Popen(command, cwd=open_directory, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            said = [process.stdout.readline() for _ in range(4)]
            assert said[0].endswith(" stands in front of 1 server as gate.test\n"), (open_directory / "log").read_text()
            assert f"127.0.0.1:{port}  (ldap, StartTLS; behind it {far.name}, in the clear)" in said[1]
            assert _talk(port, data / "tls" / "self-signed.pem", "gate.test", b"hello") == b"hello"
            asked = subprocess.run(
                [*GATEPOST, "status", "--data", str(data), "--json"], capture_output=True, timeout=PATIENCE, check=True
            )
            answer = json.loads(asked.stdout)
            assert {each["role"] for each in answer["processes"]} == {"gate"}
            assert answer["listeners"][0] | {"addresses": []} == {
                "name": "gate", "protocol": "ldap", "tls": "starttls", "starttls": "offer", "mode": "terminate",
                "backend": "backend", "addresses": [],
            }  # fmt: skip
            process.terminate()
            rest = process.stdout.read()
            assert f"connect 127.0.0.1:{port} --starttls ldap --server-name gate.test" in rest
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    assert not {"accounts.db", "queue.db", "queue"} & {path.name for path in data.iterdir()}


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[RealServer, FarServer, int]]:
    """``gatepost serve`` with a listener and a gate."""
    port = free_port()
    with FarServer() as far:
        tables = (
            f'[[backend]]\nname = "far"\nservers = "{far.name}"\n'
            f'[[gate]]\nname = "tree"\nprotocol = "ldap"\nbackend = "far"\nbind = "127.0.0.1:{port}"\n'
        )
        server = RealServer(tmp_path, tables=tables)
        try:
            yield server, far, port
        finally:
            server.close()


def _processes(server: RealServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask("status")["processes"]
    return found


def test_serve_serves_gates_in_processes_of_their_own(both: tuple[RealServer, FarServer, int]) -> None:
    """Beside the other roles; the gate's processes have the gate's socket, and the others have not."""
    server, _, port = both
    assert {"gate/0", "gate/1", "mx/0", "submission/0", "delivery/0"} <= server.workers().keys()
    ca_file = server.data / "tls" / "self-signed.pem"
    assert _talk(port, ca_file, "mx.host.test", b"hello") == b"hello"
    server.until(lambda: server.events("gate.session"))
    (line,) = server.events("gate.session")
    assert (line["listener"], line["backend"], line["outcome"]) == ("tree", "far", "closed")
    assert line["process"].startswith("gate/")
    said = server.cli("status").stdout
    assert "tree      ldap      starttls  offer     far" in said
    assert "far      none  none    1   0" in said


def test_reload_lets_sessions_through_gates_go_on(both: tuple[RealServer, FarServer, int]) -> None:
    """New processes serve the new configuration, the old ones their sessions until they end."""
    server, _, port = both
    ca_file = server.data / "tls" / "self-signed.pem"
    before = {each["pid"] for each in _processes(server) if each["role"] == "gate"}
    plain = blocking.connect("127.0.0.1", port, ca_file=ca_file, server_name="mx.host.test", timeout=PATIENCE)
    with plain.upgrade("ldap") as client:
        client.send(b"before")
        assert client.read_exactly(6) == b"before"
        assert server.ask("reload") == {"ok": True, "generation": 2}
        client.send(b"after")
        assert client.read_exactly(5) == b"after"
        assert _talk(port, ca_file, "mx.host.test", b"new") == b"new"
    server.until(lambda: not before & {each["pid"] for each in _processes(server)})


def test_reload_with_a_wrong_backend_changes_nothing(both: tuple[RealServer, FarServer, int]) -> None:
    """A certificate file that is not there is found before anybody is touched."""
    server, _, port = both
    text = server.file.read_text()
    server.file.write_text(text.replace('name = "far"\n', 'name = "far"\ntls = "starttls"\nca = "none.pem"\n', 1))
    answer = server.ask("reload")
    assert not answer["ok"]
    assert answer["error"].startswith("backend[0]: ")
    assert _talk(port, server.data / "tls" / "self-signed.pem", "mx.host.test", b"still") == b"still"
