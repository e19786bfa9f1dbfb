"""The control socket: private, patient with nobody, and honest when it cannot answer."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatepost.serve.control import ControlError, request

StartServer = Callable[..., Any]


def test_status_tells_how_the_server_is(start_server: StartServer) -> None:
    """Version, state, listeners, processes, counters and the queue are in one answer."""
    server = start_server()
    status = server.ask("status")
    assert (status["ok"], status["state"], status["pid"]) == (True, "running", server.process.pid)
    assert [each["name"] for each in status["listeners"]] == ["mx", "submission", "local"]
    host, port = server.addresses["mx"][0]
    assert status["listeners"][0]["addresses"] == [f"{host}:{port}"]
    assert status["queue"]["messages"] == 0
    assert status["counters"]["ready"] == 1


def test_socket_is_private(start_server: StartServer) -> None:
    """Nobody but the owner may connect."""
    server = start_server()
    mode = (server.directory / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    "line",
    [b"\n", b"{}\n", b"[1]\n", b'"status"\n', b"\xff\xfe\n", b'{"command": ["x"]}\n', b"[" * 60000 + b"\n"],
)
def test_nonsense_is_refused_with_a_reason(start_server: StartServer, line: bytes) -> None:
    """Whatever the line is, the answer is one line of JSON that says no, and the server lives."""
    server = start_server()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(server.directory / "control.sock"))
        sock.sendall(line)
        answer = json.loads(sock.makefile().readline())
    assert answer["ok"] is False
    assert answer["error"]
    assert server.until(lambda: server.ask("status"))["ok"]


def test_endless_line_is_cut_off(start_server: StartServer) -> None:
    """A request has a length that is enough."""
    server = start_server()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(server.directory / "control.sock"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                sock.sendall(b"x" * 65536)


def test_silent_askers_do_not_shut_others_out_of_the_workers(start_server: StartServer) -> None:
    """Sixteen connections that say nothing leave the workers serving."""
    server = start_server()
    idle = []
    for _ in range(20):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(server.directory / "control.sock"))
        idle.append(sock)
    session, name, _, _ = server.connect()
    session.close()
    assert name.startswith("mx/")
    for sock in idle:
        sock.close()
    assert server.until(lambda: server.ask("status"))["ok"]


def test_queue_wake_is_answered_by_the_supervisor(start_server: StartServer) -> None:
    """The doorbell is rung without a database being opened."""
    assert start_server().ask("queue-wake") == {"ok": True}


def test_queue_questions_are_answered(start_server: StartServer) -> None:
    """A child opens the queue; what it does not know it refuses."""
    server = start_server()
    assert server.ask("queue-list") == {"ok": True, "messages": []}
    assert server.ask("queue-show", id="nothing") == {"ok": False, "error": "no such message"}
    assert not server.ask("queue-nonsense")["ok"]
    assert server.ask("nonsense")["error"] == "there is no command nonsense"


def test_request_says_that_nobody_answers(tmp_path: Path) -> None:
    """No server: the message names the socket, and the hint what to do."""
    with pytest.raises(ControlError, match=r"no server answers at .*control\.sock") as caught:
        request(tmp_path / "control.sock", {"command": "status"})
    assert "is it running" in caught.value.hint


def test_request_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A server that accepts and says nothing costs the timeout."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with pytest.raises(ControlError, match="did not answer within"):
            request(path, {"command": "status"}, timeout=0.1)


def test_stale_socket_is_replaced(start_server: StartServer, tmp_path: Path) -> None:
    """What a killed server left behind does not keep the next one from starting."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    server = start_server()
    assert server.ask("status")["pid"] != os.getpid()
