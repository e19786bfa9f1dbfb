"""Attacks on a POP3 gate, from both of its sides: nothing crosses an upgrade, and the two sides never lose step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.pop3_client import RawPOP3
from tests.attacks.raw import hello_record
from tests.interop.patience import until
from tests.unit.service.gate.pop3_behind import MESSAGE, Answer, Behind

from gatepost.testing.gate import RunningGates

INJECTED = b"USER attacker\r\nPASS secret\r\n"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def gate(folder: Path, behind: Behind, *, backend: dict[str, Any] | None = None, **keys: Any) -> RunningGates:
    table = {"name": "front", "protocol": "pop3", "backend": "mail", **keys}
    backends = [{"name": "mail", "servers": [behind.name], "health_every": "1h", **(backend or {})}]
    return RunningGates(folder, [table], backends)


def reader(stack: ExitStack, folder: Path, behind: Behind, **keys: Any) -> tuple[RunningGates, RawPOP3]:
    """A client that has logged in through STLS."""
    front = stack.enter_context(gate(folder, stack.enter_context(behind), **keys))
    client = stack.enter_context(RawPOP3(front.port("front")))
    client.upgrade(front.ca_file)
    assert client.log_in(b"ann", b"secret") == b"+OK Welcome"
    return front, client


def never_said(behind: Behind, words: bytes) -> bool:
    """Whether no server heard them, once every session is over."""
    until(lambda: all(each.ended for each in behind.connections), what="sessions end")
    return not any(words in line for each in behind.connections for line in each.lines)


# Injection across the upgrade, from the client's side


@pytest.mark.parametrize("mode", ["terminate", "pass"])
@pytest.mark.parametrize("command", [b"STLS\r\n", b"sTlS  \r\n"])
@pytest.mark.parametrize("residue", [INJECTED, b"NOOP\r\n", b"X", b"\r\n", b"\0", b"\x17\x03\x03\x00\x05"])
def test_plaintext_behind_stls_reaches_nobody(
    tmp_path: Path, stack: ExitStack, mode: str, command: bytes, residue: bytes
) -> None:
    """It is refused in place of the go-ahead, by the gate that ends TLS and by the one that passes it."""
    behind = stack.enter_context(Behind(starttls=True))
    behind.tls(tmp_path)
    front = stack.enter_context(gate(tmp_path, behind, mode=mode))
    with RawPOP3(front.port("front")) as client:
        client.send(command + residue)
        assert client.rest() == b"-ERR Command stream was not empty behind STLS\r\n"
    assert never_said(behind, b"attacker")
    assert front.total("plaintext_after_upgrade_total", side="server") == 1


def test_pipelining_across_stls_is_refused_whole(tmp_path: Path, stack: ExitStack) -> None:
    """What stood before STLS is answered, what stands behind is not read, and no handshake begins."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        client.send(b"USER ann\r\nSTLS\r\nCAPA\r\n")
        got = client.rest()
    assert got.startswith(b"-ERR [AUTH] ")
    assert got.endswith(b"\r\n-ERR Command stream was not empty behind STLS\r\n")
    assert got.count(b"\r\n") == 2


def test_user_given_in_the_clear_is_not_logged_in_inside_tls(tmp_path: Path, stack: ExitStack) -> None:
    """A name that was said before the upgrade is no part of a login after it."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        assert client.say(b"USER attacker").startswith(b"-ERR")
        client.upgrade(front.ca_file)
        assert client.say(b"PASS secret").startswith(b"-ERR Say USER first")
    assert never_said(behind, b"attacker")


@pytest.mark.parametrize("cut", [1, 5, 6, 100])
def test_eager_client_is_served_however_its_hello_is_cut(tmp_path: Path, stack: ExitStack, cut: int) -> None:
    """A ClientHello right behind STLS goes to the TLS engine, never to a parser."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    engine, incoming, outgoing, hello = hello_record()
    with RawPOP3(front.port("front")) as client:
        client.send(b"STLS\r\n" + hello[:cut])
        assert client.reply().startswith(b"+OK")
        client.send(hello[cut:])
        incoming.write(client.buffer + client.sock.recv(1 << 16))
        until(lambda: _finished(engine, incoming, outgoing, client), what="the handshake ends")
        engine.write(b"CAPA\r\n")
        client.send(outgoing.read())
        said = b""
        while b"\r\n.\r\n" not in said:
            incoming.write(client.sock.recv(1 << 16))
            said += _plain(engine)
    assert said.startswith(b"+OK")
    assert b"STLS" not in said


def _finished(engine: Any, incoming: Any, outgoing: Any, client: RawPOP3) -> bool:
    import ssl

    try:
        engine.do_handshake()
    except ssl.SSLWantReadError:
        incoming.write(client.sock.recv(1 << 16))
        return False
    client.send(outgoing.read())
    return True


