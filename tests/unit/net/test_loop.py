"""The event loop and the signals that it answers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from gatepost.net.loop import answer_signals, new_loop


@pytest.mark.parametrize("make", [new_loop, asyncio.new_event_loop], ids=["chosen", "asyncio"])
def test_signal_before_the_first_turn_is_answered(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A worker that is told to end just before its loop runs ends; it does not go on until it is killed."""
    loop, answered = make(), list[str]()

    def answer() -> None:
        answered.append("SIGUSR2")
        loop.stop()

    try:
        answer_signals(loop, {signal.SIGUSR2: answer})
        os.kill(os.getpid(), signal.SIGUSR2)
        patience = loop.call_later(30, loop.stop)
        loop.run_forever()
        patience.cancel()
        loop.remove_signal_handler(signal.SIGUSR2)
    finally:
        loop.close()
    assert answered == ["SIGUSR2"]
    assert signal.SIGUSR2 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
