"""The server behind an SMTP gate: reached, told of the client, and lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import LISTED, Behind
from tests.unit.service.gate.smtp_gate import another_authority, gate, hello, secured, send


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_server_that_closes_says_so_to_the_client(tmp_path: Path, stack: ExitStack) -> None:
    """A 421 of the server is passed on, and ends the session."""
    behind = stack.enter_context(Behind(answers={"MAIL": b"!421 4.3.2 closing\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        hello(client)
        assert client.say(b"MAIL FROM:<a@b>") == b"421 4.3.2 closing"
        assert client.rest() == b""


def test_server_that_is_gone_is_a_421(tmp_path: Path, stack: ExitStack) -> None:
    """In the middle of a transaction."""
    behind = stack.enter_context(Behind(answers={"RCPT": b"!"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        hello(client)
        client.say(b"MAIL FROM:<a@b>")
        assert client.say(b"RCPT TO:<a@b>").startswith(b"421 4.4.2")


def test_no_server_at_all_is_said_and_closed(tmp_path: Path, stack: ExitStack) -> None:
    """At the greeting."""
    behind = stack.enter_context(Behind())
    behind.close()
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front"), greeted=False) as client:
        assert client.rest().startswith(b"421 4.3.2")


def test_server_that_refuses_us_is_passed_on(tmp_path: Path, stack: ExitStack) -> None:
    """In answer to what made us dial."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    behind.answers["greeting"] = b"554 5.7.1 not from you\r\n"
    with Raw(front.port("front")) as client:
        hello(client)
        assert client.say(b"MAIL FROM:<a@b>") == b"554 5.7.1 not from you"
        assert client.say(b"QUIT").startswith(b"221")


def test_server_that_closes_between_messages_is_dialled_again(tmp_path: Path, stack: ExitStack) -> None:
    """The client need not know."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        behind.end = b"!250 2.0.0 taken\r\n"
        assert send(client) == b"250 2.0.0 taken"
        behind.finished(1)
        behind.end = b"250 2.0.0 taken\r\n"
        assert send(client) == b"250 2.0.0 taken"
    assert len(behind.messages) == 2


def test_server_that_knows_no_ehlo_is_served_mail(tmp_path: Path, stack: ExitStack) -> None:
    """HELO is said to it; nothing is listed for it."""
    behind = stack.enter_context(Behind(answers={"EHLO": b"500 what\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        assert hello(client) == [b"PIPELINING", b"SIZE 52428800", b"STARTTLS", b"LIMITS RCPTMAX=1000"]
        assert send(client) == b"250 2.0.0 taken"


def test_gate_encrypts_anew(tmp_path: Path, stack: ExitStack) -> None:
    """With STARTTLS behind, verified; the list is the one inside TLS."""
    behind = stack.enter_context(Behind(("8BITMIME",), starttls=True, private=("8BITMIME", "DSN")))
    ca_file = behind.tls(tmp_path)
    front = stack.enter_context(gate(tmp_path, behind, backend={"tls": "starttls", "ca": ca_file}))
    with Raw(front.port("front")) as client:
        assert b"DSN" in secured(client, front.ca_file)
        assert send(client) == b"250 2.0.0 taken"
    assert [each.private for each in behind.finished(1)] == [True]


def test_server_that_lists_no_starttls_gets_nothing(tmp_path: Path, stack: ExitStack) -> None:
    """Where the backend is to have TLS, a server without it is down."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, backend={"tls": "starttls", "level": "encrypt"}))
    with Raw(front.port("front"), greeted=False) as client:
        assert client.rest().startswith(b"421 4.3.2")
    assert behind.sessions == []


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_server_with_tls_of_its_own_is_verified(tmp_path: Path, stack: ExitStack, tls: str) -> None:
    """With another authority's certificate it gets nothing."""
    behind = Behind(starttls=tls == "starttls", implicit=tls == "implicit")
    ca_file = behind.tls(tmp_path)
    stack.enter_context(behind)
    for directory, trusted in (("right", True), ("wrong", False)):
        folder = tmp_path / directory
        folder.mkdir()
        ca = ca_file if trusted else another_authority(folder)
        with gate(folder, behind, backend={"tls": tls, "ca": ca}) as front:
            with Raw(front.port("front"), greeted=trusted) as client:
                if trusted:
                    hello(client)
                    assert send(client) == b"250 2.0.0 taken"
                else:
                    assert client.rest().startswith(b"421 4.3.2")
    assert len(behind.messages) == 1


