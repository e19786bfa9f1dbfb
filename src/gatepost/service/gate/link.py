"""One connection to a server behind the gate, and whom it was made for.

A link belongs to one session. It dies with its wire, and counts as one of its server's connections until it is closed:
once, however often that is said, also when a session forgets to.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar, final

from gatepost.net.drive import Wire
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
    """

    __slots__ = ("__weakref__", "_failed", "_release", "_reply_seconds", "server", "wire")

    def __init__(
        self,
        server: str,
        wire: Wire,
        reply_seconds: float,
        released: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self.server: Final = server
        self.wire: Final = wire
        self._reply_seconds: Final = reply_seconds
        self._failed: Final = failed
        self._release: Final = weakref.finalize(self, released)
        self._release.atexit = False

    @property
    def tls(self) -> TLSEvidence | None:
        """What the handshake with the server proved; None in the clear."""
        return self.wire.evidence

    @property
    def closed(self) -> bool:
        """Whether nothing can be said to the server or heard from it any more."""
        return self.wire.closed

    async def run(self, dialogue: Dialogue[T], seconds: float = math.inf) -> T:
        """Run a dialogue of the protocol's client engine; the upgrade is one of its effects.

        :param seconds: how long all of it may take; each step has its own deadline besides.
        :raises DeadlineExceeded: when a step, or all of it, takes longer.
        :raises UpgradeError: when a handshake fails; likewise ``RemoteProtocolError`` as the engine says.
        :raises OSError: when the connection is lost.
        """
        return await self.wire.run(dialogue, seconds=seconds)

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