def _plain(engine: Any) -> bytes:
    import ssl

    data = b""
    try:
        while piece := engine.read(1 << 16):
            data += piece
    except ssl.SSLWantReadError:
        pass
    return data


def test_plaintext_in_place_of_a_handshake_ends_the_connection(tmp_path: Path, stack: ExitStack) -> None:
    """In a later segment it reaches the TLS engine, and no answer in the clear comes."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        assert client.say(b"STLS").startswith(b"+OK")
        client.send(INJECTED)
        assert b"-ERR" not in client.rest()
    assert never_said(behind, b"attacker")
    assert front.total("plaintext_after_upgrade_total", side="server") == 1


# Injection across the upgrade, from the server's side


@pytest.mark.parametrize("injected", [b"+OK\r\n", b"+OK\r\nUSER\r\n.\r\n", b"\0", b"\x16\x03\x03"])
def test_words_behind_the_servers_go_ahead_are_refused(tmp_path: Path, stack: ExitStack, injected: bytes) -> None:
    """The gate as a client of the server takes nothing between the go-ahead and the handshake; it has no server."""
    behind = stack.enter_context(Behind({"STLS": b"+OK begin\r\n" + injected}, starttls=True))
    ca = behind.tls(tmp_path)
    front = stack.enter_context(gate(tmp_path, behind, backend={"tls": "starttls", "ca": str(ca)}))
    with RawPOP3(front.port("front"), greeted=False) as client:
        assert client.rest().startswith(b"-ERR [SYS/TEMP]")
    assert not any(each.private for each in behind.connections)


def test_server_that_does_not_offer_stls_gets_no_login(tmp_path: Path, stack: ExitStack) -> None:
    """Where the backend is to have TLS, a server whose STLS was stripped is down."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind, backend={"tls": "starttls", "level": "encrypt"}))
    with RawPOP3(front.port("front"), greeted=False) as client:
        assert client.rest().startswith(b"-ERR [SYS/TEMP]")
    assert never_said(behind, b"USER")


# A server that answers out of turn


@pytest.mark.parametrize(
    "answers",
    [
        {"USER": b"+OK\r\n+OK you are in\r\n"},
        {"PASS": b"+OK in\r\n+OK 1 100\r\n"},
        {"PASS": b"+OK in\r\n-ERR"},
    ],
    ids=["PASS is answered before it is asked", "STAT is", "half of an answer is"],
)
def test_answers_that_nobody_asked_for_end_the_session(
    tmp_path: Path, stack: ExitStack, answers: dict[str, Answer]
) -> None:
    """They are not taken for the answers to what comes next: no password is sent, nobody is logged in."""
    behind = stack.enter_context(Behind(answers))
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        client.upgrade(front.ca_file)
        client.send(b"USER ann\r\nPASS secret\r\nSTAT\r\n")
        got = client.rest()
    assert b"+OK you are in" not in got
    assert b"+OK 1 100" not in got
    assert got.endswith(b"\r\n")
    assert got.splitlines()[-1].startswith(b"-ERR [SYS/TEMP]")
    if "USER" in answers:
        assert never_said(behind, b"PASS")


@pytest.mark.parametrize("answers", [{"RETR": b"+OK\r\na\r\n.\r\n+OK 7 700\r\n"}, {"DELE": b"+OK\r\n+OK 7 700\r\n"}])
def test_second_answers_are_not_taken_for_the_next(
    tmp_path: Path, stack: ExitStack, answers: dict[str, Answer]
) -> None:
    """Behind a message, and behind a line."""
    _, client = reader(stack, tmp_path, Behind(answers))
    client.send(b"RETR 1\r\nDELE 1\r\nSTAT\r\n")
    assert b"7 700" not in client.rest()


def test_server_that_speaks_while_nothing_is_asked_is_left(tmp_path: Path, stack: ExitStack) -> None:
    """What it said in silence is no answer to the next command."""
    _, client = reader(stack, tmp_path, Behind({"NOOP": b"+OK\r\n+OK 7 700\r\n"}))
    client.send(b"NOOP\r\n")
    first = client.reply()
    assert first.startswith((b"+OK", b"-ERR [SYS/TEMP]"))
    client.send(b"STAT\r\n") if first.startswith(b"+OK") else None
    assert b"7 700" not in client.rest()


