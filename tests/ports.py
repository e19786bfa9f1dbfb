"""Ports for servers that tests start."""

from __future__ import annotations

import os
import random
import socket
from typing import Final

_TAKEN: Final[set[int]] = set()
# Of test processes that run side by side (pytest-xdist) each has ports of its own: none takes what another has chosen.
_MINE: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PROCESSES: Final = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port() -> int:
    """A free loopback port below those that outgoing connections take (32768 and up on Linux); never the same twice."""
    for _ in range(1000):
        port = random.randrange(10_000 + _MINE, 32_000, _PROCESSES)
        if port in _TAKEN:
            continue
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        _TAKEN.add(port)
        return port
    raise AssertionError("there is no free port")
