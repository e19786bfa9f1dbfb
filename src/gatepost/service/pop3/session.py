"""What both POP3 sessions do: an engine, a channel, the clock of the next command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.served import COMMANDS_A_TURN
from gatepost.wire.pop3 import events, reply
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.witness import Witness

if TYPE_CHECKING:
    from gatepost.service.pop3.connection import POP3Connection

BACKLOG_LIMIT: Final = 1 << 16  # octets that may wait in the engine while it waits for us


class Session:
    """A conversation. See ``plain`` and ``secure``."""

    __slots__ = ("_channel", "_connection", "_draining", "_engine", "_resting")

    _handlers: ClassVar[dict[type, Callable[[Any, Any], None]]] = {}

    def __init__(
        self, connection: POP3Connection, channel: PlainChannel | SecureChannel, engine: PlainServer | SecureServer
    ) -> None:
        self._connection = connection
        self._channel: PlainChannel | SecureChannel | None = channel
        self._engine = engine
        self._draining = False
        self._resting = False  # while others have their turn, and more of what came is to be answered
        self.await_command()

    @property
    def alive(self) -> bool:
        """Whether there is anybody to answer."""
        return self._channel is not None

    def watch(self, witness: Witness) -> None:
        """Show a witness what is read and said from here on."""
        self._engine.witness = witness

    def greet(self) -> None:
        """Say the greeting."""
        self._engine.greet()
        self._flush()

    def await_command(self) -> None:
        """Start the clock of the next command."""
        self._connection.wait(self._connection.port.login_seconds, "command")

    def drain(self) -> None:
        """End at once when nothing is under way, else after the answer that is."""
        self._draining = True
        if not self._engine.waiting:
            self._connection.outcome = "drained"
            self.hang_up(reply.SHUTTING_DOWN)

    def expire(self) -> None:
        """The peer has said nothing for too long, or takes nothing: RFC 1939 §3 has us close without a word."""
        self.hang_up(None)

    def hang_up(self, last: Reply | None) -> None:
        """Say one last line, or none, and close. Nothing is deleted."""
        self._engine.shutdown(last)
        self._close(linger=True)

    def data_received(self, data: bytes) -> None:
        self._engine.receive(data)
        self._pump()

    def eof_received(self) -> None:
        if self._channel is not None:
            self._engine.receive_eof()
            self._pump()

    def connection_lost(self, error: OSError | None) -> None:
        self._channel = None
        self._connection.ended()

    def _pump(self) -> None:
        """Answer everything that can be answered in one turn of the loop, then write it all at once."""
        engine, handlers = self._engine, self._handlers
        engine.allowance = COMMANDS_A_TURN
        event = engine.next_event()
        heard = event is not None
        while event is not None:
            handlers[type(event)](self, event)
            event = engine.next_event()
        channel = self._channel
        if channel is None:
            return
        if out := engine.outgoing():
            channel.send(out)
        elif not heard:
            return  # half a command: its clock is running
        if not engine.waiting:
            self.await_command()
            if not engine.allowance:
                self._rest(channel)
        elif engine.backlog > BACKLOG_LIMIT:
            channel.transport.pause()

    def _flush(self) -> None:
        channel = self._channel
        if channel is not None and (out := self._engine.outgoing()):
            channel.send(out)

    def _resume(self) -> None:
        """An answer that was waited for was given: go on with what came meanwhile."""
        channel = self._channel
        if channel is None:
            return
        channel.transport.resume()
        self._pump()
        if self._draining and self._channel is not None:
            self.drain()

    def _rest(self, channel: PlainChannel | SecureChannel) -> None:
        """A flood came: the rest of it is answered when the others had their turn, and nothing is read before."""
        channel.transport.pause()
        if not self._resting:
            self._resting = True
            channel.transport.soon(self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        self._resume()

    def _close(self, *, linger: bool = False) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close(self._engine.outgoing(), linger=linger)

    def _on_fault(self, event: events.Fault) -> None:
        connection = self._connection
        connection.record.errors += 1
        connection.fault("pop3", event.reason, event.line)

    def _on_quit(self, event: events.Quit) -> None:
        self._connection.outcome = "quit"

    def _on_ended(self, event: events.Ended) -> None:
        connection = self._connection
        connection.outcome = connection.outcome or event.reason
        self._close(linger=event.reason != "quit")


Session._handlers = {
    events.Fault: Session._on_fault,
    events.Quit: Session._on_quit,
    events.Ended: Session._on_ended,
}
