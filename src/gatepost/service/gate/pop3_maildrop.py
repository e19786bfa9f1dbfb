"""The session of a POP3 gate that has a server: logins and the maildrop, command by command.

The server is dialled before anything is answered, so what is offered is what this server lists. Every answer to a
command that is about mail is the server's, QUIT included: the gate deletes nothing and promises nothing. Answers of
several lines pass octet for octet, at the pace at which the client takes them.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.certified import refusal_of
from gatepost.service.gate import pop3_words as words
from gatepost.service.gate.backends import Client
from gatepost.service.gate.logins import Logins
from gatepost.service.gate.lost import ServerLost
from gatepost.service.gate.pop3_session import POP3Session, profile_for
from gatepost.service.gate.pop3_upstream import Upstream, reach
from gatepost.service.gate.turns import Ending
from gatepost.wire.pop3 import events
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import SecureServer
from gatepost.wire.pop3.unprotected import UnprotectedServer
from gatepost.wire.upgrade import TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

_PLAIN_NAME: Final = "USER"  # for the log: a name and a password without SASL


class MaildropSession(POP3Session):
    """See the module.

    :param engine: one that knows logins.
    :param evidence: of the client's handshake; None in the clear.
    """

    __slots__ = ("_asked", "_attempts", "_evidence", "_greets", "_unproved")

    def __init__(
        self,
        connection: GateConnection,
        channel: PlainChannel | SecureChannel,
        engine: SecureServer | UnprotectedServer,
        evidence: TLSEvidence | None,
    ) -> None:
        super().__init__(connection, channel, engine)
        self._evidence: Final = evidence
        self._greets = False
        self._asked = False  # whether the server waits for a response
        self._attempts: Final = Logins(connection)
        self._unproved: Reply | None = None
        if evidence is not None:
            self._unproved = refusal_of(
                connection.terms.asked, evidence.verification, words.NO_CERTIFICATE, words.UNCHECKED
            )
        self._listening = False  # for the server first
        connection.port.loop.call_soon(self._open)

    def greet(self) -> None:
        """A greeting is due, once there is a server."""
        self._greets = True

    def connection_lost(self, error: OSError | None) -> None:
        self._left_us()
        super().connection_lost(error)

    @property
    def _logins(self) -> SecureServer | UnprotectedServer:
        engine = self._engine
        assert isinstance(engine, SecureServer | UnprotectedServer)
        return engine

    @property
    def _server(self) -> Upstream:
        upstream = self._upstream
        assert upstream is not None
        return upstream

    def _open(self) -> None:
        if self._channel is not None:
            self._begin(self._prepare())

    async def _prepare(self) -> None:
        """What comes before the first event."""
        connection, engine = self._connection, self._logins
        try:
            upstream = self._upstream = await reach(connection.port.pool, Client(connection.origin, self._evidence))
        except ServerLost as lost:
            self.refuse_service(lost)
            return
        connection.reached(upstream.link)
        engine.offer(profile_for(connection, upstream.abilities, stls=False))
        if self._greets:
            engine.greet()

    # Logins

    async def _on_login(self, event: events.LoginRequested) -> None:
        if self._unproved is not None:
            self._engine.answer(self._unproved)
            return
        self._attempts.begin(_PLAIN_NAME, user=event.user)
        server = self._server
        answer = await server.ask(server.relaying.user(event.user))
        if answer.positive:
            answer = await server.ask(server.relaying.password(event.password))
        await self._verdict(answer)

    async def _on_auth(self, event: events.AuthRequested) -> None:
        if self._unproved is not None:
            self._engine.answer(self._unproved)
            return
        self._attempts.begin(event.mechanism, event.initial)
        server = self._server
        await self._stepped(await server.ask(server.relaying.authenticate(event.mechanism, event.initial)))

    async def _on_auth_response(self, event: events.AuthResponse) -> None:
        self._attempts.respond(event.data)
        server = self._server
        await self._stepped(await server.ask(server.relaying.respond(event.data)))

    async def _on_auth_cancelled(self, event: events.AuthCancelled) -> None:
        """The client gave up, or was told that it cannot go on: so is the server."""
        upstream = self._upstream
        if self._asked and upstream is not None:
            self._asked = False
            await upstream.ask(upstream.relaying.cancel())

    async def _stepped(self, answer: Reply | bytes) -> None:
        """Pass on what the server says to a step of an exchange."""
        self._asked = isinstance(answer, bytes)
        if isinstance(answer, bytes):
            self._logins.challenge(answer)
        else:
            await self._verdict(answer)

    async def _verdict(self, answer: Reply) -> None:
        """Pass on what the server says to a login."""
        connection = self._connection
        address = connection.origin.peer[0]
        if answer.positive:
            user = await self._attempts.accepted(address)
            connection.command_seconds = connection.port.config.limits.pop3_idle_timeout
            self._logins.authenticated(user, answer)
            return
        last = await self._attempts.refused(address, answer, temporary=answer.temporary)
        self._engine.answer(answer)
        if last:
            self._engine.shutdown(words.TOO_MANY_LOGINS)

    # The maildrop

    async def _ask(self, line: str) -> None:
        """A command whose answer has one line, which is the server's."""
        server = self._server
        self._engine.answer(await server.ask(server.relaying.ask(line)))

    async def _fetch(self, line: str) -> int | None:
        """A command whose answer has several lines: its octets; None when it was refused.

        :raises ServerLost: also in the middle of it.
        """
        server, engine = self._server, self._engine
        answer = await server.ask(server.relaying.begin(line))
        if not answer.positive:
            engine.answer(answer)
            return None
        engine.begin_multiline(answer.text, exact=True)
        while piece := await server.piece():
            engine.multiline(piece)
            await self._room()
        return engine.end_multiline()

    async def _on_stat(self, event: events.StatAsked) -> None:
        await self._ask("STAT")

    async def _on_list(self, event: events.ListAsked) -> None:
        await (self._fetch("LIST") if event.number is None else self._ask(f"LIST {event.number}"))

    async def _on_uidl(self, event: events.UidlAsked) -> None:
        await (self._fetch("UIDL") if event.number is None else self._ask(f"UIDL {event.number}"))

    async def _on_retrieve(self, event: events.Retrieve) -> None:
        octets = await self._fetch(f"RETR {event.number}")
        if octets is not None:
            connection = self._connection
            connection.record.messages += 1
            connection.record.bytes += octets
            connection.port.tally.add(connection.port.tally.messages)
            connection.port.tally.add(connection.port.tally.octets_out, octets)

    async def _on_top(self, event: events.Top) -> None:
        await self._fetch(f"TOP {event.number} {event.lines}")

    async def _on_delete(self, event: events.Delete) -> None:
        await self._ask(f"DELE {event.number}")

    async def _on_undelete(self, event: events.Undelete) -> None:
        await self._ask("RSET")

    async def _on_noop(self, event: events.NoopAsked) -> None:
        await self._ask("NOOP")

    def _on_ended(self, event: Ending) -> None:
        if event.reason == "connection lost":
            self._left_us()
        super()._on_ended(event)

    def _left_us(self) -> None:
        """Many a client just goes when its login is refused: that is what ended the session, and no network."""
        connection = self._connection
        if self._channel is not None and connection.record.refused and not connection.record.user:
            connection.outcome = connection.outcome or "login refused"

    def _on_quit(self, event: events.Quit) -> Coroutine[Any, Any, None] | None:
        super()._on_quit(event)
        return self._update() if event.update else None

    async def _update(self) -> None:
        """The answer to a QUIT that deletes is the server's (RFC 1939 §6)."""
        server = self._server
        try:
            answer = await server.ask(server.relaying.quit())
        except ServerLost as lost:
            raise ServerLost(str(lost), words.NOT_ANSWERED) from lost
        self._upstream = None
        server.link.close()
        self._engine.answer(answer)


MaildropSession._handlers = {
    **POP3Session._handlers,
    events.LoginRequested: MaildropSession._on_login,
    events.AuthRequested: MaildropSession._on_auth,
    events.AuthResponse: MaildropSession._on_auth_response,
    events.AuthCancelled: MaildropSession._on_auth_cancelled,
    events.StatAsked: MaildropSession._on_stat,
    events.ListAsked: MaildropSession._on_list,
    events.UidlAsked: MaildropSession._on_uidl,
    events.Retrieve: MaildropSession._on_retrieve,
    events.Top: MaildropSession._on_top,
    events.Delete: MaildropSession._on_delete,
    events.Undelete: MaildropSession._on_undelete,
    events.NoopAsked: MaildropSession._on_noop,
    events.Quit: MaildropSession._on_quit,
    events.Ended: MaildropSession._on_ended,
}
