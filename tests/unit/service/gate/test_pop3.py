"""POP3 through a gate: sessions over sockets, in the clear and inside TLS, to a server that does as it is told."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.pop3_client import RawPOP3
from tests.unit.service.gate.pop3_behind import LISTED, MESSAGE, Answer, Behind

from gatepost.testing.gate import RunningGates

EVERY = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def gate(folder: Path, behind: Behind, *, backend: dict[str, Any] | None = None, **keys: Any) -> RunningGates:
    """A gate called ``front`` before that server."""
    table = {"name": "front", "protocol": "pop3", "backend": "mail", **keys}
    backends = [{"name": "mail", "servers": [behind.name], "health_every": "1h", **(backend or {})}]
    return RunningGates(folder, [table], backends)


def listing(client: RawPOP3, line: bytes) -> list[bytes]:
    """A command and its answer of several lines."""
    assert client.say(line).startswith(b"+OK")
    return client.lines()


def content(client: RawPOP3, line: bytes) -> bytes:
    """A command and the octets of its answer behind the status line, as they are on the wire, end and all."""
    client.send(line + b"\r\n")
    assert client.reply().startswith(b"+OK")
    data, client.buffer = client.buffer, b""
    while not (b"\r\n" + data).endswith(b"\r\n.\r\n"):
        more = client.sock.recv(1 << 16)
        assert more, data[-80:]
        data += more
    return data


def secured(client: RawPOP3, ca_file: Path) -> list[bytes]:
    """Up to the list inside TLS."""
    assert client.say(b"STLS").startswith(b"+OK")
    client.start_tls(ca_file)
    return listing(client, b"CAPA")


def log_in(client: RawPOP3) -> bytes:
    assert client.say(b"USER ann").startswith(b"+OK")
    return client.say(b"PASS secret")


def reader(stack: ExitStack, folder: Path, behind: Behind, **keys: Any) -> RawPOP3:
    """A client that has logged in through STLS."""
    front = stack.enter_context(gate(folder, stack.enter_context(behind), **keys))
    client = stack.enter_context(RawPOP3(front.port("front")))
    secured(client, front.ca_file)
    assert log_in(client) == b"+OK Welcome"
    return client


# Lists, and the way in


def test_gate_adds_stls_to_a_server_without_it(tmp_path: Path, stack: ExitStack) -> None:
    """In the clear the list has STLS and no login; inside TLS it is what both can do, and no STLS."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        assert client.greeting.startswith(b"+OK ")
        clear = listing(client, b"CAPA")
        assert b"STLS" in clear
        assert not [line for line in clear if line.startswith((b"USER", b"SASL"))]
        assert client.say(b"USER ann").startswith(b"-ERR [AUTH]")
        private = secured(client, front.ca_file)
        assert sorted(private) == [b"PIPELINING", b"RESP-CODES", b"SASL PLAIN LOGIN", b"TOP", b"UIDL", b"USER"]
        assert client.say(b"STLS").startswith(b"-ERR")
        assert log_in(client) == b"+OK Welcome"
        assert client.say(b"QUIT") == b"+OK gone"
    (session,) = behind.finished()
    assert session.commands == [b"USER ann", b"PASS secret", b"QUIT"]


def test_nothing_is_dialled_before_the_client_is_private(tmp_path: Path, stack: ExitStack) -> None:
    """What is said in the clear reaches no server."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    asked = len(behind.connections)
    with RawPOP3(front.port("front")) as client:
        listing(client, b"CAPA")
        client.say(b"USER ann")
        assert client.say(b"QUIT").startswith(b"+OK")
    assert len(behind.connections) == asked


def test_gate_greets_at_once_inside_implicit_tls(tmp_path: Path, stack: ExitStack) -> None:
    """TLS from the first octet: a greeting, once there is a server."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, tls="implicit"))
    with RawPOP3(front.port("front"), greeted=False) as client:
        client.start_tls(front.ca_file)
        assert client.reply().startswith(b"+OK")
        assert log_in(client) == b"+OK Welcome"


def test_gate_speaks_stls_to_the_server(tmp_path: Path, stack: ExitStack) -> None:
    """Nothing but STLS is said in the clear behind the gate, and the server's certificate is checked."""
    behind = stack.enter_context(Behind(starttls=True))
    ca = behind.tls(tmp_path)
    client = stack.enter_context(ExitStack())
    front = client.enter_context(gate(tmp_path, behind, backend={"tls": "starttls", "ca": str(ca)}))
    with RawPOP3(front.port("front")) as raw:
        secured(raw, front.ca_file)
        assert log_in(raw) == b"+OK Welcome"
        raw.say(b"QUIT")
    (session,) = behind.finished()
    assert session.private
    assert session.lines[:3] == [b"CAPA", b"STLS", b"CAPA"]


