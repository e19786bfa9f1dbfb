"""The two sessions of an SMTP gate: modes, lists, the way into TLS, the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import LISTED, Behind
from tests.unit.service.gate.smtp_gate import LETTER, another_authority, envelope, gate, hello, secured, send


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_gate_adds_starttls_to_a_server_without_it(tmp_path: Path, stack: ExitStack) -> None:
    """The message goes through TLS to the gate, and its answer is the server's own, word for word."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        listed = hello(client)
        assert b"STARTTLS" in listed
        assert client.say(b"STARTTLS").startswith(b"220")
        client.start_tls(front.ca_file)
        assert b"STARTTLS" not in hello(client)
        assert send(client) == b"250 2.0.0 taken"
        assert client.say(b"QUIT").startswith(b"221")
    (session,) = behind.finished(1)
    assert behind.messages == [b"Subject: hello\r\n\r\nhello"]
    assert session.lines == [
        b"EHLO client.example", b"MAIL FROM:<ann@far.example>", b"RCPT TO:<bob@near.example>", b"DATA", b"QUIT",
    ]  # fmt: skip
    assert front.total("gate_messages_total", listener="front") == 1


def test_nothing_is_dialled_before_a_message_is_begun_in_the_clear(tmp_path: Path, stack: ExitStack) -> None:
    """EHLO is answered from what the check learned, and the session that becomes private begins a connection anew."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    checks = len(behind.connections)
    with Raw(front.port("front")) as client:
        listed = hello(client)
        assert {b"8BITMIME", b"DSN", b"CHUNKING", b"SMTPUTF8", b"ENHANCEDSTATUSCODES"} <= set(listed)
        assert len(behind.connections) == checks
        client.say(b"STARTTLS")
        client.start_tls(front.ca_file)
        assert len(behind.connections) == checks
        hello(client)
        assert len(behind.connections) == checks + 1


def test_list_is_what_both_can_do(tmp_path: Path, stack: ExitStack) -> None:
    """What the server does not list is not listed, nor what the gate does not know; sizes are the smaller of both."""
    behind = stack.enter_context(
        Behind(("8BITMIME", "SIZE 5000", "XWHATEVER", "ETRN", "AUTH PLAIN SCRAM-SHA-256-PLUS"))
    )
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        assert hello(client) == [b"PIPELINING", b"SIZE 5000", b"STARTTLS", b"8BITMIME", b"LIMITS RCPTMAX=1000"]
        assert client.say(b"MAIL FROM:<a@b> RET=FULL").startswith(b"555")
        assert client.say(b"MAIL FROM:<a@b> SMTPUTF8").startswith(b"555")
        assert client.say(b"MAIL FROM:<a@b> SIZE=5001").startswith(b"552")
        assert client.say(b"AUTH PLAIN AGEAYg==").startswith(b"502")
        client.say(b"STARTTLS")
        client.start_tls(front.ca_file)
        assert hello(client) == [b"PIPELINING", b"SIZE 5000", b"AUTH PLAIN", b"8BITMIME", b"LIMITS RCPTMAX=1000"]


def test_refuse_hides_starttls_and_passes_logins_in_the_clear(tmp_path: Path, stack: ExitStack) -> None:
    """The operator has chosen the clear: what the server lists is listed."""
    behind = stack.enter_context(Behind((*LISTED, "AUTH PLAIN"), {"AUTH": b"235 2.7.0 ok\r\n"}, starttls=True))
    front = stack.enter_context(gate(tmp_path, behind, mode="refuse"))
    with Raw(front.port("front")) as client:
        listed = hello(client)
        assert b"STARTTLS" not in listed and b"AUTH PLAIN" in listed
        assert client.say(b"STARTTLS").startswith(b"502")
        assert client.say(b"AUTH PLAIN AGFubgBwdw==") == b"235 2.7.0 ok"
        assert send(client) == b"250 2.0.0 taken"


def test_required_tls_is_required(tmp_path: Path, stack: ExitStack) -> None:
    """Nothing reaches the server before it."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, starttls="require"))
    with Raw(front.port("front")) as client:
        hello(client)
        assert client.say(b"MAIL FROM:<a@b>").startswith(b"530 5.7.0")
        assert client.say(b"XCLIENT ADDR=192.0.2.1").startswith(b"530")
        client.say(b"STARTTLS")
        client.start_tls(front.ca_file)
        hello(client)
        assert send(client) == b"250 2.0.0 taken"
    assert len(behind.sessions) == 1


def test_certificate_that_is_required_is_required(tmp_path: Path, stack: ExitStack) -> None:
    """For mail and for logins, as at a listener."""
    behind = stack.enter_context(Behind((*LISTED, "AUTH PLAIN"), {"AUTH": b"235 2.7.0 ok\r\n"}))
    tls = {"client_certificate": "require", "client_ca": another_authority(tmp_path)}
    front = stack.enter_context(gate(tmp_path, behind, settings={"tls": tls}))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        assert client.say(b"MAIL FROM:<a@b>").startswith(b"554 5.7.0")
        assert client.say(b"AUTH PLAIN AGFubgBwdw==").startswith(b"554 5.7.0")
    assert behind.sessions == []


def test_pass_goes_on_reading_where_the_server_refuses(tmp_path: Path, stack: ExitStack) -> None:
    """Its refusal is the client's; greylisting goes on, and so do messages."""
    behind = stack.enter_context(Behind(answers={"STARTTLS": b"454 4.7.0 not today\r\n"}, starttls=True))
    front = stack.enter_context(gate(tmp_path, behind, mode="pass"))
    with Raw(front.port("front")) as client:
        assert b"STARTTLS" in hello(client)
        assert client.say(b"STARTTLS") == b"454 4.7.0 not today"
        assert send(client) == b"250 2.0.0 taken"


def test_pass_lists_starttls_when_the_server_does(tmp_path: Path, stack: ExitStack) -> None:
    """And refuses it when it does not."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, mode="pass"))
    with Raw(front.port("front")) as client:
        assert b"STARTTLS" not in hello(client)
        assert client.say(b"STARTTLS").startswith(b"502")


def test_pass_lets_the_clients_tls_through(tmp_path: Path, stack: ExitStack) -> None:
    """The certificate that the client sees is the server's own."""
    behind = stack.enter_context(Behind(starttls=True))
    ca_file = behind.tls(tmp_path)
    front = stack.enter_context(gate(tmp_path, behind, mode="pass"))
    with Raw(front.port("front")) as client:
        secured(client, ca_file)
        assert send(client) == b"250 2.0.0 taken"
        assert client.say(b"QUIT") == b"221 bye"
    assert [each.private for each in behind.finished(1)] == [True]


def test_gate_that_stops_lets_a_message_finish(tmp_path: Path, stack: ExitStack) -> None:
    """Who is idle is told at once, who sends hears the answer first."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    silent, idle, busy = (stack.enter_context(Raw(front.port("front"))) for _ in range(3))
    hello(idle)
    hello(busy)
    envelope(busy)
    busy.say(b"DATA")
    front.drain()
    assert silent.reply().startswith(b"421 4.3.2")
    assert idle.reply().startswith(b"421 4.3.2")
    assert busy.say(LETTER) == b"250 2.0.0 taken"
    assert busy.reply().startswith(b"421 4.3.2")
    assert behind.messages == [LETTER[:-3]]
