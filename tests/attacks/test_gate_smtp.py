"""Attacks on an SMTP gate, from both of its sides. The server behind it believes everything that reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.raw import Raw, hello_record
from tests.interop.patience import until
from tests.unit.service.gate.smtp_behind import LISTED, Behind

from gatepost.testing.gate import RunningGates

INJECTED = b"MAIL FROM:<attacker@evil.example>\r\n"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def gate(
    folder: Path,
    behind: Behind,
    *,
    backend: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    **keys: Any,
) -> RunningGates:
    table = {"name": "front", "protocol": "smtp", "backend": "mail", **keys}
    backends = [{"name": "mail", "servers": [behind.name], "health_every": "1h", **(backend or {})}]
    return RunningGates(folder, [table], backends, limits={"data_timeout": "20s", **(limits or {})})


def envelope(client: Raw, *, say_hello: bool = True) -> None:
    if say_hello:
        assert client.say(b"EHLO attacker.example").startswith(b"250")
    assert client.say(b"MAIL FROM:<ann@far.example>").startswith(b"250")
    assert client.say(b"RCPT TO:<bob@near.example>").startswith(b"250")


# Injection across the upgrade, from the client's side


@pytest.mark.parametrize("mode", ["terminate", "pass"])
@pytest.mark.parametrize("command", [b"STARTTLS\r\n", b"sTaRtTlS  \r\n"])
@pytest.mark.parametrize("residue", [INJECTED, b"EHLO evil\r\n" + INJECTED, b"M", b"\r\n", b"\0"])
def test_plaintext_behind_starttls_reaches_nobody(
    tmp_path: Path, stack: ExitStack, mode: str, command: bytes, residue: bytes
) -> None:
    """It is refused in place of the go-ahead, by the gate that ends TLS and by the one that passes it."""
    behind = stack.enter_context(Behind(starttls=True))
    behind.tls(tmp_path)
    front = stack.enter_context(gate(tmp_path, behind, mode=mode))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO attacker.example")
        client.send(command + residue)
        assert client.reply() == b"554 5.5.0 Command stream was not empty behind STARTTLS"
        assert client.rest() == b""
    assert not any(b"evil" in line for each in behind.connections for line in each.lines)
    assert front.total("plaintext_after_upgrade_total", side="server") == 1


@pytest.mark.parametrize("mode", ["terminate", "pass"])
def test_plaintext_in_a_later_segment_reaches_nobody(tmp_path: Path, stack: ExitStack, mode: str) -> None:
    """It fails the handshake, or never begins one."""
    behind = stack.enter_context(Behind(starttls=True))
    behind.tls(tmp_path)
    front = stack.enter_context(gate(tmp_path, behind, mode=mode))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO attacker.example")
        assert client.say(b"STARTTLS").startswith(b"220")
        client.send(INJECTED)
        client.rest()
    assert behind.sessions == []


def test_nothing_said_in_the_clear_is_known_to_the_private_sessions_server(tmp_path: Path, stack: ExitStack) -> None:
    """A transaction, a name and a recipient from before are with another connection, and that has ended."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO before.example")
        client.say(b"MAIL FROM:<before@evil.example>")
        client.say(b"RSET")
        assert client.say(b"STARTTLS").startswith(b"220")
        client.start_tls(front.ca_file)
        assert client.say(b"MAIL FROM:<a@b>").startswith(b"503")
        assert client.say(b"RCPT TO:<bob@near.example>").startswith(b"503")
        envelope(client)
        client.say(b"DATA")
        client.say(b"x\r\n.")
        client.say(b"QUIT")
    before, after = behind.finished(2)
    assert not any(b"DATA" in line for line in before.lines)
    assert not any(b"before" in line for line in after.lines)