def test_refuse_hides_stls_and_passes_logins_on(tmp_path: Path, stack: ExitStack) -> None:
    """The operator chose the clear: what the server lists, without STLS."""
    behind = stack.enter_context(Behind(starttls=True))
    front = stack.enter_context(gate(tmp_path, behind, mode="refuse"))
    with RawPOP3(front.port("front")) as client:
        listed = listing(client, b"CAPA")
        assert b"USER" in listed
        assert b"STLS" not in listed
        assert client.say(b"STLS").startswith(b"-ERR")
        assert log_in(client) == b"+OK Welcome"
        assert client.say(b"STAT") == b"+OK 1 %d" % len(MESSAGE)
        assert client.say(b"QUIT") == b"+OK gone"


def test_capabilities_that_change_the_conversation_are_hidden(tmp_path: Path, stack: ExitStack) -> None:
    """UTF8, LANG, XTND and the unknown are not listed, and refused; what is harmless is passed on as it is."""
    odd = ("UTF8 USER", "LANG", "XTND", "X-ODD", "EXPIRE 60", "LOGIN-DELAY 5", "IMPLEMENTATION behind-1")
    behind = stack.enter_context(Behind(listed=(*LISTED, *odd)))
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        listed = secured(client, front.ca_file)
        assert {b"EXPIRE 60", b"LOGIN-DELAY 5", b"IMPLEMENTATION behind-1"} <= set(listed)
        assert not [line for line in listed if line.startswith((b"UTF8", b"LANG", b"X"))]
        for command in (b"UTF8", b"LANG", b"XTND XMIT", b"APOP ann 0123456789abcdef0123456789abcdef"):
            assert client.say(command).startswith(b"-ERR")
    assert all(not session.commands for session in behind.finished(0))


# Logins


