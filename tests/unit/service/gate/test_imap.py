"""IMAP sessions of a gate over real sockets: servers that come and go, clocks, pace, ends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.attacks.imap_client import RawIMAP
from tests.attacks.imap_server import Behind, ScriptedIMAP

from gatepost.testing.gate import RunningGates

GATES = (
    {"name": "front", "protocol": "imap", "backend": "mail"},
    {"name": "private", "protocol": "imap", "backend": "mail", "tls": "implicit"},
    {"name": "clear", "protocol": "imap", "backend": "mail", "mode": "refuse"},
    {"name": "pass", "protocol": "imap", "backend": "mail", "mode": "pass"},
)
LARGE = 24 << 20
Start = Callable[..., RunningGates]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts gates in front of a server."""
    with contextlib.ExitStack() as stack:

        def begin(server: ScriptedIMAP, limits: dict[str, object] | None = None, **backend: object) -> RunningGates:
            stack.enter_context(server)
            behind = {**server.backend, **backend}
            return stack.enter_context(RunningGates(tmp_path, GATES, [behind], limits=limits or {}))

        yield begin


def private(gates: RunningGates, *, login: bool = True) -> RawIMAP:
    """Somebody inside TLS."""
    client = RawIMAP(gates.port("private"), greeted=False)
    client.start_tls(gates.ca_file)
    client.greeting = client.reply()
    if login and client.greeting.startswith(b"* OK"):
        client.log_in()
    return client


def test_the_gate_greets_with_what_the_check_learned(start: Start) -> None:
    """Before TLS no server is asked: the list is that of the last check."""
    server = ScriptedIMAP(listed=b"IMAP4rev1 ID X-RARE AUTH=PLAIN COMPRESS=DEFLATE")
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        listed = b"[CAPABILITY IMAP4rev1 ID X-RARE STARTTLS LOGINDISABLED]"
        assert client.greeting == b"* OK %b gate.example.test IMAP ready" % listed


@pytest.mark.parametrize("gate", ["private", "clear"])
def test_a_server_greets_through_it(start: Start, gate: str) -> None:
    """Where the server is there from the first word, its greeting is the client's."""
    gates = start(ScriptedIMAP(greeting=b"* OK [CAPABILITY IMAP4rev1 STARTTLS ID] Hello there\r\n"))
    expected = b"* OK [CAPABILITY IMAP4rev1 ID] Hello there"
    with private(gates, login=False) if gate == "private" else RawIMAP(gates.port(gate)) as client:
        assert client.greeting == expected


def test_without_a_server_nobody_is_let_in(start: Start) -> None:
    """A goodbye with the reason, and no half-open session."""
    server = ScriptedIMAP(greeting=b"* BYE overloaded\r\n")
    gates = start(server)
    for gate in ("front", "clear"):
        with RawIMAP(gates.port(gate)) as client:
            assert client.greeting.startswith(b"* BYE [UNAVAILABLE] ")
            assert client.rest() == b""
    with private(gates, login=False) as client:
        assert client.greeting.startswith(b"* BYE [UNAVAILABLE] ")


def test_a_server_that_is_gone_when_the_client_comes_is_told(start: Start) -> None:
    """It was well when it was asked, and is not there any more."""
    server = ScriptedIMAP()
    gates = start(server)
    with RawIMAP(gates.port("front")) as client:
        assert client.greeting.startswith(b"* OK")
        server.close_listener()
        client.upgrade(gates.ca_file)
        assert client.reply().startswith(b"* BYE [UNAVAILABLE] ")
        assert client.rest() == b""


def test_a_server_that_has_changed_since_the_check_is_not_used(start: Start) -> None:
    """It is taken out of use, and the client hears a goodbye."""
    server = ScriptedIMAP()
    gates = start(server)
    server.greeting = b"* PREAUTH as you are\r\n"
    with RawIMAP(gates.port("clear")) as client:
        assert client.greeting.startswith(b"* BYE [UNAVAILABLE] ")
    with RawIMAP(gates.port("clear")) as client:
        assert client.greeting.startswith(b"* BYE [UNAVAILABLE] ")


