"""What all sessions of an IMAP gate do with their client: an engine, a channel, the clock of what comes next."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, TypeVar

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.gate.session import GateSession
from gatepost.wire.imap.engine import Engine
from gatepost.wire.imap.events import Ended, Event, Fault
from gatepost.wire.imap.profile import Profile
from gatepost.wire.witness import Witness

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

NO_SERVER: Final = "No server is available, try again later"

E = TypeVar("E", bound=Engine)


@functools.lru_cache(maxsize=64)
def profile_of(hostname: str, capabilities: tuple[bytes, ...], max_errors: int) -> Profile:
    """The settings of an engine; sessions share them."""
    return Profile(hostname=hostname, capabilities=capabilities, max_errors=max_errors)


def profile_for(connection: GateConnection) -> Profile:
    """The settings of a client's engine: what the last check of the servers learned is in them."""
    config, known = connection.port.config, connection.port.pool.known
    capabilities = known if isinstance(known, tuple) else ()
    return profile_of(config.hostname, capabilities, config.limits.errors)


class IMAPSession(GateSession[E]):
    """A conversation with a client. See ``imap_plain`` and ``imap_relay``."""

    __slots__ = ("_eof",)

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: E) -> None:
        super().__init__(connection, channel, engine)
        self._eof = False

    def watch(self, witness: Witness) -> None:
        """Show a witness what is read and said from here on."""
        self._engine.watch(witness)

    def expire(self) -> None:
        """The deadline has passed: say so, and close (RFC 9051 §5.4)."""
        self._engine.shutdown("Too slow, closing")
        self._pump()

    def data_received(self, data: bytes) -> None:
        self._engine.receive(data)
        self._pump()

    def eof_received(self) -> None:
        self._eof = True
        self._engine.receive_eof()
        self._pump()

    def connection_lost(self, error: OSError | None) -> None:
        self._channel = None
        self._connection.ended()

    def _pump(self) -> None:
        """Act on everything that was read, then write it all at once."""
        engine = self._engine
        while self._goes_on() and (event := engine.next_event()) is not None:
            self._on(event)
        if self._goes_on():
            self._flush()

    def _goes_on(self) -> bool:
        """Whether anything may be read and said now."""
        return self._channel is not None

    def _on(self, event: Event) -> None:
        """Act on an event."""
        if isinstance(event, Fault):
            self._on_fault(event)
        elif isinstance(event, Ended):
            connection = self._connection
            connection.outcome = connection.outcome or event.reason
            self._close(linger=event.reason != "logout")

    def _on_fault(self, event: Fault) -> None:
        connection = self._connection
        connection.record.errors += 1
        connection.fault("imap", event.reason, event.line)
