"""One server for each data directory: a lock that the kernel releases when its holder is gone.

SECURITY: opens ``gatepost.lock`` in the data directory and writes its process id there; never follows a link.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final, final

from gatepost.errors import ConfigError

LOCK_NAME: Final = "gatepost.lock"


@final
class DataLock:
    """Held by the supervisor as long as it lives. Workers close their copy, so that only the supervisor holds it.

    :param data: the data directory.
    :raises ConfigError: when another server holds it, or it cannot be made.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, data: Path) -> None:
        self.path = data / LOCK_NAME
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot make {self.path}: {error.strerror}", hint="the data directory must be writable"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self._holder()
            os.close(self._descriptor)
            raise ConfigError(
                f"a server already runs on {data}{holder}",
                hint="stop it, or give this one a data directory of its own: gatepost serve --data DIRECTORY",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            text = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            if text.isdigit():
                return f" (process {text})"
        return ""

    def close(self) -> None:
        """Close this process's copy; the lock is free when the last one is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