def test_a_server_that_hangs_up_is_told(start: Start) -> None:
    """The client hears a goodbye, and the connection ends."""
    gates = start(ScriptedIMAP())
    with private(gates) as client:
        client.send(b"a NOOP\r\nb HANGUP\r\n")
        assert client.reply().startswith(b"a OK")
        assert client.reply().startswith(b"* BYE [UNAVAILABLE] ")
        assert client.rest() == b""


def test_a_server_that_breaks_off_in_a_literal_breaks_off_the_client(start: Start) -> None:
    """No word of ours stands where the rest of a message is due."""
    gates = start(ScriptedIMAP({b"HANGUP": b"* 1 FETCH (BODY[] {1000}\r\nhalf of it"}))
    with private(gates) as client:
        client.send(b"b HANGUP\r\n")
        assert client.rest() == b"* 1 FETCH (BODY[] {1000}\r\nhalf of it"


def test_a_server_that_says_goodbye_is_not_talked_over(start: Start) -> None:
    """Its own BYE is the last word."""
    gates = start(ScriptedIMAP({b"HANGUP": b"* BYE maintenance\r\n"}))
    with private(gates) as client:
        client.send(b"b HANGUP\r\n")
        assert client.rest() == b"* BYE maintenance\r\n"


def test_logout_ends_both_sides(start: Start) -> None:
    """The server's goodbye and its answer, and then the end."""
    server = ScriptedIMAP()
    gates = start(server)
    with private(gates) as client:
        client.send(b"a LOGOUT\r\n")
        assert client.rest() == b"* BYE bye\r\na OK done\r\n"
    assert server.heard().ended.wait(20)


def test_a_client_that_leaves_takes_its_server_along(start: Start) -> None:
    """A reset from the client ends the connection behind."""
    server = ScriptedIMAP()
    gates = start(server)
    client = private(gates)
    behind = server.heard()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert behind.ended.wait(20)


