"""The session of a POP3 gate that has a server: logins and the maildrop, command by command.

The server is dialled before anything is answered, so what is offered is what this server lists. Every answer to a
command that is about mail is the server's, QUIT included: the gate deletes nothing and promises nothing. Answers of
several lines pass octet for octet, at the pace at which the client takes them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.observe import logs
from gatepost.service.certified import refusal_of
from gatepost.service.gate import pop3_words as words
from gatepost.service.gate.backends import Client
from gatepost.service.gate.pop3_session import GateSession, profile_for
from gatepost.service.gate.pop3_upstream import ServerLost, Upstream, reach
from gatepost.service.gate.smtp_login import name_in
from gatepost.service.login import FAILURES_A_SESSION
from gatepost.wire.pop3 import events
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import SecureServer
from gatepost.wire.pop3.unprotected import UnprotectedServer
from gatepost.wire.upgrade import TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

_UNNAMED: Final = "unknown"
_PLAIN_NAME: Final = "USER"  # for the log: a name and a password without SASL


class MaildropSession(GateSession):
    """See the module.

    :param engine: one that knows logins.
    :param evidence: of the client's handshake; None in the clear.
    """

    __slots__ = ("_asked", "_evidence", "_failures", "_greets", "_mechanism", "_named", "_unproved")

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
        self._mechanism = ""
        self._named = ""
        self._failures = 0
        self._unproved: Reply | None = None
        if evidence is not None:
            self._unproved = refusal_of(
                connection.terms.asked, evidence.verification, words.NO_CERTIFICATE, words.UNCHECKED
            )
        self._begin()

    def greet(self) -> None:
        """A greeting is due, once there is a server."""
        self._greets = True

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

    async def _prepare(self) -> None:
        connection, engine = self._connection, self._logins
        try:
            upstream = self._upstream = await reach(connection.port.pool, Client(connection.origin, self._evidence))
        except ServerLost as lost:
            self.refuse_service(lost)
            return
        connection.record.server = upstream.link.server
        if (tls := upstream.link.tls) is not None:
            connection.record.backend_tls = tls.version
            if connection.transcript is not None:
                connection.transcript.upgrade("backend", tls, upstream.link.server)
        engine.offer(profile_for(connection, upstream.abilities, stls=False))
        if self._greets:
            engine.greet()

    # Logins

    async def _on_login(self, event: events.LoginRequested) -> None:
        if self._unproved is not None:
            self._engine.answer(self._unproved)
            return
        self._mechanism, self._named = _PLAIN_NAME, event.user
        server = self._server
        answer = await server.ask(server.relaying.user(event.user))
        if answer.positive:
            answer = await server.ask(server.relaying.password(event.password))
        await self._verdict(answer)

    async def _on_auth(self, event: events.AuthRequested) -> None:
        if self._unproved is not None:
            self._engine.answer(self._unproved)
            return
        self._mechanism = event.mechanism
        self._named = "" if event.initial is None else name_in(event.mechanism, event.initial)
        server = self._server
        await self._stepped(await server.ask(server.relaying.authenticate(event.mechanism, event.initial)))

    async def _on_auth_response(self, event: events.AuthResponse) -> None:
        self._named = self._named or name_in(self._mechanism, event.data)
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
        """Pass on what the server says to a login. Who fails often from one address waits longer for each answer."""
        connection = self._connection
        origin, limits, config = connection.origin, connection.port.limits, connection.port.config
        if answer.positive:
            user = connection.record.user = self._named or _UNNAMED
            logs.event(
                "auth.succeeded", connection=origin.connection, rip=origin.peer[0], user=user,
                mechanism=self._mechanism,
            )  # fmt: skip
            await _delay(limits.login_delay(origin.peer[0]))
            connection.last_call = float("inf")
            connection.command_seconds = config.limits.pop3_idle_timeout
            self._logins.authenticated(user, answer)
            return
        connection.record.refused += 1
        # A mailbox that is in use, or a server in trouble, is nobody's guess (RFC 2449 §8.1, RFC 3206 §4).
        delay = 0.0 if answer.temporary else limits.login_failed(origin.peer[0])
        logs.event(
            "auth.failed", severity="notice", connection=origin.connection, rip=origin.peer[0],
            listener=connection.port.name, user=self._named or _UNNAMED, mechanism=self._mechanism,
            reason=f"the server refused: {answer}", delay=delay,
        )  # fmt: skip
        await _delay(delay)
        self._engine.answer(answer)
        self._failures += not answer.temporary
        if self._failures >= FAILURES_A_SESSION:
            connection.outcome = "too many failed logins"
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

    async def _on_quit(self, event: events.Quit) -> None:
        """The answer to a QUIT that deletes is the server's (RFC 1939 §6)."""
        connection = self._connection
        connection.outcome = "quit"
        if not event.update:
            return
        server = self._server
        try:
            answer = await server.ask(server.relaying.quit())
        except ServerLost as lost:
            raise ServerLost(str(lost), words.NOT_ANSWERED) from lost
        self._upstream = None
        server.link.close()
        self._engine.answer(answer)


MaildropSession._handlers = {
    **GateSession._handlers,
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
}


async def _delay(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
