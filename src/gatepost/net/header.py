"""Reading a PROXY header off a socket, and not one octet more.

What is read is looked at first and taken afterwards: of what stands behind the header nothing leaves the kernel here,
so the next layer (a plaintext engine, or a TLS engine, for a ClientHello in the same segment) finds it where it looks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, TypeAlias, final

from gatepost.errors import GatepostError
from gatepost.wire.proxy import V2_LIMIT, HeaderReader, ProxyHeaderInvalid, Told

Outcome: TypeAlias = Told | str
"""What a header says, or why there is none; empty when the peer went away without a word."""


@final
class HeaderWait:
    """Waits for the header of one connection.

    :param sock: a connected, non-blocking socket. It is the caller's again once ``done`` is called.
    :param seconds: how long it may take, all of it.
    :param done: called once, with the outcome, unless ``cancel`` comes first.
    """

    __slots__ = ("_done", "_loop", "_reader", "_sock", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, seconds: float, done: Callable[[Outcome], None]
    ) -> None:
        self._loop: Final = loop
        self._sock: Final = sock
        self._done: Final = done
        self._reader: Final = HeaderReader()
        self._timer: Final = loop.call_later(seconds, self._late)
        loop.add_reader(sock.fileno(), self._readable)

    def cancel(self) -> None:
        """Wait no more; ``done`` is not called."""
        self._timer.cancel()
        self._loop.remove_reader(self._sock.fileno())

    def _end(self, outcome: Outcome) -> None:
        self.cancel()
        self._done(outcome)

    def _late(self) -> None:
        self._end("no header in time" if not self._reader.begun else "half a header in time")

    def _readable(self) -> None:
        try:
            self._step()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end("")
        except GatepostError as error:
            self._end(error.message)

    def _step(self) -> None:
        seen = self._sock.recv(V2_LIMIT, socket.MSG_PEEK)
        if not seen:
            if self._reader.begun:
                raise ProxyHeaderInvalid("it is cut off")
            self._end("")
            return
        told = self._reader.feed(seen)
        self._sock.recv(len(seen) - len(self._reader.rest))  # it is all there: a short read cannot be
        if told is not None:
            self._end(told)
