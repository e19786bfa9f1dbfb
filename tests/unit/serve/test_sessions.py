"""Sessions over a reload, and the end of workers whose supervisor is gone: with the real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.serve.real_server import Client

StartReal = Callable[..., Any]


def test_session_goes_on_over_a_reload(start_real: StartReal) -> None:
    """It finishes its message and sends another one; new connections are served by new workers, soon all of them."""
    server = start_real("drain_seconds = 20")
    before = set(server.workers().values())
    old = Client.connect(server.port)
    assert old.say("MAIL FROM:<you@else.test>").startswith("250")
    assert old.say("RCPT TO:<postmaster@example.test>").startswith("250")
    assert server.ask("reload")["ok"]
    assert old.say("DATA").startswith("354")
    assert old.say("Subject: first\r\n\r\nx\r\n.").startswith("250")
    assert old.send("second").startswith("250")
    server.until(lambda: _connects(server) - before)  # an old worker may still take what came just then
    assert old.send("third").startswith("250")
    assert old.say("QUIT").startswith("221")
    old.close()
    server.until(lambda: not before & {each["pid"] for each in server.ask("status")["processes"]})


def _connects(server: Any) -> set[int]:
    """Send a message over a connection of its own; the processes that have served any."""
    new = Client.connect(server.port)
    assert new.send("new").startswith("250")
    assert new.say("QUIT").startswith("221")
    new.close()
    return {each["pid"] for each in server.events("smtp.session")}


def test_session_that_outlasts_the_drain_is_told(start_real: StartReal) -> None:
    """After ``drain_seconds`` an idle session gets 421, and the old process ends."""
    server = start_real("drain_seconds = 0.5")
    before = set(server.workers().values())
    client = Client.connect(server.port)
    assert server.ask("reload")["ok"]
    assert client.say("NOOP").startswith("250")
    assert client.reply().startswith("421")
    client.close()
    server.until(lambda: not before & {each["pid"] for each in server.ask("status")["processes"]})
    assert not server.events("worker.killed")


def test_stop_ends_retired_sessions_too(start_real: StartReal) -> None:
    """SIGTERM after a reload does not leave the workers of the reload to their sessions."""
    server = start_real("drain_seconds = 60")
    client = Client.connect(server.port)
    assert server.ask("reload")["ok"]
    began = time.monotonic()
    server.process.terminate()
    assert client.reply().startswith("421")
    client.close()
    assert server.process.wait(50) == 0
    assert time.monotonic() - began < 50


def test_reload_under_load_refuses_no_connection_and_ends_no_session(start_real: StartReal) -> None:
    """Clients that connect, send and leave all the time notice nothing of three reloads."""
    server = start_real("drain_seconds = 20")
    stop, troubles, sent = threading.Event(), list[str](), list[int]()

    def load() -> None:
        count = 0
        while not stop.is_set():
            try:
                client = Client.connect(server.port)
                for _ in range(3):
                    answer = client.send("load")
                    if not answer.startswith("250"):
                        troubles.append(answer)
                    count += 1
                if not (answer := client.say("QUIT")).startswith("221"):
                    troubles.append(f"QUIT: {answer}")
                client.close()
            except OSError as error:
                troubles.append(repr(error))
        sent.append(count)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            assert server.ask("reload")["ok"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert troubles == []
    assert sum(sent) > 20


def test_workers_end_in_time_when_their_supervisor_is_killed(start_real: StartReal) -> None:
    """A session that never ends cannot keep a worker alive: its draining is bounded without anybody's help."""
    server = start_real("drain_seconds = 1")
    workers = [*server.workers().values()]
    client = Client.connect(server.port)
    for line in ("MAIL FROM:<you@else.test>", "RCPT TO:<postmaster@example.test>", "DATA"):
        assert client.say(line)[:1] in "23"
    began = time.monotonic()
    server.process.kill()
    server.process.wait()
    server.until(lambda: not [pid for pid in workers if _lives(pid)])
    assert 0.5 < time.monotonic() - began < 15
    assert client.reply() == ""
    client.close()
    (summary,) = [each for each in server.events("smtp.session") if each["helo"] == "client.test"]
    assert summary["outcome"] == "cut off"


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
