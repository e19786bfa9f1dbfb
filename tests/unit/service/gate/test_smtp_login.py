"""Logins through an SMTP gate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import LISTED, Behind
from tests.unit.service.gate.smtp_gate import envelope, gate, secured, send


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _auth(line: bytes) -> bytes:
    return b"334 dXNlcg==\r\n" if line == b"AUTH LOGIN" else b"235 2.7.0 welcome\r\n"


def test_login_passes_opaque(tmp_path: Path, stack: ExitStack) -> None:
    """Challenges, responses and the verdict; nothing but the server decides."""
    behind = stack.enter_context(
        Behind((*LISTED, "AUTH LOGIN PLAIN"), {"AUTH": _auth, "*": b"501 5.7.0 as you wish\r\n"})
    )
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        assert b"AUTH LOGIN PLAIN" in secured(client, front.ca_file)
        assert client.say(b"AUTH LOGIN") == b"334 dXNlcg=="
        assert client.say(b"*").startswith(b"501")
        assert client.say(b"AUTH PLAIN AGFubgBwdw==") == b"235 2.7.0 welcome"
        assert client.say(b"AUTH PLAIN AGFubgBwdw==").startswith(b"503")
        assert client.say(b"MAIL FROM:<a@b> AUTH=ann@x.y").startswith(b"250")
        client.say(b"QUIT")
    (session,) = behind.finished(1)
    assert session.lines[1:5] == [b"AUTH LOGIN", b"*", b"AUTH PLAIN AGFubgBwdw==", b"MAIL FROM:<a@b> AUTH=ann@x.y"]


def test_refused_login_may_be_tried_again_a_few_times(tmp_path: Path, stack: ExitStack) -> None:
    """The server's words; after a few the session ends."""
    behind = stack.enter_context(Behind((*LISTED, "AUTH PLAIN"), {"AUTH": b"535 5.7.8 wrong\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        said = [client.say(b"AUTH PLAIN AGFubgBwdw==") for _ in range(3)]
        assert said == [b"535 5.7.8 wrong"] * 3
        assert client.reply().startswith(b"421")


def test_each_login_has_its_line_in_the_log(
    tmp_path: Path, stack: ExitStack, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who tries and who gets in; a server in trouble is nobody's guess, so nobody waits for it."""
    answers = iter([b"535 5.7.8 wrong\r\n", b"454 4.7.0 later\r\n", b"235 2.7.0 welcome\r\n"])
    behind = stack.enter_context(Behind((*LISTED, "AUTH PLAIN"), {"AUTH": lambda _: next(answers)}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        said = [client.say(b"AUTH PLAIN AGFubgBwdw==")[:3] for _ in range(3)]
        assert said == [b"535", b"454", b"235"]
        client.say(b"QUIT")
    lines = [line for line in capfd.readouterr().err.splitlines() if " auth." in line]
    assert [line.split(" auth.")[1].split()[0] for line in lines] == ["failed", "failed", "succeeded"]
    assert all(" rip=127.0.0.1 " in line and " user=ann " in f"{line} " for line in lines)
    assert " delay=0.0" in lines[1]


def test_login_ends_with_its_connection(tmp_path: Path, stack: ExitStack) -> None:
    """Where content breaks the connection to the server, a login made on it is gone, and so is the session."""
    behind = stack.enter_context(Behind((*LISTED, "AUTH PLAIN"), {"AUTH": b"235 2.7.0 ok\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        client.say(b"AUTH PLAIN AGFubgBwdw==")
        envelope(client)
        client.say(b"DATA")
        assert client.say(b"a\nb\r\n.").startswith(b"550 5.5.2")
        assert client.reply().startswith(b"421 4.4.2")
    assert behind.messages == []


def test_challenge_that_is_none_ends_the_session(tmp_path: Path, stack: ExitStack) -> None:
    """Nobody could pass it on."""
    behind = stack.enter_context(Behind((*LISTED, "AUTH LOGIN"), {"AUTH": b"334 say it!\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        assert client.say(b"AUTH LOGIN").startswith(b"421 4.4.2")


def test_who_has_logged_in_is_not_put_off(tmp_path: Path, stack: ExitStack) -> None:
    """Greylisting is for strangers."""
    behind = stack.enter_context(Behind((*LISTED, "AUTH PLAIN"), {"AUTH": b"235 2.7.0 ok\r\n"}))
    front = stack.enter_context(gate(tmp_path, behind, settings={"greylist": {"enabled": True, "delay": "1h"}}))
    with Raw(front.port("front")) as client:
        secured(client, front.ca_file)
        client.say(b"AUTH PLAIN AGFubgBwdw==")
        assert send(client) == b"250 2.0.0 taken"
