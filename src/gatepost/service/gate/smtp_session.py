"""What SMTP sessions of a gate have in common: the client's engine, and one coroutine that answers its events in turn.

The coroutine reads an event, asks the server what it must, answers, and goes on. It holds nothing beside the engine:
while it waits for the server, what the client sends waits in the engine up to a bound and then in the kernel; while the
client does not take its replies, the server is asked nothing. The replies to one input leave in one write.

The client's clock runs while it is waited for, and stands while the server is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.observe import logs
from gatepost.service.gate import smtp_words as words
from gatepost.service.gate.smtp_upstream import ServerLost, Upstream
from gatepost.smtp.conversation import BACKLOG_LIMIT, PROGRESS, SHUTTING_DOWN, TIMED_OUT
from gatepost.wire.smtp import events
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.states import Trigger
from gatepost.wire.smtp.unprotected import UnprotectedServer
from gatepost.wire.witness import Witness

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

UNSENT_LIMIT: Final = 1 << 16  # octets of replies that a client may leave unread before it is waited for
_FLUSH_EVERY: Final = 32  # events: a client that pipelines much gets its replies in between
_COMMAND_LOST: Final = Reply(421, "4.3.0", "Internal error, closing the connection")


class GateSession:
    """See the module.

    :param connection: the client's: its clocks, its limits, its record.
    :param channel: to the client.
    :param engine: what reads and writes on it.
    """

    __slots__ = (
        "_channel", "_connection", "_draining", "_engine", "_heard", "_in_content", "_input", "_left", "_progress",
        "_refused", "_task", "_upstream",
    )  # fmt: skip

    _handlers: ClassVar[dict[type, Callable[[Any, Any], Awaitable[None]]]] = {}

    def __init__(
        self,
        connection: GateConnection,
        channel: PlainChannel | SecureChannel,
        engine: PlainServer | SecureServer | UnprotectedServer,
    ) -> None:
        self._connection: Final = connection
        self._channel: PlainChannel | SecureChannel | None = channel
        self._engine: PlainServer | SecureServer | UnprotectedServer = engine
        self._upstream: Upstream | None = None
        self._task: asyncio.Task[None] | None = None
        self._input: asyncio.Future[None] | None = None  # what the coroutine waits for, while it waits for the client
        self._heard = 0  # events since the client was last waited for
        self._left = connection.command_seconds  # what the client's clock showed when it was stopped
        self._in_content = False
        self._progress = 0  # octets of content since its clock was set
        self._draining = False
        self._refused = 0  # commands

    # service.connection.Session

    @property
    def alive(self) -> bool:
        """Whether there is anybody to answer."""
        return self._channel is not None

    def watch(self, witness: Witness) -> None:
        """Show a witness what is read and said from here on."""
        self._engine.witness = witness

    def greet(self) -> None:
        """Say the greeting; or, where no server can be had, 421."""
        connection, engine = self._connection, self._engine
        if not connection.port.pool.available():
            self._tell_lost(connection.port.pool.reason)
            connection.outcome = "no server"
            engine.refuse(words.NO_SERVER)
            self._close(linger=True)
            return
        engine.greet()
        connection.wait(connection.command_seconds, "command")
        self._flush()

    def drain(self) -> None:
        """End at once when nothing is under way, else after the message that is."""
        self._draining = True
        if self._task is None or (self._input is not None and self._idle()):
            self._connection.outcome = "drained"
            self.hang_up(SHUTTING_DOWN)

    def expire(self) -> None:
        """The client took too long."""
        self.hang_up(TIMED_OUT)

    def hang_up(self, last: Reply) -> None:
        """Say one last reply and close. What the server has not got to its end, it has not got."""
        self._engine.shutdown(last)
        self._abandon()
        self._close(linger=True)
        self._wake()

    # net.transport.Receiver

    def data_received(self, data: bytes) -> None:
        channel, engine = self._channel, self._engine
        if channel is None:
            return
        engine.receive(data)
        if self._task is None:
            self._left = self._connection.deadline - self._connection.port.now()
            self._connection.hold()
            self._task = self._connection.port.loop.create_task(self._converse())
        elif self._input is not None:
            self._wake()
        elif engine.backlog > BACKLOG_LIMIT:
            channel.transport.pause()

    def eof_received(self) -> None:
        if self._channel is None:
            return
        self._engine.receive_eof()
        if self._task is None:
            self._task = self._connection.port.loop.create_task(self._converse())
        self._wake()

    def connection_lost(self, error: OSError | None) -> None:
        was, self._channel = self._channel, None
        if was is not None:
            self._abandon()
            if self._task is not None:
                self._task.cancel()
        self._connection.ended()

    # The coroutine

    async def _converse(self) -> None:
        try:
            while self._channel is not None:
                event = self._engine.next_event()
                if event is None:
                    await self._listen()
                    continue
                self._heard += 1
                await self._answer(event)
                if self._heard % _FLUSH_EVERY == 0:
                    await self._room()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must not wait for ever
            logs.failure("gate.failed", error, connection=self._connection.origin.connection)
            self.hang_up(_COMMAND_LOST)
        finally:
            upstream, self._upstream = self._upstream, None
            if upstream is not None:
                upstream.abort()

    async def _answer(self, event: events.Event) -> None:
        try:
            await self._handlers[type(event)](self, event)
        except ServerLost as lost:
            self._server_lost(lost)

    async def _listen(self) -> None:
        """Everything is answered that can be: say so, and wait for more."""
        connection, channel = self._connection, self._channel
        self._flush()
        if channel is None:
            return
        if self._draining and self._idle():
            connection.outcome = "drained"
            self.hang_up(SHUTTING_DOWN)
            return
        self._set_clock()
        self._heard = 0
        channel.transport.resume()
        self._input = connection.port.loop.create_future()
        try:
            await self._input
        finally:
            self._input = None
        if self._channel is not None:
            self._left = connection.deadline - connection.port.now()
            connection.hold()

    def _set_clock(self) -> None:
        connection = self._connection
        if self._in_content:
            if self._progress >= PROGRESS:
                self._progress = 0
                connection.wait(connection.data_seconds, "data")
                return
        elif self._heard:
            connection.wait(connection.command_seconds, "command")
            return
        connection.wait(max(self._left, 0.0), "data" if self._in_content else "command")

    async def _room(self) -> None:
        """Wait until the client has taken its replies, or its time is over."""
        self._flush()
        channel, connection = self._channel, self._connection
        if channel is not None and channel.transport.unsent > UNSENT_LIMIT:
            connection.wait(connection.command_seconds, "command")
            await channel.transport.drain(UNSENT_LIMIT)
            connection.hold()

    def _wake(self) -> None:
        if self._input is not None and not self._input.done():
            self._input.set_result(None)

    def _flush(self) -> None:
        out = self._engine.outgoing()
        if out and self._channel is not None:
            self._channel.send(out)

    def _close(self, *, linger: bool = False) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close(self._engine.outgoing(), linger=linger)

    # The server

    async def _leave(self) -> None:
        """Take leave of the server, if there is one."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.leave()

    def _abort(self) -> None:
        """Break off with the server."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    def _server_lost(self, lost: ServerLost) -> None:
        """Tell the client in place of the answer that it waits for, or of the one to the content that it is sending."""
        self._abort()
        self._tell_lost(str(lost))
        engine, reply = self._engine, lost.reply
        if self._channel is None:
            return
        if self._in_content:
            reply = words.NOT_ANSWERED if reply is words.SERVER_LOST else _not_closing(reply)
            self._refuse_content(reply)
            return
        self._connection.outcome = "server lost"
        if reply.code == 421 or engine.pending is None:
            engine.shutdown(reply if reply.code == 421 else words.SERVER_LOST)
        else:
            self._connection.outcome = ""
            engine.answer(reply)

    def _refuse_content(self, refusal: Reply) -> None:
        """Answer the content with a refusal: now where all of it has come, else when it has."""
        if self._engine.pending is Trigger.CONTENT_ENDS:
            self._answer_content((refusal,))
        else:
            self._engine.refuse_content(refusal)

    def _tell_lost(self, reason: str) -> None:
        connection = self._connection
        logs.event(
            "gate.server-lost",
            severity="warning",
            connection=connection.origin.connection,
            rip=connection.origin.peer[0],
            backend=connection.port.pool.name,
            reason=reason,
        )

    # What a subclass knows

    def _idle(self) -> bool:
        """Whether no message is under way, so that a drain need not wait."""
        return True

    def _abandon(self) -> None:
        """Forget the message that is under way; the server does not get it to its end."""

    def _answer_content(self, verdicts: tuple[Reply, ...]) -> None:
        """Answer for a message."""

    # Events that every session answers alike

    async def _on_quit(self, event: events.Quit) -> None:
        self._connection.outcome = "quit"

    async def _on_ended(self, event: events.Ended) -> None:
        connection = self._connection
        # A shutdown of our own has said why already.
        connection.outcome = connection.outcome or ("server closed" if event.reason == "shutdown" else event.reason)
        self._close(linger=event.reason != "quit")
        await self._leave()

    async def _on_fault(self, event: events.Fault) -> None:
        connection = self._connection
        connection.record.errors += 1
        connection.port.tally.add(connection.port.tally.errors)
        logs.event(
            "smtp.fault",
            severity="notice",
            connection=connection.origin.connection,
            rip=connection.origin.peer[0],
            reason=event.reason,
            line=event.line,
        )

    async def _on_nothing(self, event: object) -> None:
        """Answered by the engine."""


GateSession._handlers = {
    events.Quit: GateSession._on_quit,
    events.Ended: GateSession._on_ended,
    events.Fault: GateSession._on_fault,
    events.Verify: GateSession._on_nothing,
}


def _not_closing(reply: Reply) -> Reply:
    """A refusal of the message alone: what is still being sent must be read to its end."""
    return Reply(451, "4.3.2", reply.text) if reply.code == 421 else reply
