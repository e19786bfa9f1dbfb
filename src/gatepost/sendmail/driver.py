"""Runs SMTP client dialogues over a local socket, and keeps no more state than that takes."""

from __future__ import annotations

import socket
import time
from typing import Final, TypeVar

from gatepost.errors import DeadlineExceeded, LocalProtocolError
from gatepost.wire.dialogue import Dialogue, Effect, Receive, Send

T = TypeVar("T")
_READ: Final = 1 << 16


class LocalWire:
    """A connected local socket. There is no TLS on it: its ends are on one machine, and the kernel names the peer."""

    __slots__ = ("_deadline", "_sock", "_step")

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._step = ""
        self._deadline = 0.0

    def run(self, dialogue: Dialogue[T]) -> T:
        """Run a dialogue to its end and return its value.

        :raises DeadlineExceeded: when the server takes too long.
        :raises OSError: when the connection breaks.
        :raises ProtocolError: when the server breaks the protocol.
        """
        self._step = ""
        try:
            effect = next(dialogue)
            while True:
                try:
                    result = self._perform(effect)
                except (OSError, DeadlineExceeded, LocalProtocolError) as error:
                    effect = dialogue.throw(error)
                else:
                    effect = dialogue.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _perform(self, effect: Effect) -> bytes | None:
        if isinstance(effect, Send):
            self._sock.settimeout(300)
            self._sock.sendall(effect.data)
            return None
        if not isinstance(effect, Receive):
            raise LocalProtocolError("there is no TLS on a local socket")
        if effect.step != self._step:
            self._step = effect.step
            self._deadline = time.monotonic() + effect.seconds
        left = self._deadline - time.monotonic()
        if left > 0:
            self._sock.settimeout(left)
            try:
                return self._sock.recv(_READ)
            except TimeoutError:
                pass
        raise DeadlineExceeded(f"no {effect.step} in time")
