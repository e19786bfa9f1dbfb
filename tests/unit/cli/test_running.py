"""``gatepost serve``, ``status`` and ``reload``: starting a server, and asking one."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.config.schema import Config

STATUS = {
    "ok": True,
    "version": "9.9",
    "state": "running",
    "started_at": 1.0,
    "hostname": "mx.test",
    "config": None,
    "listeners": [
        {"name": "mx", "protocol": "smtp", "tls": "starttls", "starttls": "offer", "addresses": ["127.0.0.1:25"]}
    ],
    "processes": [{"role": "mx", "index": 0, "pid": 7, "state": "running", "since": 1.0, "restarts": 2}],
    "queue": {"messages": 1, "queued": 1, "deferred": 0, "oldest": 1.0},
    "counters": {"messages_accepted_total": 5, "none_total": 0},
}
Answering = Callable[[dict[str, Any]], list[dict[str, Any]]]


@pytest.fixture
def answering(data: Path) -> Iterator[Answering]:
    """A control socket that gives one answer to every question, and remembers the questions."""
    data.mkdir()
    listening = socket.socket(socket.AF_UNIX)
    before = Path.cwd()
    os.chdir(data)  # a socket's path is short
    listening.bind("control.sock")
    os.chdir(before)
    listening.listen()
    threads: list[threading.Thread] = []

    def start(answer: dict[str, Any]) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def serve() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                with sock:
                    asked.append(json.loads(sock.recv(65536)))
                    sock.sendall(json.dumps(answer).encode() + b"\n")

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return asked

    yield start
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    for thread in threads:
        thread.join(20)


def test_status_is_printed_for_people(gatepost: Gatepost, answering: Answering) -> None:
    """Version, listeners, processes, queue; the counters with -v."""
    asked = answering(STATUS)
    done = gatepost("status")
    assert done.code == 0, done.err
    for words in ("9.9", "1 message, 1 queued", "127.0.0.1:25", "mx/0", "built-in defaults"):
        assert words in done.out
    assert "messages_accepted_total" not in done.out
    counted = gatepost("status", "-v").out
    assert "messages_accepted_total: 5" in counted and "none_total" not in counted
    assert asked == [{"command": "status"}] * 2


def test_status_in_json_is_the_servers_answer(gatepost: Gatepost, answering: Answering) -> None:
    """Programs get all of it."""
    answering(STATUS)
    assert gatepost("status", "--json").json == STATUS


def test_no_server_is_69_and_says_how_to_start_one(gatepost: Gatepost, data: Path) -> None:
    """One line for status and reload alike."""
    data.mkdir()
    for command in ("status", "reload"):
        done = gatepost(command)
        assert done.code == 69
        assert len(done.err.splitlines()) == 1 and "gatepost serve" in done.err


def test_reload_prints_every_reason_of_a_refusal(gatepost: Gatepost, answering: Answering) -> None:
    """The server keeps what it has; the operator learns why."""
    answering({"ok": False, "error": "no", "problems": ["a.toml:1: x", "a.toml:2: y"]})
    done = gatepost("reload")
    assert done.code == 78
    assert done.err.splitlines() == ["gatepost: a.toml:1: x", "gatepost: a.toml:2: y"]


def test_reload_refuses_a_bad_file_before_it_asks(gatepost: Gatepost, answering: Answering, tmp_path: Path) -> None:
    """A mistake in the file is said with its line, and the server is left alone."""
    asked = answering({"ok": True})
    with (tmp_path / "gatepost.toml").open("a") as stream:
        stream.write("worker = 3\n")
    done = gatepost("reload")
    assert done.code == 78 and "did you mean workers?" in done.err
    assert asked == []


def test_reload_says_that_it_was_done(gatepost: Gatepost, answering: Answering) -> None:
    """One line, or none with -q."""
    answering({"ok": True})
    assert gatepost("reload").out != ""
    assert gatepost("-q", "reload").out == ""


def test_full_check_does_not_take_the_running_server_for_a_stranger(
    gatepost: Gatepost, answering: Answering, tmp_path: Path
) -> None:
    """Ports that our own server holds are not in somebody's way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        with (tmp_path / "gatepost.toml").open("a") as stream:
            stream.write(f'[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "{where}"\n')
        answering({**STATUS, "listeners": [{"addresses": [where]}]})
        assert gatepost("config", "check", "--full").code == 0


def test_serve_starts_with_the_configuration_and_can_read_it_again(
    gatepost: Gatepost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--data overrides the file, at the start and at each reload; the exit code is the server's."""
    started: list[Config] = []

    def main(config: Config, load: Callable[[], Config]) -> int:
        started.extend((config, load()))
        return 3

    monkeypatch.setattr("gatepost.serve.launch.main", main)
    assert gatepost("serve", "--data", "given").code == 3
    assert [config.data for config in started] == [tmp_path / "given"] * 2
    assert [config.source for config in started] == [tmp_path / "gatepost.toml"] * 2