@pytest.mark.parametrize(
    "answer",
    [
        b"+OK " + b"x" * 1_000_000,
        b"+OK " + b"x" * 1_000_000 + b"\r\n",
        b"+OK 1\n+OK 2\r\n",
        b"+OK 1\r+OK 2\r\n",
        b"yes\r\n",
        b"+ \r\n",
        b"\r\n",
    ],
    ids=["a line without end", "a long line", "bare LF", "bare CR", "no status", "a challenge", "blank"],
)
def test_answer_that_is_none_ends_the_session(tmp_path: Path, stack: ExitStack, answer: bytes) -> None:
    """Nothing of it reaches the client."""
    _, client = reader(stack, tmp_path, Behind({"STAT": answer}))
    client.send(b"STAT\r\n")
    got = client.rest()
    assert got.startswith(b"-ERR [SYS/TEMP]")
    assert got.count(b"\r\n") == 1


def test_challenge_that_is_no_base64_ends_the_session(tmp_path: Path, stack: ExitStack) -> None:
    """The client's response to it would go nowhere."""
    behind = stack.enter_context(Behind({"AUTH": b"+ ***\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        client.upgrade(front.ca_file)
        client.send(b"AUTH LOGIN\r\n")
        assert client.rest().startswith(b"-ERR [SYS/TEMP]")


# Answers of several lines


@pytest.mark.parametrize(
    "trick",
    [b"a\n.\nb\r\n", b"a\n.\r\nb\r\n", b"a\r.\rb\r\n", b"a\r.\r\nb\r\n", b"a\r\n.\rb\r\n", b"a\r\n.\nb\r\n", b"\n.\n"],
    ids=["LF.LF", "LF.CRLF", "CR.CR", "CR.CRLF", "CRLF.CR", "CRLF.LF", "at once"],
)
def test_message_ends_where_crlf_dot_crlf_is_and_nowhere_else(tmp_path: Path, stack: ExitStack, trick: bytes) -> None:
    """What only looks like an end is content: the next answer is the next answer, for both sides alike."""
    raw = b"Subject: x\r\n\r\n" + trick + b"+OK 7 700\r\n"
    behind = Behind({"RETR": b"+OK\r\n" + raw + b".\r\n"})
    _, client = reader(stack, tmp_path, behind)
    client.send(b"RETR 1\r\nSTAT\r\n")
    wanted = b"+OK\r\n" + raw + b".\r\n" + b"+OK 1 %d\r\n" % len(MESSAGE)
    got = b""
    while len(got) < len(wanted):
        more = client.sock.recv(1 << 16)
        assert more, got
        got += more
    assert got == wanted


def test_answer_without_an_end_is_not_ended_by_the_gate(tmp_path: Path, stack: ExitStack) -> None:
    """The server's time runs out; the client sees the connection close inside the answer."""
    behind = Behind({"RETR": b"+OK\r\nSubject: x\r\n\r\nhalf\r\n"})
    _, client = reader(stack, tmp_path, behind, backend={"reply_timeout": "1s"})
    client.send(b"RETR 1\r\nSTAT\r\n")
    got = client.rest()
    assert got.startswith(b"+OK\r\nSubject: x\r\n\r\nhalf")
    assert b"\r\n.\r\n" not in got
    assert b"-ERR" not in got


def test_message_of_one_endless_line_flows(tmp_path: Path, stack: ExitStack) -> None:
    """10 MB without a line end are no reason to hold them, or to break."""
    behind = Behind(message=b"x" * 10_000_000 + b"\r\n")
    _, client = reader(stack, tmp_path, behind)
    client.send(b"RETR 1\r\n")
    assert client.reply().startswith(b"+OK")
    assert len(client.message()) == 10_000_002


# What a client may send


@pytest.mark.parametrize("line", [b"x" * 1_000_000, b"USER " + b"x" * 1_000_000, b"AUTH PLAIN " + b"A" * 1_000_000])
def test_long_lines_of_a_client_reach_no_server(tmp_path: Path, stack: ExitStack, line: bytes) -> None:
    """They are refused, and what follows is read as it is."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind))
    with RawPOP3(front.port("front")) as client:
        client.upgrade(front.ca_file)
        assert client.say(line).startswith(b"-ERR")
        assert client.log_in(b"ann", b"secret") == b"+OK Welcome"
    assert never_said(behind, b"xxxx")
    assert never_said(behind, b"AAAA")


@pytest.mark.parametrize("line", [b"RETR 1\nDELE 1", b"RETR 1\rDELE 1", b"RETR 1\0DELE 1", b"RETR -1", b"RETR 1 DELE"])
def test_one_line_of_a_client_is_at_most_one_command(tmp_path: Path, stack: ExitStack, line: bytes) -> None:
    """No line end of another kind, no NUL and no argument makes two of it at the server."""
    behind = Behind()
    _, client = reader(stack, tmp_path, behind)
    assert client.say(line).startswith(b"-ERR")
    client.close()
    assert never_said(behind, b"DELE")
    assert never_said(behind, b"RETR")
