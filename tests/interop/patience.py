"""Waiting for something to become true, with an end to it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 20.0


def until(promise: Callable[[], T | None], *, what: str, seconds: float = PATIENCE, log: Callable[[], str] = str) -> T:
    """Ask again and again until the answer is true; returns it.

    :param what: is waited for, for the message of the failure.
    :param log: what may tell why it did not come.
    """
    end = time.monotonic() + seconds
    while True:
        if found := promise():
            return found
        if time.monotonic() >= end:
            raise AssertionError(f"{what}: not within {seconds:g} s\n{log()}")
        select.select([], [], [], 0.03)


def listening(port: int) -> bool:
    """Whether somebody accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
