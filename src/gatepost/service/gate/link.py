"""One connection to a server behind the gate, and whom it was made for.

A link belongs to one session. It dies with its wire, and counts as one of its server's connections until it is closed:
once, however often that is said, also when a session forgets to. One that says goodbye belongs to nobody any more.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar, final

from gatepost.net.drive import Wire
from gatepost.service.gate.pause import Pause
from gatepost.wire.dialogue import Dialogue, receive
from gatepost.wire.upgrade import Origin, TLSEvidence

T = TypeVar("T")


@final
@dataclass(slots=True)
class Client:
    """Whom a connection to a server is made for.

    :param origin: where the client came from; behind a proxy that is believed, where that says it came from.
    :param evidence: what its own handshake proved, or None in the clear.
    :param helo: the name it gave in this session, not before it.
    :param login: the user it logged in as in this session, not before it.
    """

    origin: Origin
    evidence: TLSEvidence | None = None
    helo: str = ""
    login: str = ""


@final
class Link:
    """A connection to a server.

    :param server: the server as the configuration writes it.
    :param wire: the connection.
    :param reply_seconds: how long the server may take over an answer.
    :param released: called once, when it does not count any more.
    :param failed: called when the server turns out to be of no use, with the reason.
    :param leaving: where it is kept while it says goodbye.
    """

    __slots__ = ("_failed", "_leaving", "_released", "_reply_seconds", "_until", "server", "wire")

    def __init__(
        self,
        server: str,
        wire: Wire,
        reply_seconds: float,
        released: Callable[[], None],
        failed: Callable[[str], None],
        leaving: set[Link],
    ) -> None:
        self.server: Final = server
        self.wire: Final = wire
        self._reply_seconds: Final = reply_seconds
        self._failed: Final = failed
        self._leaving: Final = leaving
        self._released: Callable[[], None] | None = released
        self._until = math.inf  # when all that is run must be over

    def __del__(self) -> None:
        self._release()

    def _release(self) -> None:
        released, self._released = self._released, None
        if released is not None:
            released()

    @property
    def tls(self) -> TLSEvidence | None:
        """What the handshake with the server proved; None in the clear."""
        return self.wire.evidence

    @property
    def closed(self) -> bool:
        """Whether nothing can be said to the server or heard from it any more."""
        return self.wire.closed

    def ask(self, dialogue: Dialogue[T]) -> Pause[T]:
        """The same for a coroutine that has no task (``pause``): begun at once, to be awaited."""
        pause: Pause[T] = Pause()
        self.wire.begin(dialogue, pause.settle, seconds=math.inf if self._until == math.inf else self._left(math.inf))
        return pause

    def leave(self, goodbye: Dialogue[object], seconds: float) -> None:
        """Say goodbye, and close when that is over, or has taken too long. Nobody waits for it.

        :param goodbye: a dialogue of the protocol's client engine.
        """

        def over(_: object, error: Exception | None) -> None:
            self._leaving.discard(self)
            if error is None:
                self.close()
            else:
                self.abort()

        self._leaving.add(self)
        self.wire.begin(goodbye, over, seconds=seconds)

    async def run(self, dialogue: Dialogue[T], seconds: float = math.inf) -> T:
        """Run a dialogue of the protocol's client engine; the upgrade is one of its effects.

        :param seconds: how long all of it may take; each step has its own deadline besides.
        :raises DeadlineExceeded: when a step, or all of it, takes longer.
        :raises UpgradeError: when a handshake fails; likewise ``RemoteProtocolError`` as the engine says.
        :raises OSError: when the connection is lost.
        """
        return await self.wire.run(dialogue, seconds=self._left(seconds))

    def bound(self, seconds: float) -> None:
        """All that is run from here on must be over in this time, each by itself and all together."""
        self._until = asyncio.get_running_loop().time() + seconds

    def _left(self, seconds: float) -> float:
        return seconds if self._until == math.inf else min(seconds, self._until - asyncio.get_running_loop().time())

    async def send(self, data: bytes, seconds: float | None = None) -> None:
        """Send octets. Returns when little of them is still unsent.

        :raises DeadlineExceeded: when the server takes them too slowly; the connection is closed.
        :raises OSError: when the connection is lost; likewise ``UpgradeError`` when it was broken inside TLS.
        """
        await self.wire.send(data, self._reply_seconds if seconds is None else seconds)

    async def receive(self, seconds: float | None = None, step: str = "answer of the server") -> bytes:
        """Whatever comes next; empty at the end of the stream.

        :param step: what is waited for, for the error.
        :raises DeadlineExceeded: when nothing comes in time; the connection is closed.
        :raises OSError: when the connection is lost; likewise ``UpgradeError`` when it was broken inside TLS.
        """
        return await self.wire.run(receive(self._reply_seconds if seconds is None else seconds, step))

    def condemn(self, reason: str) -> None:
        """Close, and take the server out of use until a check finds it well: its greeting, its TLS or its hello failed.

        :param reason: for the log and for the next clients; what a server sent is escaped there.
        """
        self.abort()
        self._failed(reason)

    def close(self) -> None:
        """Close, with a close alert inside TLS, once everything is sent."""
        self.wire.close()
        self._release()

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        self.wire.abort()
        self._release()
