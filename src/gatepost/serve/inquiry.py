"""Questions that need the queue: answered by a short-lived child, since the supervisor opens no database.

SECURITY: the child keeps one connection of the control socket, closes every other descriptor of the supervisor, gives
up root as a worker does, and may then read and write the queue database. It is killed when it takes too long.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from gatepost.errors import GatepostError
from gatepost.observe import logs
from gatepost.serve import privileges
from gatepost.serve.control import Connection, encode
from gatepost.serve.generation import Generation
from gatepost.serve.post import fork

_AT_ONCE: Final = 4
_SECONDS: Final = 20.0


@final
class Inquiries:
    """The children that answer."""

    __slots__ = ("_children",)

    def __init__(self) -> None:
        self._children: dict[int, float] = {}

    def ask(
        self,
        connection: Connection,
        message: Mapping[str, Any],
        generation: Generation,
        known: dict[str, Any],
        close_others: Callable[[Connection], None],
    ) -> None:
        """Have a request answered.

        :param known: the part of the answer that is known already; the child adds to it.
        :param close_others: closes in the child what is the supervisor's.
        """
        if len(self._children) >= _AT_ONCE:
            connection.answer({"ok": False, "error": "too many questions at once; ask again"})
            return
        try:
            pid = fork(lambda: self._answer(connection, message, generation, known, close_others))
        except OSError as error:
            connection.answer(known | _failed(message, f"no process for the question: {error.strerror}"))
            return
        self._children[pid] = time.monotonic() + _SECONDS
        connection.close()

    def _answer(
        self,
        connection: Connection,
        message: Mapping[str, Any],
        generation: Generation,
        known: dict[str, Any],
        close_others: Callable[[Connection], None],
    ) -> None:
        close_others(connection)
        logs.identify("inquiry")
        privileges.name_process("gatepost ask")
        connection.sock.settimeout(_SECONDS)
        try:
            os.umask(0o077)
            privileges.drop(generation.prepared.account)
            from gatepost.serve.queueview import answer

            known |= answer(generation.prepared.config, message)
        except GatepostError as error:
            known |= _failed(message, error.message) | {"hint": error.hint}
        except Exception as error:  # noqa: BLE001 - whatever it is, the asker is told
            logs.failure("inquiry.failed", error)
            known |= _failed(message, f"{type(error).__name__}: {error}")
        with contextlib.suppress(OSError):
            connection.sock.sendall(encode(known))

    def ended(self, pid: int) -> bool:
        """Whether this process was one of ours."""
        return self._children.pop(pid, None) is not None

    def expire(self, now: float) -> float | None:
        """Kill what takes too long; returns when the next one will have."""
        for pid, deadline in list(self._children.items()):
            if deadline <= now:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self._children[pid] = now + _SECONDS
        return min(self._children.values(), default=None)


def _failed(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    # A status without the queue is still a status.
    return {"queue_error": text} if message.get("command") == "status" else {"ok": False, "error": text}
