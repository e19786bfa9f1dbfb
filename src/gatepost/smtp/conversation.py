"""One engine over one channel: what every SMTP server session is, whoever answers its events.

``Conversation`` pumps: octets in, events to a table of handlers, all replies to one input out in one write. It starts
and stops the clocks, slows a peer that runs ahead, leaves the others their turn, drains, and ends. What the events are
answered with is a subclass's business: the server of ``gatepost serve`` answers from its accounts and its store at
once, the public ``Server`` asks the hooks of its user.

A conversation ends at the upgrade. The one inside TLS is another object of another class, made from the secure channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.served import COMMANDS_A_TURN
from gatepost.wire.smtp import events
from gatepost.wire.smtp.reply import TLS_UNAVAILABLE, Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.upgrade import EarlyHello, PlaintextAfterUpgrade, UpgradeReady
from gatepost.wire.witness import Witness

BACKLOG_LIMIT: Final = 1 << 17  # octets that may wait in the engine while it waits for us
PROGRESS: Final = 4096  # octets of content that count as progress within the data timeout

SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Service shutting down, try again later")
TIMED_OUT: Final = Reply(421, "4.4.2", "Timeout, closing the connection")


class Line(Protocol):
    """The connection that a conversation is held on (``gatepost.net.served``)."""

    outcome: str
    command_seconds: float
    data_seconds: float
    upgradable: bool
    """Whether there is TLS to switch to."""

    def wait(self, seconds: float, phase: str) -> None: ...
    def ended(self) -> None: ...
    def plaintext_found(self, residue: bytes) -> None: ...
    def upgrade(
        self, channel: PlainChannel, ready: UpgradeReady, early: EarlyHello | None, go_ahead: bytes
    ) -> None: ...


class Conversation:
    """What both sides of the upgrade have in common. See ``PlainConversation``.

    :param connection: its clocks and its end.
    :param channel: what it is held over.
    :param engine: what reads and writes.
    """

    __slots__ = ("_channel", "_connection", "_draining", "_engine", "_in_content", "_progress", "_resting")

    _handlers: ClassVar[dict[type, Callable[[Any, Any], None]]] = {}
    _channel: PlainChannel | SecureChannel | None

    def __init__(
        self, connection: Line, channel: PlainChannel | SecureChannel, engine: PlainServer | SecureServer
    ) -> None:
        self._connection: Line = connection
        self._channel = channel
        self._engine: PlainServer | SecureServer = engine
        self._in_content = False
        self._progress = 0  # octets of content since its clock was set
        self._draining = False
        self._resting = False  # while others have their turn, and more of what came is to be answered

    @property
    def alive(self) -> bool:
        """Whether there is anybody to answer."""
        return self._channel is not None

    def watch(self, witness: Witness) -> None:
        """Show a witness what is read and said from here on."""
        self._engine.witness = witness

    def greet(self) -> None:
        """Say the greeting, and wait for the first command."""
        engine, channel, connection = self._engine, self._channel, self._connection
        engine.greet()
        connection.wait(connection.command_seconds, "command")
        if channel is not None:
            channel.send(engine.outgoing())

    def await_command(self) -> None:
        """Start the clock of the next command."""
        self._connection.wait(self._connection.command_seconds, "command")

    def drain(self) -> None:
        """End at once when nothing is under way, else after the message that is."""
        self._draining = True
        if self._idle() and not self._engine.waiting:
            self._connection.outcome = "drained"
            self.hang_up(SHUTTING_DOWN)

    def hang_up(self, last: Reply) -> None:
        """Say one last reply and close."""
        self._abandon()
        self._engine.shutdown(last)
        self._close(linger=True)

    def expire(self) -> None:
        """The peer took too long."""
        self.hang_up(TIMED_OUT)

    # net.transport.Receiver

    def data_received(self, data: bytes) -> None:
        self._engine.receive(data)
        self._pump()

    def eof_received(self) -> None:
        if self._channel is None:
            return
        self._engine.receive_eof()
        self._pump()
        if not self._engine.waiting and not self._resting:  # else answers are to come, and the peer may still read them
            self._close()

    def connection_lost(self, error: OSError | None) -> None:
        self._abandon()
        self._channel = None
        self._connection.ended()

    # The pump

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
        if not engine.allowance and engine.pending is None:
            self._rest(channel)
        connection = self._connection
        if engine.pending is not None:
            if engine.backlog > BACKLOG_LIMIT:
                channel.transport.pause()
        elif not self._in_content:
            connection.wait(connection.command_seconds, "command")
        elif self._progress >= PROGRESS:
            self._progress = 0
            connection.wait(connection.data_seconds, "data")

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

    # What a subclass knows

    def _idle(self) -> bool:
        """Whether no message is under way, so that a drain need not wait."""
        return True

    def _abandon(self) -> None:
        """Forget the message that is under way."""

    # Events that every server answers alike

    def _on_nothing(self, event: object) -> None:
        """Answered by the engine."""

    def _on_quit(self, event: events.Quit) -> None:
        self._connection.outcome = "quit"

    def _on_ended(self, event: events.Ended) -> None:
        connection = self._connection
        connection.outcome = connection.outcome or event.reason
        self._abandon()
        self._close(linger=event.reason != "quit")


Conversation._handlers = {
    events.Verify: Conversation._on_nothing,
    events.Quit: Conversation._on_quit,
    events.Ended: Conversation._on_ended,
}


class PlainConversation(Conversation):
    """A conversation in the clear. It ends at the upgrade."""

    __slots__ = ()

    def _on_starttls(self, event: events.StartTLSRequested) -> None:
        engine, connection, channel = self._engine, self._connection, self._channel
        assert isinstance(engine, PlainServer)
        assert isinstance(channel, PlainChannel)
        if not connection.upgradable:
            engine.answer(TLS_UNAVAILABLE)
            return
        try:
            ready, early = engine.grant_upgrade()
        except PlaintextAfterUpgrade as finding:
            connection.outcome = "plaintext after the upgrade"
            connection.plaintext_found(finding.residue)
            return
        self._channel = None
        connection.upgrade(channel, ready, early, engine.outgoing())


PlainConversation._handlers = {
    **Conversation._handlers, events.StartTLSRequested: PlainConversation._on_starttls,
}  # fmt: skip
