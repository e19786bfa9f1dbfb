"""kill -9 of the processes that greylist: what one was told all know, before and after."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.serve.real_server import Client, RealServer

from gatepost.store.sqlite.greylist import FILE_NAME, SQLiteGreylist

DELAY = 3
SENDERS = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """A server with two processes at its mx, that puts strangers off."""
    table = f'[greylist]\nenabled = true\ndelay = "{DELAY}s"\nauto_allow = 0\n[limits]\nexempt = ["127.0.0.0/8"]\n'
    running = RealServer(tmp_path, tables=table)
    yield running
    running.close()


def _ask(server: RealServer, number: int) -> str:
    """The answer to one sender's recipient, in a session of its own: whichever process has it."""
    client = Client.connect(server.port)
    with client.sock:
        client.say(f"MAIL FROM:<s{number}@far.example>")
        return client.say("RCPT TO:<postmaster@example.test>")[:3]


def _kill(server: RealServer, name: str) -> None:
    old = server.workers()[name]
    os.kill(old, signal.SIGKILL)
    server.until(lambda: server.workers().get(name) not in (None, old))


def test_killed_processes_forget_nobody_who_waits(server: RealServer) -> None:
    """Two processes on the same triplets, each killed in between: one first attempt each, and all get in."""
    assert {_ask(server, number) for number in range(SENDERS)} == {"451"}
    _kill(server, "mx/0")
    assert {_ask(server, number) for number in range(SENDERS)} <= {"451", "250"}
    _kill(server, "mx/1")
    with closing(SQLiteGreylist(server.data / FILE_NAME, busy_seconds=30.0)) as store:
        kept = store.triplets(limit=100)
        assert (len(kept), store.check()) == (SENDERS, [])
        last = max(each.memory.first_seen for each in kept)
    server.until(lambda: time.time() > last + DELAY)
    assert {_ask(server, number) for number in range(SENDERS)} == {"250"}
    with closing(SQLiteGreylist(server.data / FILE_NAME, busy_seconds=30.0)) as store:
        assert store.totals().passed == SENDERS
