"""The supervisor: it keeps the workers that a configuration asks for, replaces them, and ends them without haste."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

StartServer = Callable[..., Any]


def test_start_serves_with_a_process_for_each_role(start_server: StartServer) -> None:
    """Each role has its processes, and each listener is served by its role."""
    server = start_server()
    assert set(server.workers()) == {"mx/0", "mx/1", "submission/0", "delivery/0"}
    sock, name, pid, _ = server.connect("submission")
    with sock:
        assert (name, pid) == ("submission/0", server.workers()["submission/0"])


def test_start_refuses_a_second_server_on_the_same_data(start_server: StartServer) -> None:
    """The second one says who holds the data directory and ends."""
    first = start_server()
    second = start_server()
    assert f"a server already runs on {first.directory} (process {first.process.pid})" in second.said
    assert second.process.wait(10) == 78
    assert first.ask("status")["ok"]


def test_start_gives_up_when_workers_cannot_start(start_server: StartServer) -> None:
    """A worker that dies three times at the first start ends the start, with an exit code that says so."""
    server = start_server(behaviour={"delivery": "die", "mx": "raise"}, wait=False)
    assert server.process.wait(20) == 70
    assert server.events("server.not-started")


def test_supervisor_restarts_a_worker_that_was_killed(start_server: StartServer) -> None:
    """After kill -9 there is a new process in its place, and the log says what happened to the old one."""
    server = start_server()
    before = server.workers()
    os.kill(before["delivery/0"], signal.SIGKILL)
    after = server.until(
        lambda: (now := server.workers()).get("delivery/0", before["delivery/0"]) != before["delivery/0"] and now
    )
    assert {name: pid for name, pid in after.items() if name != "delivery/0"} == {
        name: pid for name, pid in before.items() if name != "delivery/0"
    }
    (death,) = server.events("worker.died")
    assert (death["worker"], death["signal"]) == ("delivery/0", "SIGKILL")


def test_supervisor_keeps_totals_over_the_death_of_a_worker(start_server: StartServer) -> None:
    """A total never goes backwards: what a killed worker counted stays counted."""
    server = start_server()
    for _ in range(3):
        sock, _, pid, _ = server.connect()
        sock.close()
    os.kill(pid, signal.SIGKILL)
    server.until(lambda: server.events("worker.died"))
    server.until(lambda: len(server.workers()) == 4)
    assert server.ask("status")["counters"]["smtp_connections_total{listener=mx}"] == 3


def test_worker_exception_is_logged_on_one_line(start_server: StartServer) -> None:
    """A worker that fails says why on one line, and others go on."""
    server = start_server()
    server.write(behaviour={"submission": "raise"})
    os.kill(server.workers()["submission/0"], signal.SIGKILL)
    failed = server.until(lambda: server.events("worker.failed"))
    assert failed[0]["error"] == "RuntimeError: a stand-in that fails\nand forges a line"
    sock, name, _, _ = server.connect("mx")
    with sock:
        assert name.startswith("mx/")


def test_stop_lets_a_session_finish(start_server: StartServer) -> None:
    """SIGTERM refuses new connections and waits for the session that is going on."""
    server = start_server()
    sock, _, _, _ = server.connect("submission")
    address = server.addresses["submission"][0]
    server.process.send_signal(signal.SIGTERM)
    server.until(lambda: server.ask("status")["state"] == "draining")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    sock.sendall(b"still there\n")
    assert sock.recv(100) == b"still there\n"
    assert server.process.poll() is None
    sock.close()
    assert server.process.wait(10) == 0


def test_stop_kills_what_does_not_drain(start_server: StartServer, tmp_path: Path) -> None:
    """A session that never ends is ended after ``drain_seconds``."""
    config: dict[str, Any] = {"log": "json", "hostname": "one.test", "data": str(tmp_path), "drain_seconds": 0.2}
    config |= {"listener": [{"name": "mx", "protocol": "smtp", "bind": ["127.0.0.1:0"]}]}
    server = start_server(config=config, behaviour={"mx": "stubborn"})
    sock, _, _, _ = server.connect()
    with sock:
        assert server.stop() == 0
    assert {each["worker"] for each in server.events("worker.killed")} == {"mx/0", "mx/1"}


def test_stop_takes_the_control_socket_away(start_server: StartServer) -> None:
    """After the end there is nothing to connect to, and the data directory can be used again."""
    server = start_server()
    assert server.stop() == 0
    assert not (server.directory / "control.sock").exists()
    again = start_server()
    assert again.ask("status")["ok"]


def test_supervisor_gone_ends_the_workers(start_server: StartServer) -> None:
    """Workers do not outlive a supervisor that was killed."""
    server = start_server()
    pids = server.workers().values()
    server.process.kill()
    server.process.wait(10)
    for pid in pids:
        server.until(lambda pid=pid: not Path(f"/proc/{pid}").exists() or "Z" in _state(pid))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_worker_keeps_no_descriptor_of_another_role(start_server: StartServer) -> None:
    """Each listening socket is open in the processes of its role and in the supervisor, nowhere else."""
    server = start_server()
    inodes = {}
    for listener, addresses in server.addresses.items():
        inodes[listener] = _inode_of(addresses[0][1])
    for name, pid in server.workers().items():
        held = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
        role = name.split("/")[0]
        for listener, inode in inodes.items():
            assert (f"socket:[{inode}]" in held) == (listener == role), (name, listener)
        assert not any(path.endswith("gatepost.lock") for path in held)


def _inode_of(port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            return fields[9]
    raise AssertionError(f"nobody listens on {port}")


def test_worker_ignores_the_interrupt_of_a_terminal(start_server: StartServer) -> None:
    """Ctrl-C reaches every process of the terminal: only the supervisor decides what it means."""
    server = start_server()
    before = server.workers()
    os.kill(before["mx/0"], signal.SIGINT)
    os.kill(before["mx/1"], signal.SIGHUP)
    os.kill(before["delivery/0"], signal.SIGKILL)
    server.until(lambda: server.events("worker.died"))
    after = server.until(lambda: len(server.workers()) == 4 and server.workers())
    assert (after["mx/0"], after["mx/1"]) == (before["mx/0"], before["mx/1"])
