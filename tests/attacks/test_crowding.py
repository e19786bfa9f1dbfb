"""The attacker takes places: connections that say nothing, half handshakes, dripping octets, unread replies."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.attacks.conftest import deliver
from tests.attacks.raw import Raw, hello_record

from gatepost.testing.server import MailServer


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """A server whose deadlines are short, and whose limits are low for everybody but 127.0.0.1."""
    limits = {
        "command_timeout": "1s", "data_timeout": "1s", "handshake_timeout": "1s", "session_timeout_before_auth": "2s",
        "connections_per_address": 3, "connection_rate_per_address": 8, "message_rate_per_address": 2,
    }  # fmt: skip
    with MailServer(tmp_path_factory.mktemp("impatient"), limits=limits) as server:
        yield server
        deliver(server)


def test_silent_client_is_told_and_left(impatient: MailServer) -> None:
    """Goal: hold a connection for ever by saying nothing."""
    with Raw(impatient.ports["mx"]) as client:
        assert client.rest().startswith(b"421 4.4.2")


def test_dripping_client_does_not_stretch_the_deadline(impatient: MailServer) -> None:
    """Goal: one octet now and then keeps a command open. The deadline is the command's, not each octet's."""
    with Raw(impatient.ports["mx"]) as client:
        client.sock.settimeout(0.2)
        answer, drops = b"", 0
        while not answer and drops < 50:
            drops += 1
            client.send(b"N")
            try:
                answer = client.sock.recv(1000)
            except TimeoutError:
                continue
        assert answer.startswith(b"421 4.4.2")


def test_dripping_content_is_no_progress(impatient: MailServer) -> None:
    """Goal: the same inside a message."""
    with Raw(impatient.ports["mx"]) as client:
        for line in (b"EHLO attacker.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>", b"DATA"):
            client.say(line)
        client.sock.settimeout(0.2)
        answer, drops = b"", 0
        while not answer and drops < 50:
            drops += 1
            client.send(b"x\r\n")
            try:
                answer = client.sock.recv(1000)
            except TimeoutError:
                continue
        assert answer.startswith(b"421 4.4.2")
    assert impatient.messages() == []


@pytest.mark.parametrize("how", ["nothing", "half a hello", "garbage", "a huge record", "gone"])
def test_handshake_that_goes_nowhere_ends(impatient: MailServer, how: str) -> None:
    """Goal: a handshake is held for ever, or brings the process down. No text is written, and others are served."""
    with Raw(impatient.ports["mx"]) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"STARTTLS").startswith(b"220")
        record = hello_record()[3]
        client.send(
            {"half a hello": record[:80], "garbage": b"\x99" * 200, "a huge record": b"\x16\x03\x01\xff\xff"}.get(
                how, b""
            )
        )
        if how == "gone":
            client.plain.shutdown(socket.SHUT_WR)
        deliver(impatient)
        answer = client.rest()
        assert answer[:1] in (b"", b"\x15")
        assert b"421" not in answer


def test_implicit_tls_port_waits_no_longer_than_the_handshake_may_take(impatient: MailServer) -> None:
    """Goal: idle connections on the port that is private from its first octet."""
    with Raw(impatient.ports["submissions"], greeted=False) as client:
        assert client.rest() == b""


def test_submission_has_to_log_in_soon(impatient: MailServer) -> None:
    """Goal: keep a connection open by NOOP for ever without logging in."""
    with Raw(impatient.ports["submission"]) as client:
        answer = client.say(b"EHLO attacker.example")
        for _ in range(100_000):
            answer = client.say(b"NOOP")
            if not answer.startswith((b"250", b"530")):
                break
        assert answer[:3] in (b"421", b"")


def test_address_has_a_bounded_number_of_connections(impatient: MailServer) -> None:
    """Goal: take all places from one address. The fourth is told why, and another address is served."""
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(Raw(impatient.ports["mx"], source="127.0.0.5"))
            assert client.greeting.startswith(b"220")
        fourth = stack.enter_context(Raw(impatient.ports["mx"], source="127.0.0.5"))
        assert fourth.greeting.startswith(b"421 4.7.0")
        other = stack.enter_context(Raw(impatient.ports["mx"], source="127.0.0.6"))
        assert other.greeting.startswith(b"220")


def test_address_has_a_bounded_rate_of_connections(impatient: MailServer) -> None:
    """Goal: many short connections."""
    greetings = []
    for _ in range(20):
        with Raw(impatient.ports["mx"], source="127.0.0.7") as client:
            greetings.append(client.greeting[:3])
            if client.greeting.startswith(b"220"):
                client.say(b"QUIT")
                client.rest()
    assert greetings[:8] == [b"220"] * 8
    assert b"421" in greetings


def test_address_has_a_bounded_rate_of_messages(impatient: MailServer) -> None:
    """Goal: many messages over one connection."""
    with Raw(impatient.ports["mx"], source="127.0.0.8") as client:
        client.say(b"EHLO attacker.example")
        answers = []
        for _ in range(10):
            answers.append(client.say(b"MAIL FROM:<a@b.example>")[:3])
            client.say(b"RSET")
        assert answers[:2] == [b"250"] * 2
        assert b"450" in answers


def test_client_that_never_reads_is_left(impatient: MailServer) -> None:
    """Goal: ask for replies without reading them, until the memory is full."""
    with Raw(impatient.ports["mx"]) as client:
        client.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sock.settimeout(5)
        sent = 0
        try:
            while sent < 200 << 20:
                client.send(b"NOOP\r\n" * 10_000)
                sent += 60_000
        except OSError:
            pass
        assert sent < 200 << 20
        deliver(impatient)


def test_client_that_never_reads_its_farewell_is_left(impatient: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a place for ever, by leaving the answers to a QUIT unread. What is not taken in time is dropped."""
    monkeypatch.setattr("gatepost.net.transport._FLUSH_SECONDS", 0.5)
    ended = impatient.total("smtp_sessions_total", listener="mx", tls="none")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with sock:
        sock.connect(("127.0.0.1", impatient.ports["mx"]))
        sock.settimeout(5)
        with contextlib.suppress(OSError):  # it may be cut off before that
            sock.sendall(b"EHLO x\r\n" * 8000 + b"QUIT\r\n")
        for _ in range(200):
            if impatient.total("smtp_sessions_total", listener="mx", tls="none") > ended:
                break
            deliver(impatient)
    assert impatient.total("smtp_sessions_total", listener="mx", tls="none") == ended + 1


def test_slow_header_does_not_hold_up_others(impatient: MailServer) -> None:
    """Goal: a header in thousands of chunks of one octet is copied and searched again for each of them."""
    with Raw(impatient.ports["mx"]) as client:
        for line in (b"EHLO attacker.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<alice@example.test>"):
            client.say(line)
        client.sock.settimeout(30)
        filler = b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 5000
        client.send(b"BDAT %d\r\n" % len(filler) + filler)
        assert client.reply().startswith(b"250")
        client.send(b"BDAT 1\r\nz" * 20_000)
        began = time.monotonic()
        deliver(impatient)
        assert time.monotonic() - began < 3