def test_eager_hello_is_taken(tmp_path: Path, stack: ExitStack) -> None:
    """A ClientHello in the segment of STARTTLS is no injection."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"STARTTLS\r\n" + hello_record()[3])
        assert client.reply().startswith(b"220")
        assert (client.buffer or client.sock.recv(3))[:1] == b"\x16"


# Injection across the upgrade, from the server's side


@pytest.mark.parametrize("behind_go_ahead", [b"250 injected\r\n", b"2", b"\r\n"])
def test_reply_behind_the_servers_go_ahead_is_fatal(tmp_path: Path, stack: ExitStack, behind_go_ahead: bytes) -> None:
    """Towards a server that is to have TLS: nothing is said to it, and it is out of use."""
    behind = stack.enter_context(Behind(answers={"STARTTLS": b"220 go\r\n" + behind_go_ahead}, starttls=True))
    behind.tls(tmp_path)
    front = stack.enter_context(gate(tmp_path, behind, backend={"tls": "starttls", "level": "encrypt"}))
    with Raw(front.port("front"), greeted=False) as client:
        assert client.rest().startswith(b"421")
    assert behind.sessions == []


def test_reply_behind_the_go_ahead_of_a_server_in_pass_is_fatal(tmp_path: Path, stack: ExitStack) -> None:
    """The client is told nothing that could stand inside its TLS."""
    behind = stack.enter_context(Behind(answers={"STARTTLS": b"220 go\r\n250 injected\r\n"}, starttls=True))
    front = stack.enter_context(gate(tmp_path, behind, mode="pass"))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO attacker.example")
        client.send(b"STARTTLS\r\n")
        said = client.rest()
    assert said.startswith(b"421") and b"injected" not in said


# Smuggling


_ENDS = (
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\n", b"\r.\r\n", b"\n.\r", b"\r\n.\r", b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n", b"\r\n\0\0.\r\n", b"\n\0.\n", b"\r\0\n.\r\0\n",
)  # fmt: skip
_SMUGGLED = b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@near.example>\r\nDATA\r\nsmuggled\r\n"


@pytest.mark.parametrize("line_ends", ["strict", "normalise"])
@pytest.mark.parametrize("by", ["DATA", "BDAT", "BDAT as DATA"])
@pytest.mark.parametrize("end", _ENDS)
def test_odd_line_ends_smuggle_no_message(
    tmp_path: Path, stack: ExitStack, end: bytes, by: str, line_ends: str
) -> None:
    """What is one message to the gate is never two to a server that takes anything for an end."""
    listed = LISTED if by != "BDAT as DATA" else tuple(each for each in LISTED if each != "CHUNKING")
    behind = stack.enter_context(Behind(listed))
    front = stack.enter_context(gate(tmp_path, behind, limits={"line_ends": line_ends}))
    letter = b"Subject: first\r\n\r\nfirst" + end + _SMUGGLED
    with Raw(front.port("front")) as client:
        envelope(client)
        if by == "DATA":
            assert client.say(b"DATA").startswith(b"354")
            said = client.say(letter + b"\r\n.")
        else:
            client.send(b"BDAT %d LAST\r\n" % len(letter) + letter)
            said = client.reply()
        assert said[:3] in (b"250", b"550")
        envelope(client, say_hello=False)
        client.say(b"DATA")
        assert client.say(b"honest\r\n.").startswith(b"250")
        client.say(b"QUIT")
    behind.finished(1)
    assert len(behind.messages) == (2 if said.startswith(b"250") else 1)
    assert behind.messages[-1] == b"honest"
    assert not any(b"smuggled" in line or b"victim" in line for line in behind.said)


@pytest.mark.parametrize("chunk", [b"BDAT -1 LAST", b"BDAT 0x10", b"BDAT 99999999999999", b"BDAT", b"BDAT 5 FIRST"])
def test_chunk_that_nobody_can_count_ends_the_session(tmp_path: Path, stack: ExitStack, chunk: bytes) -> None:
    """What stands behind it is never read as commands."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        envelope(client)
        client.send(chunk + b"\r\n" + INJECTED)
        assert client.reply().startswith(b"501")
        assert client.rest() == b""
    behind.finished(1)
    assert not any(b"evil" in line for line in behind.said)


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<a@b\rRCPT TO:<x@y>>", b"MAIL FROM:<a@b>\nRCPT TO:<evil@y>", b"RCPT TO:<a\0b@c>", b"VRFY a\x85b",
        b"MAIL FROM:<a@b> ENVID=a+0D+0ARCPT", b'MAIL FROM:<"a\x1bb"@c>', "VRFY a\u2028b".encode(), b"NOOP \x7f",
    ],
)  # fmt: skip
def test_control_characters_in_commands_go_no_further(tmp_path: Path, stack: ExitStack, line: bytes) -> None:
    """One refusal, and the server hears none of it."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO attacker.example")
        client.say(b"MAIL FROM:<a@b>")
        assert client.say(line)[:1] == b"5"
        assert client.say(b"RSET").startswith(b"250")
        client.say(b"QUIT")
    behind.finished(1)
    assert behind.said == [b"MAIL FROM:<a@b>", b"RSET"]


# Whom a client says it is


@pytest.mark.parametrize("command", [b"XCLIENT ADDR=192.0.2.1", b"XFORWARD ADDR=192.0.2.1", b"xclient NAME=a LOGIN=b"])
def test_xclient_from_outside_is_refused(tmp_path: Path, stack: ExitStack, command: bytes) -> None:
    """It is not listed to strangers either, and many of it end the session."""
    behind = stack.enter_context(Behind((*LISTED, "XCLIENT ADDR", "XFORWARD ADDR")))
    front = stack.enter_context(gate(tmp_path, behind, xclient_from=["192.0.2.99"], backend={"client": "xclient"}))
    with Raw(front.port("front")) as client:
        assert b"XCLIENT" not in client.say(b"EHLO attacker.example")
        assert client.say(command).startswith(b"550 5.7.0")
        envelope(client, say_hello=False)
        for _ in range(30):
            if client.say(command) == b"":
                break
        assert client.rest() == b""
    behind.finished(1)
    assert not any(b"192.0.2.1" in line for each in behind.connections for line in each.lines)


@pytest.mark.parametrize(
    "words",
    [
        b"ADDR=1.2.3", b"ADDR=IPV6:fe80::1%25eth0", b"ADDR=192.0.2.1 ADDR=192.0.2.2", b"PORT=65536", b"PORT=-1",
        b"HELO=a+0Ab", b"NAME=a+20b", b"LOGIN=a+00b", b"WHO=me", b"ADDR", b"ADDR=", b"PROTO=HTTP", b"",
        b"LOGIN=" + b"a" * 256,
    ],
)  # fmt: skip
def test_malformed_xclient_of_a_proxy_is_refused(tmp_path: Path, stack: ExitStack, words: bytes) -> None:
    """And the session stays what it was."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, xclient_from=["127.0.0.1"]))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO proxy.example")
        assert client.say(b"XCLIENT " + words).startswith(b"501")
        assert client.say(b"MAIL FROM:<a@b>").startswith(b"250")