def test_what_was_asked_before_the_end_is_answered(start: Start) -> None:
    """A client that closes its side behind its last command still gets the answers."""
    gates = start(ScriptedIMAP())
    with RawIMAP(gates.port("clear")) as client:
        client.send(b"a LOGIN bob pw\r\nb NOOP\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"a OK in\r\nb OK done\r\n"


def test_a_server_that_does_not_answer_is_given_up(start: Start) -> None:
    """After reply_timeout the client hears why."""
    gates = start(ScriptedIMAP({b"NOOP": b""}), reply_timeout="4s")
    with private(gates) as client:
        client.send(b"a NOOP\r\n")
        assert client.reply() == b"* BYE [UNAVAILABLE] The server behind does not answer"


@pytest.mark.parametrize("gate", ["front", "private"])
def test_a_client_that_says_nothing_is_sent_away(start: Start, gate: str) -> None:
    """Before a login, with a word (RFC 9051 §5.4)."""
    gates = start(ScriptedIMAP(), limits={"command_timeout": "1s"})
    with private(gates, login=False) if gate == "private" else RawIMAP(gates.port(gate)) as client:
        assert client.greeting.startswith(b"* OK")
        assert client.reply().startswith(b"* BYE ")


def test_a_client_that_idles_is_not_sent_away(start: Start) -> None:
    """The clock of commands is not the clock of IDLE (RFC 9051 §5.4)."""
    server = ScriptedIMAP({b"IDLE": b"+ idling\r\n"})
    gates = start(server, limits={"command_timeout": "5s"})
    with private(gates) as client:
        assert client.say(b"i IDLE") == b"+ idling"
        with RawIMAP(gates.port("front")) as other:  # it takes as long as the clock of commands
            assert other.reply().startswith(b"* BYE ")
        server.heard(b"IDLE").send(b"* 5 EXISTS\r\ni OK done\r\n")
        assert client.reply() == b"* 5 EXISTS"


def test_a_drained_gate_lets_what_was_asked_be_answered(start: Start) -> None:
    """Who idles hears a goodbye at once, who waits for an answer behind it."""
    server = ScriptedIMAP({b"IDLE": b"+ idling\r\n", b"SLOW": b""})
    gates = start(server)
    with private(gates) as idle, private(gates) as busy, RawIMAP(gates.port("front")) as new:
        idle.say(b"i IDLE")
        busy.send(b"b SLOW\r\n")
        behind = server.heard(b"SLOW")
        gates.drain()
        assert idle.reply().startswith(b"* BYE [UNAVAILABLE] Shutting down")
        assert new.reply().startswith(b"* BYE [UNAVAILABLE] Shutting down")
        behind.send(b"b OK done\r\n")
        assert busy.reply() == b"b OK done"
        assert busy.reply().startswith(b"* BYE [UNAVAILABLE] Shutting down")


def test_a_failed_login_is_slowed_down(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    """As at a server of our own: the answer waits, and so does the next guess."""
    server = ScriptedIMAP({b"LOGIN": b"%TAG NO [AUTHENTICATIONFAILED] no\r\n"})
    gates = start(server, limits={"auth_failures": 1, "exempt": ["192.0.2.1"]})
    with private(gates, login=False) as client:
        client.send(b"a LOGIN bob one\r\nb LOGIN bob two\r\n")
        assert b"two" not in server.heard(b"one").heard
        assert client.reply().startswith(b"a NO")
    assert "delay=" in capfd.readouterr().err


def test_a_large_message_comes_at_the_clients_pace(start: Start) -> None:
    """The server is slowed down when the client takes nothing, and every octet arrives."""
    said = threading.Event()

    def pour(behind: Behind) -> None:
        behind.send(b"* 1 FETCH (BODY[] {%d}\r\n" % LARGE)
        piece = bytes(range(256)) * 256
        for _ in range(LARGE // len(piece)):
            behind.send(piece)
        behind.send(b")\r\n")
        said.set()
        behind.more()

    gates = start(ScriptedIMAP(takes=pour))
    with private(gates) as client:
        assert not said.is_set()  # neither sockets nor gate hold that much
        expected = b"* 1 FETCH (BODY[] {%d}\r\n" % LARGE + bytes(range(256)) * (LARGE // 256) + b")\r\n"
        got = bytearray(client.buffer)
        while len(got) < len(expected):
            got += client.sock.recv(1 << 20)
        assert got == expected


def test_a_large_message_goes_at_the_servers_pace(start: Start) -> None:
    """The client is slowed down when the server takes nothing, and every octet arrives."""
    go = threading.Event()
    sizes: list[int] = []

    def stall(behind: Behind) -> None:
        go.wait(60)
        total = 0
        while total < LARGE and (data := behind.sock.recv(1 << 20)):
            total += len(data)
        sizes.append(total)
        behind.send(b"x OK stored\r\n")
        behind.more()

    gates = start(ScriptedIMAP(takes=stall))
    with private(gates) as client:
        content = bytes(range(256)) * (LARGE // 256)
        head = b"x APPEND INBOX {%d+}\r\n" % LARGE
        client.sock.settimeout(1.0)
        sent = 0
        data = memoryview(head + content + b"\r\n")
        with contextlib.suppress(TimeoutError):
            while sent < len(data):
                sent += client.sock.send(data[sent : sent + 16384])
        assert sent < len(data)  # somebody said stop
        go.set()
        client.sock.settimeout(60.0)
        while sent < len(data):
            sent += client.sock.send(data[sent : sent + 16384])
        assert client.reply() == b"x OK stored"
    assert sizes[0] >= LARGE
