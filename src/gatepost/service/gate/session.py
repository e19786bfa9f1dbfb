"""What all sessions of a gate that read their protocol have: a client's connection, a channel to it, an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.wire.upgrade import EarlyHello, PlaintextAfterUpgrade, UpgradeReady

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

BACKLOG_LIMIT: Final = 1 << 16  # octets of the client that may wait in the engine
UNSENT_LIMIT: Final = 1 << 16  # octets of answers that a client may leave unread before it is waited for


class ClientEngine(Protocol):
    """What reads a client and writes to it, as far as every protocol's does it alike."""

    @property
    def backlog(self) -> int:
        """Octets that were received and not yet read."""

    def receive(self, data: bytes) -> None: ...
    def receive_eof(self) -> None: ...
    def outgoing(self) -> bytes:
        """Take what is to be sent."""


class UpgradableEngine(ClientEngine, Protocol):
    """One in the clear, that may end at an upgrade."""

    def grant_upgrade(self) -> tuple[UpgradeReady, EarlyHello | None]:
        """Say yes to the request for TLS.

        :raises PlaintextAfterUpgrade: when plaintext stood behind it.
        """


E = TypeVar("E", bound=ClientEngine)


class GateSession(Generic[E]):
    """A conversation with a client, on one side of the upgrade.

    :param connection: the client's: its clocks, its limits, its record.
    :param channel: to the client.
    :param engine: what reads and writes on it.
    """

    __slots__ = ("_channel", "_connection", "_draining", "_engine")

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: E) -> None:
        self._connection: Final = connection
        self._channel: PlainChannel | SecureChannel | None = channel
        self._engine: E = engine
        self._draining = False

    @property
    def alive(self) -> bool:
        """Whether there is anybody to answer."""
        return self._channel is not None

    def _spend(self, engine: UpgradableEngine) -> tuple[PlainChannel, UpgradeReady, EarlyHello | None] | None:
        """Spend engine and channel on the upgrade: what the handshake begins with.

        None, and the connection is over, when plaintext stood behind the request.

        :param engine: this session's.
        """
        try:
            granted = engine.grant_upgrade()
        except PlaintextAfterUpgrade as finding:
            self._connection.plaintext_found(finding.residue)
            self._close(linger=True)
            return None
        channel, self._channel = self._channel, None
        return (channel, *granted) if isinstance(channel, PlainChannel) else None

    def _flush(self) -> None:
        """Send what the engine has to say."""
        if self._channel is not None and (out := self._engine.outgoing()):
            self._channel.send(out)

    def _close(self, *, linger: bool = False) -> None:
        """Say what is left to say, and close.

        :param linger: wait until the client has closed too, so that it reads the last words.
        """
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close(self._engine.outgoing(), linger=linger)
