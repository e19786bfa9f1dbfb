"""A proxy in front of an SMTP gate says whom it speaks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.unit.service.gate.smtp_behind import LISTED, Behind
from tests.unit.service.gate.smtp_gate import envelope, gate, hello, send


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_proxy_in_front_is_believed(tmp_path: Path, stack: ExitStack) -> None:
    """Its XCLIENT begins a session anew: greylisting, and the server behind, hear of the address that it told."""
    behind = stack.enter_context(Behind((*LISTED, "XCLIENT ADDR")))
    front = stack.enter_context(
        gate(
            tmp_path, behind, backend={"client": "xclient"}, xclient_from=["127.0.0.7"],
            settings={
                "greylist": {"enabled": True, "delay": "1h"},
                "greylist_rule": [{"from": ["192.0.2.0/24"], "action": "skip"}],
            },
        )
    )  # fmt: skip
    with Raw(front.port("front"), source="127.0.0.7") as client:
        listed = hello(client)
        assert b"XCLIENT NAME ADDR PORT PROTO HELO LOGIN" in listed
        assert envelope(client)[0].startswith(b"451")
        assert client.say(b"XCLIENT ADDR=192.0.2.9").startswith(b"503")
        client.say(b"RSET")
        assert client.say(b"XCLIENT ADDR=192.0.2.9 HELO=told.example").startswith(b"220 ")
        assert client.say(b"MAIL FROM:<a@b>").startswith(b"503")
        hello(client)
        assert send(client) == b"250 2.0.0 taken"
    assert any(line == b"XCLIENT ADDR=192.0.2.9" for line in behind.finished(2)[1].lines)


def test_what_a_proxy_forwards_is_forwarded(tmp_path: Path, stack: ExitStack) -> None:
    """XFORWARD of one who is believed, in place of what the gate sees."""
    behind = stack.enter_context(Behind(("XFORWARD NAME ADDR",)))
    front = stack.enter_context(gate(tmp_path, behind, backend={"client": "xforward"}, xclient_from="127.0.0.1"))
    with Raw(front.port("front")) as client:
        hello(client)
        assert client.say(b"XFORWARD NAME=far.example") == b"250 2.0.0 Ok"
        assert client.say(b"XFORWARD ADDR=192.0.2.8") == b"250 2.0.0 Ok"
        send(client)
    assert b"XFORWARD NAME=far.example ADDR=192.0.2.8" in behind.finished(1)[0].lines
