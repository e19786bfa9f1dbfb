"""AUTH through an SMTP gate (RFC 4954): each step of the exchange goes to the server, and its answer comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.gate.logins import Logins
from gatepost.service.gate.smtp_proxied import ProxiedSession
from gatepost.service.gate.smtp_session import Engine
from gatepost.service.smtp import refusals
from gatepost.wire.smtp import events
from gatepost.wire.smtp.relaying import challenge
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection


class LoginSession(ProxiedSession):
    """A session whose engine hears AUTH."""

    __slots__ = ("_asked", "_attempts")

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: Engine) -> None:
        super().__init__(connection, channel, engine)
        self._asked = False  # whether the server waits for a response
        self._attempts: Final = Logins(connection)

    def _logins(self) -> bool:
        return True

    def _unproved(self) -> Reply | None:
        """The refusal of a client that had to prove itself by a certificate, and did not."""
        return None

    async def _on_auth(self, event: events.AuthRequested) -> None:
        if (refusal := self._unproved()) is not None:
            self._refuse(refusal)
            return
        self._attempts.begin(event.mechanism, event.initial)
        upstream = await self._server()
        await upstream.clean()
        await self._answered(await upstream.ask(upstream.relaying.authenticate(event.mechanism, event.initial)))

    async def _on_auth_response(self, event: events.AuthResponse) -> None:
        self._attempts.respond(event.data)
        upstream = self._upstream
        assert upstream is not None
        await self._answered(await upstream.ask(upstream.relaying.respond(event.data)))

    async def _answered(self, answer: Reply) -> None:
        """Pass on what the server says to a step of the exchange."""
        engine = self._engine
        assert not isinstance(engine, PlainServer)
        self._asked = answer.code == 334
        if self._asked:
            upstream = self._upstream
            assert upstream is not None
            engine.challenge(upstream.checked(challenge, answer))
            return
        if answer.code == 235:
            self._user = await self._attempts.accepted(self._address)
            engine.authenticated(self._user, answer)
            return
        last = await self._attempts.refused(self._address, answer, temporary=answer.temporary)
        engine.answer(answer)
        if last:
            engine.shutdown(refusals.TOO_MANY_LOGINS)

    async def _on_auth_cancelled(self, event: events.AuthCancelled) -> None:
        """The client gave up, or was told that it cannot go on: so is the server."""
        upstream = self._upstream
        if self._asked and upstream is not None:
            self._asked = False
            await upstream.ask(upstream.relaying.cancel())


LoginSession._handlers = {
    **ProxiedSession._handlers,
    events.AuthRequested: LoginSession._on_auth,
    events.AuthResponse: LoginSession._on_auth_response,
    events.AuthCancelled: LoginSession._on_auth_cancelled,
}
