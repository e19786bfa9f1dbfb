"""With a server behind: what the client says goes to it, what it says comes back, each at the other's pace.

A session has two tasks for as long as its server is there: one hears the server, one speaks to it. Whoever does not
take what is for him stops the other side from being read; neither way holds more than ``HELD_LIMIT`` and one read.

The server is dialled when the session begins, for this session alone. What was said before TLS was said to nobody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from gatepost.errors import GatepostError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.observe import logs
from gatepost.service.gate.backends import BackendUnavailable, Client, Link
from gatepost.service.gate.imap_session import NO_SERVER, IMAPSession
from gatepost.service.gate.imap_upstream import hear, reach
from gatepost.service.gate.lost import server_lost, unavailable
from gatepost.service.gate.session import BACKLOG_LIMIT
from gatepost.service.login import FAILURES_A_SESSION
from gatepost.wire.imap.events import Ended, Event, LoggedIn, LoginFailed
from gatepost.wire.imap.relay import SERVER_FAULT, Relay

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

HELD_LIMIT: Final = 1 << 16  # octets for the server that it has not taken; for the client likewise
IDLE_SECONDS: Final = 1860.0  # RFC 9051 §5.4: at least 30 minutes, and clients end IDLE every 29 (§6.3.13)
_LOST: Final = "The server behind closed the connection"

R = TypeVar("R", bound=Relay)


class RelaySession(IMAPSession[R]):
    """A session with a server behind.

    :param greets: whether the client hears a greeting: it has heard one before STARTTLS.
    """

    __slots__ = ("_failures", "_greets", "_link", "_more", "_sending", "_task", "_turn", "_unsent", "_withheld")

    def __init__(
        self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: R, *, greets: bool
    ) -> None:
        super().__init__(connection, channel, engine)
        self._greets: Final = greets
        self._link: Link | None = None
        self._more: Final = asyncio.Event()  # there is something to say to the server
        self._unsent = bytearray()  # that
        self._sending = 0  # octets of it that are on their way
        self._withheld = 0.0  # seconds that the answer to a failed login waits
        self._failures = 0
        self._turn = ""
        evidence = channel.evidence if isinstance(channel, SecureChannel) else None
        client = Client(channel.origin, evidence)
        connection.hold()  # every step of reaching the server has its deadline
        self._task: Final = connection.port.loop.create_task(self._serve(client))

    def greet(self) -> None:
        """The greeting follows when the server is there."""

    def drain(self) -> None:
        """End: at once when nothing is asked of the server, else when it has answered."""
        self._draining = True
        if not self._engine.pending or self._engine.idling:
            self._connection.outcome = self._connection.outcome or "drained"
            self._engine.shutdown("Shutting down")
            self._pump()

    def expire(self) -> None:
        if self._turn == "data":  # it does not take what we send
            self._connection.transport.abort()
        elif self._turn == "server":
            self._engine.shutdown("The server behind does not answer")
            self._pump()
        else:
            super().expire()

    def connection_lost(self, error: OSError | None) -> None:
        if self._channel is not None and self._engine.state.name == "LEAVING":
            self._connection.outcome = self._connection.outcome or "logout"
        self._channel = None
        self._end_link()
        super().connection_lost(error)

    # The server

    async def _serve(self, client: Client) -> None:
        """Reach the server, then pass on what it says until one side is done."""
        try:
            await self._converse(client)
        except BackendUnavailable as error:
            self._unavailable(error)
        except Exception as error:  # noqa: BLE001  # a session that stumbles ends, and the process goes on
            logs.failure("gate.failed", error, connection=self._connection.origin.connection)
            self._connection.outcome = "failed"
            self._engine.shutdown("Internal trouble")
            self._pump()
        finally:
            self._end_link()

    async def _converse(self, client: Client) -> None:
        link, opening = await reach(self._connection.port.pool, client)
        self._link = link
        if self._channel is None:
            return
        self._connection.reached(link)
        self._engine.opened(opening, greet=self._greets)
        self._pump()
        speaking = asyncio.get_running_loop().create_task(self._speak(link))
        try:
            await self._listen(link)
        finally:
            speaking.cancel()

    async def _listen(self, link: Link) -> None:
        """Pass on what the server says, at the pace at which the client takes it."""
        tally = self._connection.port.tally
        while self._channel is not None:
            try:
                data, why = await hear(link), "it closed the connection"
            except (GatepostError, OSError) as error:
                data, why = b"", str(error)
            if not data:
                if not self._engine.farewell:
                    self._tell_lost(why)
                self._engine.lost(_LOST)
                self._pump()
                return
            tally.add(tally.octets_out, len(data))
            self._engine.receive_from_server(data)
            self._pump()
            await self._settle()

    async def _settle(self) -> None:
        """Wait while the client is slowed down, and until it has taken nearly all."""
        connection = self._connection
        if self._withheld:
            connection.hold()
            await asyncio.sleep(self._withheld)
            self._withheld = 0.0
            self._pump()
        channel = self._channel
        if channel is not None and channel.transport.unsent > HELD_LIMIT:
            connection.wait(connection.data_seconds, "data")
            self._turn = "data"
            await channel.transport.drain(HELD_LIMIT)
            self._wind()

    async def _speak(self, link: Link) -> None:
        """Pass on what the client says, at the pace at which the server takes it."""
        tally, record = self._connection.port.tally, self._connection.record
        while True:
            await self._more.wait()
            self._more.clear()
            data = bytes(self._unsent)
            self._unsent.clear()
            self._sending = len(data)
            try:
                await link.send(data)
            except (GatepostError, OSError):
                return  # whoever listens finds out, and says so
            self._sending = 0
            tally.add(tally.octets_in, len(data))
            record.bytes += len(data)
            self._balance()

    def _unavailable(self, error: BackendUnavailable) -> None:
        unavailable(self._connection, error.reason)
        self._engine.shutdown(NO_SERVER)
        self._pump()

    def _tell_lost(self, reason: str) -> None:
        """A server was lost, or is not to be believed, in the middle of the session."""
        connection = self._connection
        connection.outcome = connection.outcome or "server lost"
        server_lost(connection, reason)

    def _end_link(self) -> None:
        """The server is not needed any more."""
        link, self._link = self._link, None
        if link is not None:
            if self._unsent or self._engine.halfway:
                link.abort()  # nobody takes the half of a command for the whole
            else:
                link.close()
        if self._task is not asyncio.current_task():
            self._task.cancel()

    # The client

    def _pump(self) -> None:
        super()._pump()
        if self._channel is None:
            return
        if data := self._engine.to_server():
            self._unsent += data
            self._more.set()
        self._balance()
        self._wind()
        if self._draining and not self._engine.over and not self._engine.pending:
            self.drain()

    def _goes_on(self) -> bool:
        # What is guessed next waits until this guess was answered.
        return super()._goes_on() and not self._withheld

    def _balance(self) -> None:
        """Read the client when there is room for what it says, and only then."""
        channel = self._channel
        if channel is None or self._eof:
            return
        if len(self._unsent) + self._sending > HELD_LIMIT or self._engine.backlog > BACKLOG_LIMIT:
            channel.transport.pause()
        else:
            channel.transport.resume()

    def data_received(self, data: bytes) -> None:
        self._turn = ""  # whoever says something is not late
        super().data_received(data)

    def _wind(self) -> None:
        """Set the clock of whoever's turn it is."""
        connection, engine = self._connection, self._engine
        if self._channel is None or self._link is None or self._withheld:
            return
        if not engine.expects_client:
            connection.wait(connection.port.pool.settings.reply_timeout, "server")
            self._turn = "server"
            return
        if self._turn == "client":
            return  # what a server says does not wind the clock of a client that says nothing
        self._turn = "client"
        if engine.idling or (engine.authenticated and not engine.pending):
            connection.wait(max(IDLE_SECONDS, connection.command_seconds), "idle")
        elif engine.pending:
            connection.wait(connection.data_seconds, "data")
        else:
            connection.wait(connection.command_seconds, "command")

    def _close(self, *, linger: bool = False) -> None:
        super()._close(linger=linger)
        self._end_link()

    # What happens in it

    def _on(self, event: Event) -> None:
        if isinstance(event, LoggedIn):
            self._on_logged_in(event)
        elif isinstance(event, LoginFailed):
            self._on_login_failed(event)
        else:
            if isinstance(event, Ended) and event.reason.startswith(SERVER_FAULT):
                self._tell_lost(event.reason.removeprefix(SERVER_FAULT))
            super()._on(event)

    def _on_logged_in(self, event: LoggedIn) -> None:
        connection = self._connection
        connection.record.user = event.user
        logs.event(
            "auth.succeeded", connection=connection.origin.connection, rip=connection.origin.peer[0],
            user=event.user, mechanism=event.mechanism,
        )  # fmt: skip

    def _on_login_failed(self, event: LoginFailed) -> None:
        connection = self._connection
        address = connection.origin.peer[0]
        delay = connection.port.limits.login_failed(address)
        logs.event(
            "auth.failed", severity="notice", connection=connection.origin.connection, rip=address,
            listener=connection.port.name, user=event.user, mechanism=event.mechanism,
            reason="the server refused", delay=delay,
        )  # fmt: skip
        connection.record.refused += 1
        self._withheld = delay
        self._failures += 1
        if self._failures >= FAILURES_A_SESSION:
            connection.outcome = "too many failed logins"
            self._engine.shutdown("Too many failed logins")
