"""What POP3 sessions of a gate have in common, beside taking turns: deadlines, and the end.

A server that is lost ends the session: with ``-ERR [SYS/TEMP]`` between two answers, without a word inside one of
several lines, so that nobody takes half a message for a whole one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.gate import pop3_words as words
from gatepost.service.gate.lost import ServerLost
from gatepost.service.gate.pop3_offer import NO_ABILITIES, Abilities, offer
from gatepost.service.gate.pop3_upstream import Upstream
from gatepost.service.gate.turns import TurnSession
from gatepost.wire.pop3 import events
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.unprotected import UnprotectedServer

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

Engine: TypeAlias = PlainServer | SecureServer | UnprotectedServer


class POP3Session(TurnSession[Engine, Reply, Upstream]):
    """See the module.

    :param connection: the client's: its clocks, its limits, its record.
    :param channel: to the client.
    :param engine: what reads and writes on it.
    """

    __slots__ = ()

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: Engine) -> None:
        limits = connection.port.config.limits
        connection.command_seconds = limits.pop3_login_timeout
        connection.last_call = min(connection.last_call, connection.port.now() + limits.pop3_login_timeout)
        super().__init__(connection, channel, engine, words.WORDS)

    def expire(self) -> None:
        """The client said nothing for too long, or takes nothing: RFC 1939 §3 has us close without a word."""
        if self._listening:
            self._engine.shutdown(None)
            self._break_off()
        else:
            self._connection.transport.abort()

    def _server_lost(self, lost: ServerLost[Reply]) -> None:
        self._connection.outcome = self._connection.outcome or "server lost"
        self._engine.shutdown(lost.reply)  # ``Ended`` is next


POP3Session._handlers = {
    events.Quit: POP3Session._on_quit,
    events.Ended: POP3Session._on_ended,
    events.Fault: POP3Session._on_fault,
}


def known(connection: GateConnection) -> Abilities:
    """What the last check of the pool learned."""
    learned = connection.port.pool.known
    return learned if isinstance(learned, Abilities) else NO_ABILITIES


def profile_for(connection: GateConnection, server: Abilities, *, stls: bool) -> ServerProfile:
    """How the gate speaks to a client of this connection."""
    config = connection.port.config
    return offer(config.hostname, server, stls=stls, max_errors=config.limits.errors)