@pytest.mark.parametrize(
    "refusal",
    [
        b"-ERR [AUTH] Wrong",
        b"-ERR [IN-USE] Do you have another POP session running?",
        b"-ERR [SYS/TEMP] Later",
        b"-ERR [SYS/PERM] Never",
        b"-ERR [LOGIN-DELAY] minimum time between mail checks violation",
        b"-ERR just so",
        b"-ERR",
    ],
)
def test_refusals_of_a_login_are_the_servers(tmp_path: Path, stack: ExitStack, refusal: bytes) -> None:
    """Response code and text, word for word."""
    behind = stack.enter_context(Behind({"PASS": refusal + b"\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        secured(client, front.ca_file)
        assert log_in(client) == refusal


def test_password_arrives_as_it_was_given(tmp_path: Path, stack: ExitStack) -> None:
    """Blanks at its end and letters beyond ASCII are part of it."""
    behind = stack.enter_context(Behind({"PASS": b"+OK in\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        secured(client, front.ca_file)
        client.say(b"USER ann")
        assert client.say("PASS  ä b  ".encode()) == b"+OK in"
        client.say(b"QUIT")
    (session,) = behind.finished()
    assert "PASS  ä b  ".encode() in session.lines


def test_too_many_failed_logins_end_the_session(tmp_path: Path, stack: ExitStack) -> None:
    """The third is the last one."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        secured(client, front.ca_file)
        for _ in range(3):
            client.say(b"USER ann")
            assert client.say(b"PASS wrong") == b"-ERR [AUTH] Wrong"
        assert client.rest() == b"-ERR [AUTH] Too many failed logins\r\n"


def test_sasl_passes_opaque(tmp_path: Path, stack: ExitStack) -> None:
    """An initial response, challenges and responses; the verdict is the server's."""

    def step(line: bytes) -> bytes:
        if line.startswith(b"AUTH PLAIN"):
            return b"+OK [X] in\r\n" if line.endswith(base64.b64encode(b"\0ann\0secret")) else b"-ERR [AUTH] no\r\n"
        return b"+ " + base64.b64encode(b"Username:") + b"\r\n"

    answers: dict[str, Answer] = {
        "AUTH": step,
        base64.b64encode(b"ann").decode().upper(): b"+ " + base64.b64encode(bytes(range(256))) + b"\r\n",
        base64.b64encode(b"secret").decode().upper(): b"+OK welcome\r\n",
        "*": b"-ERR given up\r\n",
    }
    behind = stack.enter_context(Behind(answers))
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        secured(client, front.ca_file)
        assert client.say(b"AUTH PLAIN " + base64.b64encode(b"\0ann\0wrong")) == b"-ERR [AUTH] no"
        assert client.say(b"AUTH LOGIN") == b"+ " + base64.b64encode(b"Username:")
        assert client.say(b"*").startswith(b"-ERR")
        assert client.say(b"AUTH LOGIN") == b"+ " + base64.b64encode(b"Username:")
        assert client.say(base64.b64encode(b"ann")) == b"+ " + base64.b64encode(bytes(range(256)))
        assert client.say(base64.b64encode(b"secret")) == b"+OK welcome"
        assert client.say(b"AUTH EXTERNAL =").startswith(b"-ERR")
        assert client.say(b"STAT").startswith(b"+OK 1 ")
    (session,) = behind.finished()
    assert session.lines.count(b"*") == 1


# The maildrop


def test_commands_and_answers_pass(tmp_path: Path, stack: ExitStack) -> None:
    """Each command once, each answer the server's."""
    behind = Behind()
    client = reader(stack, tmp_path, behind)
    assert client.say(b"STAT") == b"+OK 1 %d" % len(MESSAGE)
    assert client.say(b"LIST 1") == b"+OK 1 %d" % len(MESSAGE)
    assert listing(client, b"LIST") == [b"1 %d" % len(MESSAGE)]
    assert client.say(b"UIDL 1") == b"+OK 1 uid-1"
    assert listing(client, b"UIDL") == [b"1 uid-1"]
    assert content(client, b"TOP 1 0") == b"Subject: one\r\n\r\n.\r\n"
    assert client.say(b"NOOP") == b"+OK still here"
    assert client.say(b"DELE 1") == b"+OK marked"
    assert client.say(b"RSET") == b"+OK unmarked"
    assert client.say(b"RETR x").startswith(b"-ERR")
    assert client.say(b"QUIT") == b"+OK gone"
    assert client.rest() == b""
    (session,) = behind.finished()
    assert session.commands[2:] == [
        b"STAT", b"LIST 1", b"LIST", b"UIDL 1", b"UIDL", b"TOP 1 0", b"NOOP", b"DELE 1", b"RSET", b"QUIT"
    ]  # fmt: skip


def test_pipelined_commands_are_answered_in_turn(tmp_path: Path, stack: ExitStack) -> None:
    """Many in one segment; the server gets one at a time."""
    client = reader(stack, tmp_path, Behind())
    client.send(b"NOOP\r\n" * 100 + b"UIDL 1\r\nQUIT\r\nSTAT\r\n")
    assert client.rest() == b"+OK still here\r\n" * 100 + b"+OK 1 uid-1\r\n+OK gone\r\n"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        MESSAGE,
        b".\r\n..\r\n...\r\n",
        b"\r\n\r\n",
        EVERY + b"\r\n",
        b"a\n.\nb\r.\rc\n.\r\nd\r\n",
        b"x" * 1_000_000 + b"\r\n",
        (b"." * 70 + b"\r\n") * 60_000,
    ],
    ids=["empty", "dots", "only dots", "blank", "every octet", "bare ends", "long line", "4 MB"],
)
def test_message_arrives_octet_for_octet(tmp_path: Path, stack: ExitStack, message: bytes) -> None:
    """Dots stuffed as the server stuffed them, line ends as they are, whatever the octets."""
    behind = Behind(message=message)
    client = reader(stack, tmp_path, behind)
    assert b"+OK here it is\r\n" + content(client, b"RETR 1") == behind.usual(b"RETR 1")
    assert client.say(b"STAT").startswith(b"+OK 1 ")


def test_negative_answers_to_the_maildrop_pass(tmp_path: Path, stack: ExitStack) -> None:
    """No such message; not all removed."""
    behind = Behind({"RETR": b"-ERR There's no message 7.\r\n", "QUIT": b"!-ERR [SYS/TEMP] some remain\r\n"})
    client = reader(stack, tmp_path, behind)
    assert client.say(b"RETR 7") == b"-ERR There's no message 7."
    assert client.say(b"QUIT") == b"-ERR [SYS/TEMP] some remain"
    assert client.rest() == b""


# A server that is down, or goes


def test_no_server_is_said_and_the_client_sent_away(tmp_path: Path, stack: ExitStack) -> None:
    """In the clear at once; the reason for the operator is in the log."""
    behind = stack.enter_context(Behind())
    behind.close()
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front"), greeted=False) as client:
        got = client.rest()
        assert got.startswith(b"-ERR [SYS/TEMP] ")
        assert got.count(b"\r\n") == 1


def test_server_that_goes_between_the_clear_and_tls_is_said(tmp_path: Path, stack: ExitStack) -> None:
    """The private session finds none."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        behind.close()
        assert client.say(b"STLS").startswith(b"+OK")
        client.start_tls(front.ca_file)
        assert client.reply().startswith(b"-ERR [SYS/TEMP] ")
        assert client.rest() == b""


@pytest.mark.parametrize("greeting", [b"!", b"!what\r\n", b""], ids=["gone", "garbage", "silent"])
def test_next_server_serves_when_an_opening_fails(tmp_path: Path, stack: ExitStack, greeting: bytes) -> None:
    """Nothing of the client's was said by then: it hears nothing of it."""
    behind, other = (stack.enter_context(Behind()) for _ in range(2))
    backend = {"servers": [behind.name, other.name], "reply_timeout": "1s"}
    front = stack.enter_context(gate(tmp_path, behind, backend=backend))
    behind.answers["greeting"] = greeting
    for _ in range(2):
        with RawPOP3(front.port("front")) as client:
            secured(client, front.ca_file)
            assert log_in(client) == b"+OK Welcome"
    assert (len(behind.sessions), len(other.finished(2))) == (0, 2)


@pytest.mark.parametrize("listed", [("TOP", "STLS"), ("TOP", "SASL EXTERNAL SCRAM-SHA-256-PLUS")])
def test_server_that_lists_no_login_is_said(
    tmp_path: Path, stack: ExitStack, listed: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    """What it does not list is not offered on its behalf, and a session that cannot come to a login is none."""
    behind = stack.enter_context(Behind(listed=listed))
    with gate(tmp_path, behind) as front, RawPOP3(front.port("front")) as client:
        assert client.say(b"STLS").startswith(b"+OK")
        client.start_tls(front.ca_file)
        assert client.rest().startswith(b"-ERR [SYS/PERM] ")
    log = capfd.readouterr().err
    assert f"{behind.name} lists no way to log in" in log
    assert 'outcome="server refused"' in log


def test_server_that_knows_no_capa_is_asked(tmp_path: Path, stack: ExitStack) -> None:
    """It can say itself whether it takes USER."""
    behind = stack.enter_context(Behind({"CAPA": b"-ERR what\r\n"}))
    with gate(tmp_path, behind) as front, RawPOP3(front.port("front")) as client:
        assert b"USER" in secured(client, front.ca_file)
        assert log_in(client) == b"+OK Welcome"


def test_client_that_leaves_behind_a_refused_login_is_named_so(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str]
) -> None:
    """A connection that was lost is something else."""
    behind = stack.enter_context(Behind({"PASS": b"-ERR [AUTH] Say STLS first\r\n"}))
    with gate(tmp_path, behind) as front:
        with RawPOP3(front.port("front")) as client:
            secured(client, front.ca_file)
            assert log_in(client) == b"-ERR [AUTH] Say STLS first"
        behind.finished()
    assert 'outcome="login refused"' in capfd.readouterr().err


def test_server_that_refuses_service_is_quoted(tmp_path: Path, stack: ExitStack) -> None:
    """Its own words, since the probe found it well."""
    greetings = iter([b"+OK\r\n"])
    behind = stack.enter_context(Behind({"greeting": lambda line: next(greetings, b"!-ERR [SYS/TEMP] full house\r\n")}))
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        assert client.say(b"STLS").startswith(b"+OK")
        client.start_tls(front.ca_file)
        assert client.rest() == b"-ERR [SYS/TEMP] full house\r\n"


def test_server_lost_between_answers_is_said(tmp_path: Path, stack: ExitStack) -> None:
    """The next command gets -ERR, and the session ends."""
    behind = Behind()
    client = reader(stack, tmp_path, behind)
    behind.hang_up()
    behind.finished()
    assert client.say(b"STAT").startswith(b"-ERR [SYS/TEMP] ")
    assert client.rest() == b""


def test_server_lost_in_a_message_leaves_it_without_an_end(tmp_path: Path, stack: ExitStack) -> None:
    """Nobody takes half a message for a whole one."""
    client = reader(stack, tmp_path, Behind({"RETR": b"!+OK\r\nSubject: half\r\n\r\nhalf\r\n"}))
    client.send(b"RETR 1\r\n")
    assert client.rest().rstrip(b"\r\n") == b"+OK\r\nSubject: half\r\n\r\nhalf"


def test_quit_that_is_not_answered_is_no_success(tmp_path: Path, stack: ExitStack) -> None:
    """It is not known what was deleted, and that is said."""
    client = reader(stack, tmp_path, Behind({"QUIT": b"!"}))
    assert client.say(b"DELE 1") == b"+OK marked"
    assert client.say(b"QUIT").startswith(b"-ERR [SYS/TEMP] ")


def test_client_that_leaves_deletes_nothing(tmp_path: Path, stack: ExitStack) -> None:
    """The server hears no QUIT."""
    behind = Behind()
    client = reader(stack, tmp_path, behind)
    assert client.say(b"DELE 1") == b"+OK marked"
    client.close()
    (session,) = behind.finished()
    assert b"QUIT" not in session.lines


def test_drain_ends_an_idle_session(tmp_path: Path, stack: ExitStack) -> None:
    """With -ERR [SYS/TEMP], so that the client comes again."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        secured(client, front.ca_file)
        assert log_in(client) == b"+OK Welcome"
        front.drain()
        assert client.rest().startswith(b"-ERR [SYS/TEMP] ")
