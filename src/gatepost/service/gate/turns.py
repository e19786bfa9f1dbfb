"""Sessions of a gate in which client and server take turns, command by command: SMTP and POP3.

One coroutine answers the events of the client's engine in turn: it reads an event, asks the server what it must,
answers, and goes on. It holds nothing beside the engine: while it waits for the server, what the client sends waits in
the engine up to a bound and then in the kernel; while the client does not take its answers, the server is asked
nothing. The answers to one input leave in one write.

The client's clock runs while it is waited for, and stands while the server is.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.observe import logs
from gatepost.service.gate.lost import ServerLost, server_lost, unavailable
from gatepost.service.gate.session import BACKLOG_LIMIT, UNSENT_LIMIT, ClientEngine, GateSession
from gatepost.wire.witness import Witness

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

_FLUSH_EVERY: Final = 32  # events: a client that pipelines much gets its answers in between

R = TypeVar("R")


class TurnEngine(ClientEngine, Protocol):
    """A client's engine that gives events, each of which is answered."""

    witness: Witness | None

    def greet(self) -> None: ...
    def next_event(self) -> object | None: ...
    def shutdown(self, last: Any, /) -> None:
        """Say one last reply, and end."""


class Server(Protocol):
    """The conversation with the server behind."""

    async def leave(self) -> None:
        """Say goodbye, and close."""

    def abort(self) -> None:
        """Close now."""


class Ending(Protocol):
    """The engine's event that the conversation is over."""

    @property
    def reason(self) -> str: ...


class Offence(Ending, Protocol):
    """The engine's event that the client did something wrong."""

    @property
    def line(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Words(Generic[R]):
    """What a gate says of its own in every protocol.

    :param family: the protocol, as names in the log begin.
    """

    family: str
    no_server: R
    shutting_down: R
    failed: R


E = TypeVar("E", bound=TurnEngine)
U = TypeVar("U", bound=Server)


class TurnSession(GateSession[E], Generic[E, R, U]):
    """See the module.

    :param words: what is said of our own.
    """

    __slots__ = ("_heard", "_input", "_left", "_task", "_upstream", "_words")

    _handlers: ClassVar[dict[type, Callable[[Any, Any], Awaitable[None]]]] = {}

    def __init__(
        self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: E, words: Words[R]
    ) -> None:
        super().__init__(connection, channel, engine)
        self._words: Final = words
        self._upstream: U | None = None
        self._task: asyncio.Task[None] | None = None
        self._input: asyncio.Future[None] | None = None  # what the coroutine waits for, while it waits for the client
        self._heard = 0  # events since the client was last waited for
        self._left = 0.0  # what the client's clock showed when it was stopped
        connection.wait(connection.command_seconds, "command")

    # service.connection.Session

    def watch(self, witness: Witness) -> None:
        """Show a witness what is read and said from here on."""
        self._engine.witness = witness

    def greet(self) -> None:
        """Say the greeting; or, where no server can be had, say so and close."""
        pool = self._connection.port.pool
        if not pool.available():
            self.refuse_service(ServerLost(pool.reason, self._words.no_server))
            return
        self._engine.greet()
        self._flush()

    def drain(self) -> None:
        """End at once when nothing is under way, else after the answer, or the message, that is."""
        self._draining = True
        if self._task is None or (self._input is not None and self._idle()):
            self._end_drained()

    def hang_up(self, last: R) -> None:
        """Say one last reply and close. What the server has not got to its end, it has not got."""
        self._engine.shutdown(last)
        self._break_off()

    def refuse_service(self, lost: ServerLost[R]) -> None:
        """There is no server for this client."""
        self._tell_lost(lost)
        self._connection.outcome = self._connection.outcome or "server refused"
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
        if self._channel is None:
            return
        self._engine.receive_eof()
        if self._task is None:
            self._begin()
        self._wake()

    def connection_lost(self, error: OSError | None) -> None:
        was, self._channel = self._channel, None
        if was is not None:
            self._abandon()
            if self._task is not None:
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
            self.hang_up(self._words.failed)
        finally:
            self._abort()

    async def _answer(self, event: object) -> None:
        try:
            await self._handlers[type(event)](self, event)
        except ServerLost as lost:
            self._abort()
            self._tell_lost(lost)
            if self._channel is not None:
                self._server_lost(lost)

    async def _listen(self) -> None:
        """Everything is answered that can be: say so, and wait for more."""
        connection, channel = self._connection, self._channel
        self._flush()
        if channel is None:
            return
        if self._draining and self._idle():
            self._end_drained()
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
            self._stop_clock()

    def _set_clock(self) -> None:
        """The client has its time from here for its next command, or, within one, what was left of it."""
        connection = self._connection
        connection.wait(connection.command_seconds if self._heard else max(self._left, 0.0), "command")

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

    def _end_drained(self) -> None:
        self._connection.outcome = "drained"
        self.hang_up(self._words.shutting_down)

    def _break_off(self) -> None:
        """Close behind the last words, and let the coroutine find out."""
        self._abandon()
        self._close(linger=True)
        self._wake()

    # The server

    async def _leave(self) -> None:
        """Take leave of the server, if there is one."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.leave()

    def _abort(self) -> None:
        """Break off with the server, if there is one."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    def _tell_lost(self, lost: ServerLost[R]) -> None:
        tell = unavailable if lost.reply is self._words.no_server else server_lost
        tell(self._connection, str(lost))

    # What a subclass knows

    async def _prepare(self) -> None:
        """What comes before the first event."""

    @abstractmethod
    def _server_lost(self, lost: ServerLost[R]) -> None:
        """Tell the client in place of the answer that it waits for; the connection to the server is closed."""

    def _idle(self) -> bool:
        """Whether nothing is under way between two commands, so that a drain need not wait."""
        return True

    def _abandon(self) -> None:
        """Forget the message that is under way; the server does not get it to its end."""

    # Events that every session answers alike

    async def _on_quit(self, event: Any) -> None:
        self._connection.outcome = "quit"

    async def _on_ended(self, event: Ending) -> None:
        connection = self._connection
        connection.outcome = connection.outcome or event.reason
        self._close(linger=event.reason != "quit")
        await self._leave()

    async def _on_fault(self, event: Offence) -> None:
        connection = self._connection
        connection.record.errors += 1
        connection.fault(self._words.family, event.reason, event.line)
