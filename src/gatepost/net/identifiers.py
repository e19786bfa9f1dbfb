"""Identifiers of connections and messages."""

from __future__ import annotations

import itertools
import os
import time
from typing import Final

_serial: Final = itertools.count(1)
_RANDOM: Final = [os.urandom(3).hex(), os.getpid()]


def new_identifier() -> str:
    """A new identifier of a message or a connection: it sorts by time and is never used again.

    Microseconds, then random digits of this process, then a serial number: no two processes make the same one.
    """
    if _RANDOM[1] != os.getpid():  # after a fork
        _RANDOM[:] = [os.urandom(3).hex(), os.getpid()]
    return f"{time.time_ns() // 1000:013x}{_RANDOM[0]}{next(_serial) & 0xFFFF:04x}"
