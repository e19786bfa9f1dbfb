"""Invariant: whatever is written to the control socket or to the page of metrics, nothing escapes, a request has one
answer in its form, and no more than a request is held."""

from __future__ import annotations

import json
import re
import selectors
import socket

from fuzz.measure import held
from fuzz.origins import plan, seeds
from fuzz.words import ENDS, JSON

from gatepost.observe.page import Answer, _response
from gatepost.serve.control import Connection, ControlSocket, Message

WORDS = (
    *JSON, *ENDS, b'"command":', b'{"command":"status"}\n', b"GET /metrics HTTP/1.1\r\n\r\n", b"HEAD /", b" HTTP/1.1",
    b"Host: x\r\n",
)  # fmt: skip
SEEDS = seeds(
    b'{"command": "status"}\n',
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"[" * 2000 + b"\n",
    b'{"command": 1e999}\n',
    choices=2,
)
STATUS = re.compile(rb"HTTP/1\.1 [2-5][0-9][0-9] [A-Za-z ]+\r\n(?:[!-~]+: [ -~]*\r\n)+\r\n", re.DOTALL)


class Control:
    """In place of the socket's own: takes requests and answers them."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.connections: set[Connection] = set()

    def handle(self, connection: Connection, command: str, message: Message) -> None:
        """As the supervisor does."""
        connection.answer({"ok": True, "command": command, "keys": sorted(map(str, message))})


def control(words: bytes) -> None:
    """One request, at once."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stand_in = Control()
    with ours, theirs, stand_in.selector:
        connection = Connection(stand_in, ours)  # type: ignore[arg-type]
        stand_in.selector.register(ours, selectors.EVENT_READ)
        theirs.settimeout(5)
        theirs.sendall(words[:60000])
        theirs.shutdown(socket.SHUT_WR)
        while ours.fileno() >= 0 and connection.deadline is not None and ours in stand_in.selector.get_map():
            connection.readable()
            assert held(connection._received) <= 1 << 17
        said = b""
        while chunk := theirs.recv(65536):
            said += chunk
    assert not said or json.loads(said)["ok"] in (True, False)


def page(words: bytes) -> None:
    """The head of a request."""

    def answer(path: str) -> Answer:
        return (200, "text/plain", b"x") if path == "/metrics" else (404, "text/plain", b"no")

    assert STATUS.match(_response(words, answer))


def target(data: bytes) -> None:
    """The one or the other."""
    told = plan(data, 2)
    page(told.words) if told.choice else control(told.words)


_ = ControlSocket
