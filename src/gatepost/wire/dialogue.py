"""Client conversations as generators.

A conversation is written once, as a generator that yields *effects* and is sent their results; ``net.drive`` runs it on
asyncio or blocking, and tests run it in memory. (The shape is psycopg's ``generators.py`` and ``waiting.py``.)

============  ==========================================================  =====================
effect        what the driver does                                        what it sends back
============  ==========================================================  =====================
``Send``      writes the octets to the channel                            ``None``
``Receive``   waits for the next octets, at most ``seconds``              ``bytes``; empty at the end
``Upgrade``   spends the token, runs the handshake, verifies              ``TLSEvidence``
============  ==========================================================  =====================

A driver throws ``DeadlineExceeded``, ``HandshakeError``, ``VerificationError`` or ``OSError`` into the generator where
the effect failed.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.upgrade import TLSEvidence, UpgradeReady


@final
@dataclass(frozen=True, slots=True)
class Send:
    """Write these octets. Long content is sent in pieces, one effect each, so that the peer's pace is kept.

    :param secret: whether a password or what proves one is in them: a trace then masks them.
    """

    data: bytes
    secret: bool = field(default=False, compare=False)

    def __repr__(self) -> str:
        return f"Send({'***' if self.secret else repr(self.data)})"


@final
@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for octets.

    :param seconds: how long, at most, *for the reply that is being waited for*: a driver counts all ``Receive`` effects
        with the same ``step`` against one deadline, so that a peer cannot stretch it by dripping.
    :param step: names what is waited for, for the error message: ``greeting``, ``reply to MAIL``.
    """

    seconds: float
    step: str


@final
@dataclass(frozen=True, slots=True)
class Upgrade:
    """Begin TLS with the token of the spent plaintext engine."""

    ready: UpgradeReady


Effect: TypeAlias = Send | Receive | Upgrade
Result: TypeAlias = bytes | TLSEvidence | None
T = TypeVar("T")
Dialogue: TypeAlias = Generator[Effect, Result, T]


def send(data: bytes, *, secret: bool = False) -> Dialogue[None]:
    """Yield a ``Send``."""
    yield Send(data, secret)


def receive(seconds: float, step: str) -> Dialogue[bytes]:
    """Yield a ``Receive`` and return its octets."""
    data = yield Receive(seconds, step)
    if not isinstance(data, bytes):
        raise LocalProtocolError(f"the driver answered Receive with {type(data).__name__}")
    return data


def upgrade(ready: UpgradeReady) -> Dialogue[TLSEvidence]:
    """Yield an ``Upgrade`` and return the evidence."""
    evidence = yield Upgrade(ready)
    if not isinstance(evidence, TLSEvidence):
        raise LocalProtocolError(f"the driver answered Upgrade with {type(evidence).__name__}")
    return evidence
