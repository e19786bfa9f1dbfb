"""Sessions of a gate in which client and server take turns, command by command: SMTP and POP3.

The events of the client's engine are answered in turn (``_pump``): each at once, or, where the server has to be asked,
by a coroutine that goes on where the server's answer comes in (``pause``). A session holds nothing beside the engine:
while it waits for the server, what the client sends waits in the engine up to a bound and then in the kernel; while the
client does not take its answers, the server is asked nothing. The answers to one input leave in one write.

The client's clock runs while it is waited for, and stands while the server is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.served import COMMANDS_A_TURN
from gatepost.observe import logs
from gatepost.service.gate.lost import ServerLost, server_lost, unavailable
from gatepost.service.gate.pause import Turn
from gatepost.service.gate.session import BACKLOG_LIMIT, UNSENT_LIMIT, ClientEngine, GateSession
from gatepost.wire.witness import Witness

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

_FLUSH_EVERY: Final = 32  # events: a client that pipelines much gets its answers in between

R = TypeVar("R")


class TurnEngine(ClientEngine, Protocol):
    """A client's engine that gives events, each of which is answered.

    ``allowance``: commands that it still reads before others on this loop have their turn.
    """

    allowance: int
    witness: Witness | None

    def greet(self) -> None: ...
    def next_event(self) -> object | None: ...
    def shutdown(self, last: Any, /) -> None:
        """Say one last reply, and end."""


class Server(Protocol):
    """The conversation with the server behind."""

    def leave(self) -> None:
        """Say goodbye, and close when it has answered."""

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
    """See the module. A handler answers its event, or returns the coroutine that will.

    :param words: what is said of our own.
    """

    __slots__ = ("_heard", "_left", "_listening", "_pumping", "_turn", "_upstream", "_words")

    _handlers: ClassVar[dict[type, Callable[[Any, Any], Coroutine[Any, Any, None] | None]]] = {}

    def __init__(
        self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: E, words: Words[R]
    ) -> None:
        super().__init__(connection, channel, engine)
        self._words: Final = words
        self._upstream: U | None = None
        self._turn: Turn | None = None  # the answer that is under way, while it waits
        self._listening = True  # whether the client is waited for
        self._pumping = False
        self._heard = 0  # events since the client was last waited for
        self._left: float | None = None  # what the client's clock showed when it was stopped; None while it runs
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
        if self._listening and self._idle():
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
        if self._listening:
            self._pump()
        elif engine.backlog > BACKLOG_LIMIT:
            channel.transport.pause()

    def eof_received(self) -> None:
        if self._channel is None:
            return
        self._engine.receive_eof()
        if self._listening:
            self._pump()

    def connection_lost(self, error: OSError | None) -> None:
        was, self._channel = self._channel, None
        if was is not None:
            self._abandon()
            self._drop()
        self._connection.ended()

    # The pump

    def _pump(self) -> None:
        """Answer everything that can be answered, then wait: for the server, or for the client."""
        self._listening, self._pumping = False, True
        self._engine.allowance = COMMANDS_A_TURN
        try:
            while self._answer_next():
                pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the client must not wait for ever
            logs.failure("gate.failed", error, connection=self._connection.origin.connection)
            self._connection.outcome = "failed"
            self._turn = None
            self.hang_up(self._words.failed)
        finally:
            self._pumping = False
        if self._channel is None:
            self._drop()
        elif self._turn is None:
            self._listen()

    def _answer_next(self) -> bool:
        """Answer the next event, or go on with the answer that waited; whether there may be another."""
        turn = self._turn
        try:
            if turn is None:
                if self._heard > _FLUSH_EVERY:
                    self._heard = 1
                    answer: Coroutine[Any, Any, None] | None = self._room()
                elif self._channel is None:
                    return False
                elif (event := self._engine.next_event()) is None:
                    if self._engine.allowance or (self._draining and self._idle()):
                        return False
                    answer = self._rest()
                else:
                    self._heard += 1
                    answer = self._handlers[type(event)](self, event)
                if answer is None:
                    return True
                turn = self._wait_for(answer)
            if not turn.advance():
                return False
        except ServerLost as lost:
            self._abort()
            self._tell_lost(lost)
            if self._channel is not None:
                self._server_lost(lost)
        self._turn = None
        return True

    def _wait_for(self, answer: Coroutine[Any, Any, None]) -> Turn:
        self._stop_clock()
        turn = self._turn = Turn(answer, self._pump)
        return turn

    def _begin(self, opening: Coroutine[Any, Any, None]) -> None:
        """Do something before the first event is answered."""
        self._wait_for(opening)
        self._pump()

    def _listen(self) -> None:
        """Everything is answered that can be: say so, and wait for more."""
        self._flush()
        channel = self._channel
        if channel is None:
            self._drop()
            return
        self._listening = True
        if self._draining and self._idle():
            self._end_drained()
            return
        self._set_clock()
        self._heard = 0
        channel.transport.resume()

    def _drop(self) -> None:
        """The client is gone: leave the answer where it stands, and break off with the server."""
        self._listening = False
        if self._pumping:
            return  # somebody further up in the stack sees it
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.close()
        self._abort()

    def _set_clock(self) -> None:
        """The client has its time from here for its next command, or, within one, what was left of it."""
        if self._heard:
            self._connection.wait(self._connection.command_seconds, "command")
        elif self._left is not None:
            self._connection.wait(max(self._left, 0.0), "command")
        self._left = None

    def _stop_clock(self) -> None:
        connection = self._connection
        if self._left is None:
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

    async def _rest(self) -> None:
        """Wait until everybody else on this loop had a turn: this client sent very much at once."""
        self._flush()
        loop = self._connection.port.loop
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn

    def _end_drained(self) -> None:
        self._connection.outcome = "drained"
        self.hang_up(self._words.shutting_down)

    def _break_off(self) -> None:
        """Close behind the last words; the server gets no more."""
        self._abandon()
        self._close(linger=True)
        self._drop()

    # The server

    def _leave(self) -> None:
        """Take leave of the server, if there is one."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.leave()

    def _abort(self) -> None:
        """Break off with the server, if there is one."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()

    def _tell_lost(self, lost: ServerLost[R]) -> None:
        tell = unavailable if lost.reply is self._words.no_server else server_lost
        tell(self._connection, str(lost))

    # What a subclass knows

    @abstractmethod
    def _server_lost(self, lost: ServerLost[R]) -> None:
        """Tell the client in place of the answer that it waits for; the connection to the server is closed."""

    def _idle(self) -> bool:
        """Whether nothing is under way between two commands, so that a drain need not wait."""
        return True

    def _abandon(self) -> None:
        """Forget the message that is under way; the server does not get it to its end."""

    # Events that every session answers alike

    def _on_quit(self, event: Any) -> Coroutine[Any, Any, None] | None:
        self._connection.outcome = "quit"
        return None

    def _on_ended(self, event: Ending) -> None:
        connection = self._connection
        connection.outcome = connection.outcome or event.reason
        self._close(linger=event.reason != "quit")
        self._leave()

    def _on_fault(self, event: Offence) -> None:
        connection = self._connection
        connection.record.errors += 1
        connection.fault(self._words.family, event.reason, event.line)
