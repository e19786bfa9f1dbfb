"""The attacker comes through a proxy that is believed: he wants to be taken for somebody else by what it tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import LISTED, Behind

from gatepost.testing.gate import RunningGates
from gatepost.wire.smtp import xclient


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("command", ["XCLIENT", "XFORWARD"])
@pytest.mark.parametrize(
    "spelled", ["IPV6:::ffff:192.0.2.66", "ipv6:::FFFF:c000:0242", "IPV6:0:0:0:0:0:ffff:192.0.2.66"]
)
def test_address_in_another_spelling_is_the_same_address(command: xclient.Command, spelled: str) -> None:
    """Goal: to be found by no rule for 192.0.2.66, since IPv6 has another way to write it."""
    assert xclient.parse(command, f"ADDR={spelled}").address == "192.0.2.66"


def test_message_is_not_told_to_come_from_the_sender_of_the_one_before(tmp_path: Path, stack: ExitStack) -> None:
    """Goal: a message of the attacker's that the server's log ascribes to the client before him in the session."""
    behind = stack.enter_context(Behind((*LISTED, "XFORWARD NAME ADDR PORT PROTO HELO SOURCE")))
    table = {"name": "front", "protocol": "smtp", "backend": "mail", "xclient_from": ["127.0.0.1"]}
    backend = {"name": "mail", "servers": [behind.name], "health_every": "1h", "client": "xforward"}
    front = stack.enter_context(RunningGates(tmp_path, [table], [backend]))
    with Raw(front.port("front")) as client:
        client.say(b"EHLO proxy.example")
        assert client.say(b"XFORWARD ADDR=192.0.2.1").startswith(b"250")
        for _ in range(2):
            assert client.say(b"MAIL FROM:<a@far.example>").startswith(b"250")
            assert client.say(b"RCPT TO:<b@near.example>").startswith(b"250")
            client.say(b"DATA")
            assert client.say(b"x\r\n.").startswith(b"250")
        client.say(b"QUIT")
    (session,) = behind.finished(1)
    first, second = [line for line in session.lines if line.startswith(b"XFORWARD")]
    assert b"ADDR=192.0.2.1 " in first
    assert b"ADDR=127.0.0.1 " in second
