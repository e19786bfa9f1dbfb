"""Effects: what they show of themselves, and what a driver may answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.testing.memory import ORIGIN
from gatepost.wire.dialogue import Dialogue, Receive, Send, Upgrade, receive, send, upgrade
from gatepost.wire.smtp.exchange import Exchange
from gatepost.wire.upgrade import hand_over_client


def test_secret_is_not_in_the_words_of_an_effect() -> None:
    """Whoever logs an effect, or a failed assertion about one, writes no password."""
    (effect,) = send(b"PASS hunter2\r\n", secret=True)
    assert repr(effect) == "Send(***)"
    assert repr(Send(b"NOOP\r\n")) == "Send(b'NOOP\\r\\n')"


@pytest.mark.parametrize("begin", [receive, Exchange().reply])
@pytest.mark.parametrize("answer", [None, "220 mx\r\n"])
def test_driver_answers_a_wait_with_octets(begin: Callable[[float, str], Dialogue[object]], answer: object) -> None:
    """A driver of somebody's own that sends anything else is told so, where it happened."""
    dialogue = begin(1, "greeting")
    assert next(dialogue) == Receive(1, "greeting")
    with pytest.raises(LocalProtocolError, match="the driver answered Receive with"):
        dialogue.send(answer)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [None, b"", object()])
def test_driver_answers_an_upgrade_with_evidence(answer: object) -> None:
    """Nothing but a completed handshake lets a dialogue go on inside TLS."""
    dialogue = upgrade(ready := hand_over_client(ORIGIN, b""))
    assert next(dialogue) == Upgrade(ready)
    with pytest.raises(LocalProtocolError, match="the driver answered Upgrade with"):
        dialogue.send(answer)  # type: ignore[arg-type]