def test_what_a_proxy_told_does_not_cross_the_upgrade(tmp_path: Path, stack: ExitStack) -> None:
    """It was said in the clear: inside TLS the proxy is itself again."""
    behind = stack.enter_context(Behind((*LISTED, "XCLIENT ADDR LOGIN")))
    front = stack.enter_context(gate(tmp_path, behind, xclient_from=["127.0.0.1"], backend={"client": "xclient"}))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO proxy.example")
        assert client.say(b"XCLIENT ADDR=192.0.2.66 LOGIN=admin").startswith(b"220")
        client.upgrade(front.ca_file)
        envelope(client, say_hello=False)
        client.say(b"QUIT")
    behind.finished(1)
    told = [line for each in behind.sessions for line in each.lines if line.startswith(b"XCLIENT")]
    assert told == [b"XCLIENT ADDR=127.0.0.1 LOGIN=[UNAVAILABLE]"]


def test_commands_behind_xclient_are_not_the_told_clients(tmp_path: Path, stack: ExitStack) -> None:
    """A session begins anew with nothing in its buffer."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, xclient_from=["127.0.0.1"]))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO proxy.example")
        client.send(b"XCLIENT ADDR=192.0.2.66\r\nEHLO a\r\n" + INJECTED)
        assert client.reply().startswith(b"503 5.5.1")
        assert client.rest() == b""
    assert behind.sessions == []


def test_nobody_logs_in_with_the_gates_own_certificate(tmp_path: Path, stack: ExitStack) -> None:
    """The server knows one handshake, the gate's: EXTERNAL would make every client the gate."""
    behind = stack.enter_context(Behind((*LISTED, "AUTH EXTERNAL PLAIN"), {"AUTH": b"235 2.7.0 welcome\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        client.upgrade(front.ca_file)
        assert b"EXTERNAL" not in client.say(b"EHLO attacker.example")
        assert client.say(b"AUTH EXTERNAL =").startswith(b"504")
    assert not any(line.startswith(b"AUTH") for each in behind.connections for line in each.lines)


# Servers that break the protocol


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("MAIL", b"354 go on\r\n"), ("MAIL", b"250 ok\r\n250 too much\r\n"), ("RCPT", b"354 go on\r\n"),
        ("RCPT", b"250 ok\r\n2"), ("DATA", b"250 taken already\r\n"), ("DATA", b"354 go\r\n250 taken\r\n"),
        ("RCPT", b"250-a\r\n251 b\r\n"), ("RCPT", b"hello\r\n"), ("RCPT", b"250 " + b"a" * 20000 + b"\r\n"),
        ("RCPT", b"250-a\r\n" * 2000), ("RCPT", b"250 bare\n"), ("RCPT", b"!250-half"),
    ],
)  # fmt: skip
def test_server_that_breaks_the_protocol_gets_no_message(
    tmp_path: Path, stack: ExitStack, verb: str, answer: bytes
) -> None:
    """The client hears 421 or 451, and never a 250 for what it sent."""
    behind = stack.enter_context(Behind(answers={verb: answer}))
    front = stack.enter_context(gate(tmp_path, behind, backend={"reply_timeout": "20s"}))
    with Raw(front.port("front"), timeout=30) as client:
        client.say(b"EHLO a")
        client.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
        said = [client.reply() for _ in range(3)]
        if said[2].startswith(b"354"):
            said.append(client.say(b"x\r\n" * 1000 + b"."))
        assert next(each for each in said if each[:3] not in (b"250", b"354"))[:3] in (b"421", b"451")
    assert all(message == b"" or message.startswith(b"x") for message in behind.messages)
    assert front.total("gate_messages_total", listener="front") == 0


def test_answer_before_the_final_dot_is_no_answer_to_the_message(tmp_path: Path, stack: ExitStack) -> None:
    """A server that says 250 while the content comes has not taken the message."""
    behind = stack.enter_context(Behind(answers={"DATA": b"354 go\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))

    def early(_line: bytes) -> bytes:
        return b"354 go\r\n250 taken\r\n"

    behind.answers["DATA"] = early
    with Raw(front.port("front")) as client:
        envelope(client)
        said = client.say(b"DATA")
        if said.startswith(b"354"):
            said = client.say(b"x\r\n.")
        assert said[:3] in (b"421", b"451")


def test_silent_server_is_given_up(tmp_path: Path, stack: ExitStack) -> None:
    """After the backend's time for an answer."""
    behind = stack.enter_context(Behind(answers={"RCPT": b""}))
    front = stack.enter_context(gate(tmp_path, behind, backend={"reply_timeout": "1s"}))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO a")
        client.say(b"MAIL FROM:<a@b>")
        assert client.say(b"RCPT TO:<a@b>").startswith(b"421 4.4.2")


def test_early_words_of_the_server_are_no_reply(tmp_path: Path, stack: ExitStack) -> None:
    """What was said behind the last reply, later, does not answer the next command."""
    behind = stack.enter_context(Behind(answers={"MAIL": b"250 ok\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO a")
        client.say(b"MAIL FROM:<a@b>")
        until(lambda: len(behind._open) == 1, what="the check's connection is gone")
        (sock,) = behind._open
        sock.sendall(b"250 for a recipient that was not named yet\r\n")
        said = client.say(b"RCPT TO:<a@b>")
        assert said.startswith(b"421") or said == b"250 for a recipient that was not named yet"
        said = client.say(b"DATA")
        assert said == b"" or said.startswith((b"421", b"5"))


# Crowding


def test_flood_of_pipelined_commands_keeps_its_bounds(tmp_path: Path, stack: ExitStack) -> None:
    """Thousands of commands in one stream: each is answered in its turn, and an honest client beside it is served."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front"), timeout=60) as flood:
        flood.say(b"EHLO a")
        flood.say(b"VRFY first")
        flood.send(b"VRFY x\r\n" * 2000)
        with Raw(front.port("front"), timeout=60) as client:
            envelope(client)
            client.say(b"DATA")
            assert client.say(b"x\r\n.").startswith(b"250")
        assert [flood.reply()[:3] for _ in range(2000)] == [b"252"] * 2000


def test_overlong_line_is_one_error_and_its_tail_no_command(tmp_path: Path, stack: ExitStack) -> None:
    """However long it is."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO a")
        client.send(b"MAIL FROM:<" + b"a" * 3_000_000 + b"\rMAIL FROM:<evil@b>" + b"\r\nMAIL FROM:<a@b>\r\nQUIT\r\n")
        assert client.reply().startswith(b"500")
        assert client.reply().startswith(b"250")
    behind.finished(1)
    assert behind.said == [b"MAIL FROM:<a@b>"]
