"""Before TLS of protocols that the gate does not read: a recipe's server half, on the connection of a client.

The client is heard out up to its request for TLS, and refused everything else in the words of its protocol. No server
behind hears of any of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatepost.errors import GatepostError
from gatepost.net.channel import PlainChannel
from gatepost.observe import logs
from gatepost.service.gate.farewells import UNAVAILABLE
from gatepost.service.gate.lost import about, unavailable
from gatepost.wire.dialogue import Effect, Receive, Send
from gatepost.wire.recipes.recipe import Granted, PeerLeft, ServerTerms
from gatepost.wire.recipes.table import recipe
from gatepost.wire.upgrade import PlaintextAfterUpgrade

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection


class PlainGate:
    """The clear: a recipe's server half. It ends at the upgrade."""

    __slots__ = ("_channel", "_connection", "_dialogue", "_heard", "_left", "_waiting")

    def __init__(self, connection: GateConnection, channel: PlainChannel) -> None:
        self._connection = connection
        self._channel: PlainChannel | None = channel
        terms = ServerTerms(connection.port.config.hostname, connection.command_seconds)
        self._dialogue = recipe(connection.port.settings.protocol).server(connection.origin, terms)
        self._heard = b""
        self._left = False
        self._waiting = False

    @property
    def alive(self) -> bool:
        return self._channel is not None

    def greet(self) -> None:
        connection = self._connection
        # All that is waited for in the clear is one thing, the request: one deadline for it, however a client drips.
        connection.wait(connection.command_seconds, "command")
        if not connection.port.pool.available():
            unavailable(connection, connection.port.pool.reason)
            self._hang_up(UNAVAILABLE.get(connection.port.settings.protocol, b""))
            return
        self._advance()

    def drain(self) -> None:
        self._connection.outcome = "drained"
        self._hang_up()

    def expire(self) -> None:
        self._hang_up()

    def data_received(self, data: bytes) -> None:
        self._heard += data
        self._advance()

    def eof_received(self) -> None:
        self._left = True
        self._advance()

    def connection_lost(self, error: OSError | None) -> None:
        self._channel = None
        self._dialogue.close()
        self._connection.ended()

    def _advance(self) -> None:
        """Go on until the dialogue waits for what has not come."""
        connection = self._connection
        try:
            while self._channel is not None:
                effect = self._step()
                if effect is None:
                    return
                if isinstance(effect, Send):
                    self._channel.send(effect.data)
        except StopIteration as stop:
            self._upgrade(stop.value)
        except PlaintextAfterUpgrade as finding:
            connection.plaintext_found(finding.residue)
            self._hang_up()
        except GatepostError as error:
            if not isinstance(error, PeerLeft):
                connection.record.errors += 1
                connection.port.tally.add(connection.port.tally.errors)
            logs.event("gate.fault", "notice", **about(connection), reason=error.message)
            connection.outcome = "left" if isinstance(error, PeerLeft) else "protocol error"
            self._hang_up()

    def _step(self) -> Effect | None:
        """The dialogue's next effect; None while it waits."""
        if not self._waiting:
            effect: Effect = next(self._dialogue)
            self._waiting = isinstance(effect, Receive)
            return effect
        if not self._heard and not self._left:
            return None
        data, self._heard = self._heard, b""
        effect = self._dialogue.send(data)
        self._waiting = isinstance(effect, Receive)
        return effect

    def _upgrade(self, granted: Granted) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            self._connection.upgrade(channel, granted.ready, granted.early, granted.go_ahead)

    def _hang_up(self, last: bytes = b"") -> None:
        channel, self._channel = self._channel, None
        self._dialogue.close()
        if channel is not None:
            channel.close(last, linger=True)
