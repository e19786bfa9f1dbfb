"""The event loop and the signals that it answers."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

import pytest

from gatepost.net.loop import answer_signals, new_loop


@pytest.mark.parametrize("make", [new_loop, asyncio.new_event_loop], ids=["chosen", "asyncio"])
def test_signal_before_the_first_turn_is_answered(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A worker that is told to end just before its loop runs ends, whatever threads it has."""
    before = signal.getsignal(signal.SIGUSR2)
    loop, answered, over = make(), list[str](), threading.Event()
    beside = threading.Thread(target=over.wait)  # the kernel may give it the signal
    beside.start()

    def answer() -> None:
        answered.append("SIGUSR2")
        loop.call_soon(loop.stop)

    try:
        answer_signals(loop, {signal.SIGUSR2: answer})
        os.kill(os.getpid(), signal.SIGUSR2)
        loop.call_soon(lambda: os.kill(os.getpid(), signal.SIGUSR2) if answered else None)  # and one that comes later
        patience = loop.call_later(30, loop.stop)
        loop.run_forever()
        patience.cancel()
        loop.remove_signal_handler(signal.SIGUSR2)
    finally:
        over.set()
        beside.join()
        loop.close()
        signal.signal(signal.SIGUSR2, before)
    assert answered
