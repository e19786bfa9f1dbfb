"""Clients that vanish at every step: nothing of them may be left, neither a task, nor a connection to a server."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.imap_server import ScriptedIMAP
from tests.attacks.raw import Raw
from tests.interop.patience import until
from tests.unit.service.gate import pop3_behind
from tests.unit.service.gate.smtp_behind import LISTED, Behind

from gatepost.testing.gate import RunningGates

CLIENTS = 25
_HELLO = b"EHLO a.example\r\n"
_MAIL = _HELLO + b"MAIL FROM:<a@far.example>\r\nRCPT TO:<b@near.example>\r\n"
# What is said before the client is gone; nothing of it is answered by a server that is silent.
SAID: dict[str, tuple[bytes, ...]] = {
    "smtp": (
        b"",
        b"EHL",
        _HELLO,
        _HELLO + b"VRFY x\r\n",
        _MAIL,
        _MAIL + b"DATA\r\n",
        _MAIL + b"DATA\r\nx\r\n" + b"y" * 300_000,
        _MAIL + b"DATA\r\nx\r\n.\r\n",
        _MAIL + b"BDAT 9000\r\nx",
        _HELLO + b"AUTH LOGIN\r\n",
        _HELLO + b"RSET\r\n" * 5000,
        _HELLO + b"STARTTLS\r\n",
        _HELLO + b"QUIT\r\n",
    ),
    "pop3": (
        b"",
        b"CAP",
        b"CAPA\r\n",
        b"USER ann\r\nPASS secret\r\n",
        b"USER ann\r\nPASS secret\r\nRETR 1\r\n",
        b"AUTH PLAIN\r\n",
    ),
    "imap": (
        b"",
        b"a NO",
        b"a CAPABILITY\r\n",
        b"a LOGIN ann secret\r\n",
        b"a LOGIN {3}\r\n",
        b"a NOOP\r\n" * 5000,
        b"a LOGIN a b\r\nb APPEND x {100000+}\r\nxx",
        b"a LOGIN a b\r\nb IDLE\r\n",
    ),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def servers(stack: ExitStack, protocol: str, *, silent: bool) -> str:
    """A server, which says nothing but its greeting and its list where it is silent; its name."""
    if protocol == "smtp":
        silences = ("MAIL", "VRFY", "AUTH", "RSET") if silent else ()
        return stack.enter_context(Behind((*LISTED, "AUTH LOGIN"), dict.fromkeys(silences, b""))).name
    if protocol == "pop3":
        return stack.enter_context(pop3_behind.Behind(dict.fromkeys(("PASS", "AUTH") if silent else (), b""))).name
    answers = dict.fromkeys((b"LOGIN", b"NOOP") if silent else (), b"")
    return f"127.0.0.1:{stack.enter_context(ScriptedIMAP(answers)).port}"


def tasks(gates: RunningGates) -> int:
    """Tasks in the loop of the gates."""
    found: list[int] = []
    done = threading.Event()
    loop = gates._loop
    assert loop is not None

    def count() -> None:
        found.append(len(asyncio.all_tasks(loop)))
        done.set()

    loop.call_soon_threadsafe(count)
    assert done.wait(20)
    return found[0]


def descriptors() -> int:
    """Of this process, in which the servers are, too."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("protocol", SAID)
def test_nothing_is_left_of_clients_that_vanish(
    tmp_path: Path, stack: ExitStack, protocol: str, reset: bool, silent: bool
) -> None:
    """After many of them, at every step, there are as many tasks and descriptors as before the first."""
    name = servers(stack, protocol, silent=silent)
    table = {"name": "front", "protocol": protocol, "backend": "mail", "mode": "refuse"}
    backend = {"name": "mail", "servers": [name], "health_every": "1h", "reply_timeout": "2s", "connections": 2000}
    gates = stack.enter_context(RunningGates(tmp_path, [table], [backend], limits={"connections_per_address": 1000}))
    before = (tasks(gates), descriptors())
    for said in SAID[protocol]:
        clients = [Raw(gates.port("front"), greeted=False) for _ in range(CLIENTS)]
        for client in clients:
            client.send(said)
            if reset:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    def settled() -> bool:
        return tasks(gates) <= before[0] and descriptors() <= before[1]

    until(settled, what="everything is as before", seconds=60, log=lambda: f"{before} {tasks(gates)} {descriptors()}")