def test_server_is_told_the_client_by_xclient(tmp_path: Path, stack: ExitStack) -> None:
    """Before anything else, and hello again: the server's session is the client's."""
    behind = stack.enter_context(Behind((*LISTED, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN")))
    front = stack.enter_context(gate(tmp_path, behind, backend={"client": "xclient"}))
    with Raw(front.port("front"), source="127.0.0.9") as client:
        port = client.plain.getsockname()[1]
        secured(client, front.ca_file)
        assert send(client) == b"250 2.0.0 taken"
        client.say(b"QUIT")
    (session,) = behind.finished(1)
    assert session.lines[:3] == [
        b"EHLO client.example",
        b"XCLIENT NAME=[UNAVAILABLE] ADDR=127.0.0.9 PORT=%d PROTO=ESMTP HELO=client.example LOGIN=[UNAVAILABLE]" % port,
        b"EHLO client.example",
    ]


def test_server_that_takes_no_xclient_gets_no_mail(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would take every client for the gate, and may trust that more: its check finds it, and the log says why."""
    behind = stack.enter_context(Behind())
    with gate(tmp_path, behind, backend={"client": "xclient"}) as front:
        with Raw(front.port("front"), greeted=False) as client:
            assert client.rest().startswith(b"421 4.3.2")
    assert behind.messages == []
    log = capfd.readouterr().err
    assert "backend.up" not in log
    for event in ("backend.down", "gate.unavailable"):
        (line,) = (each for each in log.splitlines() if f" {event} " in each)
        assert behind.name in line
        assert "does not list XCLIENT" in line


def test_server_that_lists_no_xclient_any_more_gets_no_mail(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str]
) -> None:
    """Since its last check: it is out of use then, and the log says why."""
    behind = stack.enter_context(Behind((*LISTED, "XCLIENT ADDR")))
    with gate(tmp_path, behind, backend={"client": "xclient"}) as front:
        behind.listed = LISTED
        with Raw(front.port("front")) as client:
            hello(client)
            assert client.say(b"MAIL FROM:<a@b>").startswith(b"421 4.3.2")
    (line,) = (each for each in capfd.readouterr().err.splitlines() if " gate.unavailable " in each)
    assert f"{behind.name}: it does not list XCLIENT" in line


@pytest.mark.parametrize("greeting", [b"!", b"!what\r\n", b""], ids=["gone", "garbage", "silent"])
def test_next_server_serves_when_an_opening_fails(tmp_path: Path, stack: ExitStack, greeting: bytes) -> None:
    """Nothing of the client's was said by then: it hears nothing of it."""
    behind, other = (stack.enter_context(Behind()) for _ in range(2))
    backend = {"servers": [behind.name, other.name], "reply_timeout": "1s"}
    front = stack.enter_context(gate(tmp_path, behind, backend=backend))
    behind.answers["greeting"] = greeting
    for _ in range(2):
        with Raw(front.port("front")) as client:
            hello(client)
            assert send(client) == b"250 2.0.0 taken"
    assert (len(behind.messages), len(other.messages)) == (0, 2)


def test_server_that_refuses_xclient_refuses_the_client(tmp_path: Path, stack: ExitStack) -> None:
    """What it says is meant for the client that was told."""
    listed = (*LISTED, "XCLIENT ADDR")
    behind = stack.enter_context(Behind(listed, {"XCLIENT": b"550 5.7.1 not that one\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind, backend={"client": "xclient"}))
    with Raw(front.port("front")) as client:
        hello(client)
        assert client.say(b"MAIL FROM:<a@b>") == b"550 5.7.1 not that one"
    assert behind.sessions == []


def test_server_is_told_the_client_by_xforward(tmp_path: Path, stack: ExitStack) -> None:
    """Before each message."""
    behind = stack.enter_context(Behind((*LISTED, "XFORWARD NAME ADDR HELO SOURCE")))
    front = stack.enter_context(gate(tmp_path, behind, backend={"client": "xforward"}))
    with Raw(front.port("front")) as client:
        hello(client)
        send(client)
        send(client)
        client.say(b"QUIT")
    (session,) = behind.finished(1)
    told = b"XFORWARD NAME=[UNAVAILABLE] ADDR=127.0.0.1 HELO=client.example SOURCE=[UNAVAILABLE]"
    assert [line for line in session.lines if line.startswith(b"XF")] == [told, told]


@pytest.mark.parametrize("listed", [("XFORWARD ADDR",), ("XFORWARD",), ()])
def test_mail_goes_on_without_xforward(tmp_path: Path, stack: ExitStack, listed: tuple[str, ...]) -> None:
    """It is for the server's log: refused, with nothing to tell, or not listed."""
    behind = stack.enter_context(Behind(listed, {"XFORWARD": b"501 5.5.4 no\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind, backend={"client": "xforward"}))
    with Raw(front.port("front")) as client:
        hello(client)
        assert send(client) == b"250 2.0.0 taken"
