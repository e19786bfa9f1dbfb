"""What POP3 sessions of a gate have in common: the client's engine, and one coroutine that answers its events in turn.

The coroutine reads an event, asks the server what it must, answers, and goes on. It holds nothing beside the engine:
while it waits for the server, what the client sends waits in the engine up to a bound and then in the kernel; while the
client does not take an answer, the server is not read. The answers to one input leave in one write.

The client's clock runs while it is waited for, and stands while the server is. A server that is lost ends the session:
with ``-ERR [SYS/TEMP]`` between two answers, without a word inside one of several lines, so that nobody takes half a
message for a whole one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.observe import logs
from gatepost.service.gate import pop3_words as words
from gatepost.service.gate.pop3_offer import NO_ABILITIES, Abilities, offer
from gatepost.service.gate.pop3_upstream import ServerLost, Upstream
from gatepost.wire.pop3 import events, reply
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.unprotected import UnprotectedServer
from gatepost.wire.witness import Witness

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

Engine: TypeAlias = PlainServer | SecureServer | UnprotectedServer

BACKLOG_LIMIT: Final = 1 << 16  # octets that may wait in the engine while it waits for the server
UNSENT_LIMIT: Final = 1 << 16  # octets of answers that a client may leave unread before it is waited for
_FLUSH_EVERY: Final = 32  # events: a client that pipelines much gets its answers in between


class GateSession:
    """See the module.

    :param connection: the client's: its clocks, its limits, its record.
    :param channel: to the client.
    :param engine: what reads and writes on it.
    """

    __slots__ = ("_channel", "_connection", "_draining", "_engine", "_heard", "_input", "_left", "_task", "_upstream")

    _handlers: ClassVar[dict[type, Callable[[Any, Any], Awaitable[None]]]] = {}

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: Engine) -> None:
        self._connection: Final = connection
        self._channel: PlainChannel | SecureChannel | None = channel
        self._engine: Final[Engine] = engine
        self._upstream: Upstream | None = None
        self._task: asyncio.Task[None] | None = None
        self._input: asyncio.Future[None] | None = None  # what the coroutine waits for, while it waits for the client
        self._heard = 0  # events since the client was last waited for
        self._left = 0.0  # what the client's clock showed when it was stopped
        self._draining = False
        limits, now = connection.port.config.limits, connection.port.now()
        connection.command_seconds = limits.pop3_login_timeout
        connection.last_call = min(connection.last_call, now + limits.pop3_login_timeout)
        connection.wait(connection.command_seconds, "command")

    # service.connection.Session

    @property
    def alive(self) -> bool:
        """Whether there is anybody to answer."""
        return self._channel is not None

    def watch(self, witness: Witness) -> None:
        """Show a witness what is read and said from here on."""
        self._engine.witness = witness

    def greet(self) -> None:
        """Say the greeting; or, where no server can be had, say so and close."""
        connection, engine = self._connection, self._engine
        if not connection.port.pool.available():
            self.refuse_service(ServerLost(connection.port.pool.reason, words.NO_SERVER))
            return
        engine.greet()
        self._flush()

    def drain(self) -> None:
        """End at once when nothing is under way, else after the answer that is."""
        self._draining = True
        if self._task is None or self._input is not None:
            self._connection.outcome = "drained"
            self.hang_up(reply.SHUTTING_DOWN)

    def expire(self) -> None:
        """The client said nothing for too long, or takes nothing: RFC 1939 §3 has us close without a word."""
        if self._task is None or self._input is not None:
            self.hang_up(None)
        else:
            self._connection.transport.abort()

    def hang_up(self, last: Reply | None) -> None:
        """Say one last line, or none, and close. Nothing is deleted."""
        self._engine.shutdown(last)
        self._close(linger=True)
        self._wake()

    def refuse_service(self, lost: ServerLost) -> None:
        """There is no server for this client."""
        self._tell_lost(lost)
        self._connection.outcome = "no server"
        self.hang_up(lost.reply)

    # net.transport.Receiver

    def data_received(self, data: bytes) -> None:
        channel, engine = self._channel, self._engine
        if channel is None:
            return
        engine.receive(data)
        if self._task is None:
            self._begin()
        elif self._input is not None:
            self._wake()
        elif engine.backlog > BACKLOG_LIMIT:
            channel.transport.pause()

    def eof_received(self) -> None:
        if self._channel is not None:
            self._engine.receive_eof()
            if self._task is None:
                self._begin()
            self._wake()

    def connection_lost(self, error: OSError | None) -> None:
        was, self._channel = self._channel, None
        if was is not None and self._task is not None:
            self._task.cancel()
        self._connection.ended()

    # The coroutine

    def _begin(self) -> None:
        self._stop_clock()
        self._task = self._connection.port.loop.create_task(self._converse())

    async def _converse(self) -> None:
        try:
            await self._prepare()
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
            self._connection.outcome = "failed"
            self.hang_up(words.FAILED)
        finally:
            upstream, self._upstream = self._upstream, None
            if upstream is not None:
                upstream.abort()

    async def _prepare(self) -> None:
        """What comes before the first event."""

    async def _answer(self, event: events.Event) -> None:
        try:
            await self._handlers[type(event)](self, event)
        except ServerLost as lost:
            self._abort()
            self._tell_lost(lost)
            if self._channel is not None:
                self._connection.outcome = "server lost"
                self._engine.shutdown(lost.reply)  # ``Ended`` is next

    async def _listen(self) -> None:
        """Everything is answered that can be: say so, and wait for more."""
        connection, channel = self._connection, self._channel
        self._flush()
        if channel is None:
            return
        if self._draining:
            connection.outcome = "drained"
            self.hang_up(reply.SHUTTING_DOWN)
            return
        connection.wait(connection.command_seconds if self._heard else max(self._left, 0.0), "command")
        self._heard = 0
        channel.transport.resume()
        self._input = connection.port.loop.create_future()
        try:
            await self._input
        finally:
            self._input = None
        self._stop_clock()

    def _stop_clock(self) -> None:
        connection = self._connection
        self._left = connection.deadline - connection.port.now()
        connection.hold()

    async def _room(self) -> None:
        """Wait until the client has taken its answers, or its time is over."""
        self._flush()
        channel, connection = self._channel, self._connection
        if channel is not None and channel.transport.unsent > UNSENT_LIMIT:
            connection.wait(connection.data_seconds, "data")
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

    def _abort(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    def _tell_lost(self, lost: ServerLost) -> None:
        connection = self._connection
        about: dict[str, str] = {
            "connection": connection.origin.connection,
            "rip": connection.origin.peer[0],
            "backend": connection.port.pool.name,
            "reason": str(lost),
        }
        if lost.reply is words.NO_SERVER:
            logs.event("gate.unavailable", severity="warning", **about)
        else:
            logs.event("gate.server-lost", severity="warning", **about)

    # Events that every session answers alike

    async def _on_quit(self, event: events.Quit) -> None:
        self._connection.outcome = "quit"

    async def _on_ended(self, event: events.Ended) -> None:
        connection = self._connection
        connection.outcome = connection.outcome or event.reason
        self._close(linger=event.reason != "quit")
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.leave()

    async def _on_fault(self, event: events.Fault) -> None:
        connection = self._connection
        connection.record.errors += 1
        connection.port.tally.add(connection.port.tally.errors)
        logs.event(
            "pop3.fault",
            severity="notice",
            connection=connection.origin.connection,
            rip=connection.origin.peer[0],
            reason=event.reason,
            line=event.line,
        )


GateSession._handlers = {
    events.Quit: GateSession._on_quit,
    events.Ended: GateSession._on_ended,
    events.Fault: GateSession._on_fault,
}


def known(connection: GateConnection) -> Abilities:
    """What the last check of the pool learned."""
    learned = connection.port.pool.known
    return learned if isinstance(learned, Abilities) else NO_ABILITIES


def profile_for(connection: GateConnection, server: Abilities, *, stls: bool) -> ServerProfile:
    """How the gate speaks to a client of this connection."""
    config = connection.port.config
    return offer(config.hostname, server, stls=stls, max_errors=config.limits.errors)
