"""How a server of lines hears its client out."""

from __future__ import annotations

import pytest

from gatepost.errors import DeadlineExceeded
from gatepost.testing.memory import CLOSE, MemoryDriver, ScriptedPeer
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import FAULTS_LIMIT, Grant, Leave, Say, Step, serve_lines
from gatepost.wire.recipes.recipe import Granted, PeerLeft, UnexpectedWords
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade

ORIGIN = Origin(("192.0.2.1", 1), ("192.0.2.2", 2), "test", 0.0, "c1")
STEPS: dict[bytes, Step] = {
    b"hello": Say(b"hi\r\n"),
    b"bye": Leave(b"so long\r\n"),
    b"tls": Grant(b"go\r\n", b"no\r\n"),
}


def serve(*script: tuple[bytes, bytes]) -> tuple[MemoryDriver, Granted]:
    driver = MemoryDriver(ScriptedPeer(*script))
    answer = STEPS.get
    half = serve_lines(
        ORIGIN, Conversation(1.0), b"", lambda line: answer(line) or Say(b"?\r\n", fault=True), b"enough\r\n"
    )
    return driver, driver.run(half)


def test_the_go_ahead_is_left_to_the_driver() -> None:
    """What was said before has been sent; the go-ahead is part of what is returned."""
    driver, granted = serve((b"", b"hello\r\ntls\r\n"))
    assert driver.sent == [b"hi\r\n"]
    assert granted.go_ahead == b"go\r\n"
    assert granted.ready.spend() is ORIGIN


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([(b"", b"tls\r\nx")], PlaintextAfterUpgrade),
        ([(b"", b"bye\r\n")], PeerLeft),
        ([(b"", b"hel"), (b"", CLOSE)], PeerLeft),
        ([(b"", b"what\r\n" * (FAULTS_LIMIT + 1))], UnexpectedWords),
        ([(b"", b"hello\r\n" * 300)], UnexpectedWords),
        ([(b"", b"hello\n")], UnexpectedWords),
        ([(b"", b"")], DeadlineExceeded),
    ],
)
def test_everything_else_ends_without_a_token(script: list[tuple[bytes, bytes]], error: type[Exception]) -> None:
    """Plaintext behind the request, goodbye, too much, what is no line, silence."""
    with pytest.raises(error):
        serve(*script)
