"""Attacks on a gate by the server behind it: it answers wrongly at every step; and a client wants it down for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.imap_client import RawIMAP
from tests.attacks.imap_server import ScriptedIMAP
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import Behind

from gatepost.testing.gate import RunningGates

ENVELOPE = (b"EHLO a.example", b"MAIL FROM:<a@far.example>", b"RCPT TO:<b@near.example>")
STEPS = {
    "EHLO": ENVELOPE[:1],
    "MAIL": ENVELOPE[:2],
    "RCPT": ENVELOPE,
    "DATA": (*ENVELOPE, b"DATA"),
    "end": (*ENVELOPE, b"DATA", b"x\r\n."),
    "BDAT": (*ENVELOPE, b"BDAT 3 LAST\r\nx\r\n"),
    "NOOP": (*ENVELOPE, b"NOOP"),
    "VRFY": (*ENVELOPE[:1], b"VRFY ann"),
}
# What a server says at a step; "!" in front: and hangs up.
WRONG: dict[str, bytes] = {
    "closes": b"!",
    "half a reply": b"!250 all is we",
    "half a line end": b"!250 all is well\r",
    "half of several lines": b"!250-all\r\n250-is\r\n",
    "two replies": b"%GOOD250 2.0.0 and the next\r\n",
    "an endless line": b"!250 " + b"x" * (1 << 20) + b"\r\n",
    "endless lines": b"!" + b"250-more\r\n" * 100_000,
    "another code": b"250-one\r\n350 two\r\n",
    "a preliminary": b"150 wait\r\n",
    "no code": b"+OK fine\r\n",
    "an empty line": b"\r\n",
    "NUL": b"\x00250 fine\r\n",
    "a challenge": b"334 UGFzc3dvcmQ6\r\n",
    "a code in letters": b"2x0 fine\r\n",
    "bare LF": b"!250 fine\n",
    "a code of six": b"650 fine\r\n",
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def gate(folder: Path, server: str, protocol: str = "smtp", **backend: object) -> RunningGates:
    table = {"name": "front", "protocol": protocol, "backend": "mail", "mode": "refuse"}
    return RunningGates(folder, [table], [{"name": "mail", "servers": [server], "health_every": "1h", **backend}])


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("step", STEPS)
def test_wrong_answer_at_any_step_is_one_clear_temporary_answer(
    tmp_path: Path, stack: ExitStack, step: str, wrong: str
) -> None:
    """The client hears 421 or 451 in place of the answer, once, and never that its message was taken."""
    good = b"354 go on\r\n" if step == "DATA" else b"250 2.0.0 fine\r\n"
    behind = stack.enter_context(Behind(strict=True))
    front = stack.enter_context(gate(tmp_path, behind.name))
    said = WRONG[wrong].replace(b"%GOOD", good)
    if step == "end":
        behind.end = said
    else:
        behind.answers[step] = said
    heard: list[bytes] = []
    with Raw(front.port("front")) as client:
        for line in STEPS[step]:
            client.send(line if line.startswith(b"BDAT") else line + b"\r\n")
            answer = client.reply()
            heard.append(answer)
            if not answer or answer[:1] not in (b"2", b"3"):
                break
        rest = client.rest() if answer.startswith(b"421") else b""
    assert len(heard) == len(STEPS[step]), heard
    if wrong == "two replies" and step in ("end", "BDAT"):
        assert heard[-1].startswith(b"250")  # the first of them is the answer; nothing was asked since
        return
    assert heard[-1][:4] in (b"421 ", b"451 "), heard
    assert rest == b""


def test_client_that_a_server_refuses_does_not_take_it_from_others(tmp_path: Path, stack: ExitStack) -> None:
    """Goal: a server that turns one client away with BYE, since it knows the client, is out of use for all."""
    server = stack.enter_context(ScriptedIMAP({b"TCP4": b"", b"UNKNOWN": b""}))  # the PROXY header is not answered
    front = stack.enter_context(gate(tmp_path, f"127.0.0.1:{server.port}", "imap", client="proxy1"))
    server.greeting = b"* BYE too many connections from your address\r\n"
    for _ in range(3):
        with RawIMAP(front.port("front"), greeted=False) as client:
            assert client.reply().startswith(b"* BYE")
    server.greeting = b"* OK ready\r\n"
    with RawIMAP(front.port("front")) as honest:
        assert honest.greeting.startswith(b"* OK")
        honest.log_in()


def test_client_that_a_mail_server_drops_does_not_take_it_from_others(tmp_path: Path, stack: ExitStack) -> None:
    """Goal: a server that hangs up on one client, whose name it dislikes, is out of use for all."""
    behind = stack.enter_context(Behind())
    front = stack.enter_context(gate(tmp_path, behind.name))
    behind.answers["EHLO"] = behind.answers["HELO"] = lambda line: (
        b"!" if b"evil" in line else behind.listing(private=False)
    )
    for _ in range(3):
        with Raw(front.port("front")) as client:
            assert client.say(b"EHLO evil.example").startswith(b"4")
    with Raw(front.port("front")) as honest:
        assert honest.greeting.startswith(b"220")
        assert honest.say(b"EHLO good.example").startswith(b"250")
