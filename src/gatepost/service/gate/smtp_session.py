"""What SMTP sessions of a gate have in common, beside taking turns: the clock of content, and a server that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.gate import smtp_words as words
from gatepost.service.gate.lost import ServerLost
from gatepost.service.gate.smtp_upstream import Upstream
from gatepost.service.gate.turns import Ending, TurnSession
from gatepost.smtp.conversation import PROGRESS, TIMED_OUT
from gatepost.wire.smtp import events
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.states import Trigger
from gatepost.wire.smtp.unprotected import UnprotectedServer

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

Engine: TypeAlias = PlainServer | SecureServer | UnprotectedServer


class SMTPSession(TurnSession[Engine, Reply, Upstream]):
    """See the module.

    :param connection: the client's: its clocks, its limits, its record.
    :param channel: to the client.
    :param engine: what reads and writes on it.
    """

    __slots__ = ("_in_content", "_progress", "_refused")

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: Engine) -> None:
        super().__init__(connection, channel, engine, words.WORDS)
        self._in_content = False
        self._progress = 0  # octets of content since its clock was set
        self._refused = 0  # commands

    def expire(self) -> None:
        """The client took too long."""
        self.hang_up(TIMED_OUT)

    def _set_clock(self) -> None:
        connection = self._connection
        if not self._in_content:
            super()._set_clock()
        elif self._progress >= PROGRESS:
            self._progress = 0
            connection.wait(connection.data_seconds, "data")
        elif self._left is not None:
            connection.wait(max(self._left, 0.0), "data")
        self._left = None

    def _server_lost(self, lost: ServerLost[Reply]) -> None:
        """Tell the client in place of the answer that it waits for, or of the one to the content that it is sending."""
        engine, reply = self._engine, lost.reply
        if self._in_content:
            self._refuse_content(words.NOT_ANSWERED if reply is words.SERVER_LOST else _not_closing(reply))
        elif reply.code == 421 or engine.pending is None:
            self._connection.outcome = self._connection.outcome or "server lost"
            engine.shutdown(reply if reply.code == 421 else words.SERVER_LOST)
        else:
            engine.answer(reply)

    def _refuse_content(self, refusal: Reply) -> None:
        """Answer the content with a refusal: now where all of it has come, else when it has."""
        if self._engine.pending is Trigger.CONTENT_ENDS:
            self._answer_content((refusal,))
        else:
            self._engine.refuse_content(refusal)

    def _answer_content(self, verdicts: tuple[Reply, ...]) -> None:
        """Answer for a message."""

    def _on_ended(self, event: Ending) -> None:
        connection = self._connection
        if event.reason == "shutdown":  # one of our own has said why already
            connection.outcome = connection.outcome or "server closed"
        super()._on_ended(event)

    def _on_nothing(self, event: object) -> None:
        """Answered by the engine."""


SMTPSession._handlers = {
    events.Quit: SMTPSession._on_quit,
    events.Ended: SMTPSession._on_ended,
    events.Fault: SMTPSession._on_fault,
    events.Verify: SMTPSession._on_nothing,
}


def _not_closing(reply: Reply) -> Reply:
    """A refusal of the message alone: what is still being sent must be read to its end."""
    return Reply(451, "4.3.2", reply.text) if reply.code == 421 else reply
