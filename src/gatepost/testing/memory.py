"""Client dialogues without a network: a driver in memory, and peers that follow a script.

>>> peer = ScriptedPeer((b"", b"220 hello\\r\\n"), (b"QUIT\\r\\n", b"221 bye\\r\\n"))
>>> driver = MemoryDriver(peer, chunks=1)

The driver hands over what the peer says in pieces of any size, raises ``DeadlineExceeded`` where a real one would wait
in vain, and upgrades through ``gatepost.testing.tls``: with a real handshake, since evidence cannot be made up.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol, TypeAlias, TypeVar, final

from gatepost.errors import DeadlineExceeded, HandshakeError
from gatepost.wire.dialogue import Dialogue, Receive, Result, Send, Upgrade
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, Role, TLSEvidence, UpgradeReady

T = TypeVar("T")

CLOSE: Final = b"\0close"  # in a script: say nothing more and close

ORIGIN: Final = Origin(("192.0.2.1", 25), ("192.0.2.2", 40000), "memory", 1_700_000_000.0, "test")


class Peer(Protocol):
    """The other side of a connection."""

    def receive(self, data: bytes) -> None:
        """Take what the dialogue sent."""

    def outgoing(self) -> bytes:
        """Give everything there is to say now."""

    @property
    def closed(self) -> bool:
        """Whether, when that is said, nothing will follow."""


Upgrader: TypeAlias = Callable[[UpgradeReady, Peer], tuple[TLSEvidence, Peer]]
Chunking: TypeAlias = int | Callable[[bytes], Iterable[bytes]] | None


@final
class ScriptedPeer:
    """A peer that hears what it must and says what it is told, right or wrong. What a client sends as one group is one
    step of the script: whoever says more before he was answered is found out.

    :param script: pairs of what must be heard before what is said. Heard: octets exactly, or a pattern that everything
        heard since the last step must match in full, or ``b""`` for nothing at all. Said: octets, ``b""`` for silence,
        or ``CLOSE``.
    """

    def __init__(self, *script: tuple[bytes | re.Pattern[bytes], bytes]) -> None:
        self._script: Final = deque(script)
        self._heard = b""
        self._said = b""
        self.closed = False
        self.transcript = b""  # all that was ever heard
        self._advance()

    @property
    def finished(self) -> bool:
        """Whether the whole script was played and nothing was heard beyond it."""
        return not self._script and not self._heard

    def receive(self, data: bytes) -> None:
        """Take what the dialogue sent.

        :raises AssertionError: when it is not what the script says.
        """
        self.transcript += data
        self._heard += data
        self._advance()

    def outgoing(self) -> bytes:
        """What the script says now."""
        said, self._said = self._said, b""
        return said

    def _advance(self) -> None:
        while self._script:
            expected, said = self._script[0]
            if isinstance(expected, re.Pattern):
                if not self._heard or not expected.fullmatch(self._heard):
                    return
                self._heard = b""
            elif self._heard.startswith(expected):
                self._heard = self._heard[len(expected) :]
            elif expected.startswith(self._heard):
                return
            else:
                raise AssertionError(f"heard {self._heard!r} where the script has {expected!r}")
            self._script.popleft()
            if said and self._heard:
                raise AssertionError(f"heard {self._heard!r} before {said!r} was said")
            if said == CLOSE:
                self.closed = True
            else:
                self._said += said


@final
class MemoryDriver:
    """Runs dialogues against a peer.

    :param peer: the other side.
    :param chunks: how what it says is cut: a number of octets, a function, or None for all at once.
    :param upgrade: performs the handshake; without one an upgrade fails with ``HandshakeError``.
    """

    def __init__(self, peer: Peer, *, chunks: Chunking = None, upgrade: Upgrader | None = None) -> None:
        self.peer = peer
        self.sent: Final[list[bytes]] = []  # one entry for each Send
        self.waited: Final[list[Receive]] = []
        self.evidence: TLSEvidence | None = None
        self._chunks: Final = chunks
        self._upgrade: Final = upgrade
        self._inbox: deque[bytes] = deque()

    def run(self, dialogue: Dialogue[T]) -> T:
        """Run a dialogue to its end and return its value; what a failed effect raises is thrown into it."""
        result: Result = None
        try:
            effect = next(dialogue)
            while True:
                try:
                    result = self._perform(effect)
                except Exception as error:  # noqa: BLE001  # a driver hands every failure to its dialogue
                    effect = dialogue.throw(error)
                else:
                    effect = dialogue.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _perform(self, effect: Send | Receive | Upgrade) -> Result:
        if isinstance(effect, Send):
            self.sent.append(effect.data)
            self.peer.receive(effect.data)
            return None
        if isinstance(effect, Receive):
            self.waited.append(effect)
            return self._next(effect)
        self._fill()
        if self._inbox:  # said before the handshake: no driver lets it cross
            residue = b"".join(self._inbox)
            self._inbox.clear()
            raise PlaintextAfterUpgrade(residue, Role.CLIENT)
        if self._upgrade is None:
            raise HandshakeError("this driver has no TLS")
        self.evidence, self.peer = self._upgrade(effect.ready, self.peer)
        return self.evidence

    def _next(self, effect: Receive) -> bytes:
        if not self._inbox:
            self._fill()
        if self._inbox:
            return self._inbox.popleft()
        if self.peer.closed:
            return b""
        raise DeadlineExceeded(f"no {effect.step} in time")

    def _fill(self) -> None:
        said = self.peer.outgoing()
        if said:
            self._inbox.extend(piece for piece in self._cut(said) if piece)

    def _cut(self, data: bytes) -> Iterator[bytes]:
        match self._chunks:
            case None:
                yield data
            case int(size):
                for start in range(0, len(data), size):
                    yield data[start : start + size]
            case cut:
                yield from cut(data)
