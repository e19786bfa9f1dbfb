"""Logins through a gate: the exchange is between the client and the server, and passes opaque (RFC 4954).

Nothing of it is kept but the name, for the log, where it can be read. The gate does one thing of its own: who fails
often from one address waits longer for each answer, as at a listener of ours.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.gate.smtp_proxied import ProxiedSession
from gatepost.service.login import FAILURES_A_SESSION
from gatepost.service.smtp import refusals
from gatepost.wire.smtp import events
from gatepost.wire.smtp.relaying import challenge
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.unprotected import UnprotectedServer

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection

_NAME_LIMIT: Final = 255
_UNNAMED: Final = "unknown"


class LoginSession(ProxiedSession):
    """A session whose engine hears AUTH."""

    __slots__ = ("_asked", "_failures", "_mechanism", "_named")

    def __init__(
        self,
        connection: GateConnection,
        channel: PlainChannel | SecureChannel,
        engine: PlainServer | SecureServer | UnprotectedServer,
    ) -> None:
        super().__init__(connection, channel, engine)
        self._asked = False  # whether the server waits for a response
        self._mechanism = ""
        self._named = ""
        self._failures = 0

    def _logins(self) -> bool:
        return True

    def _unproved(self) -> Reply | None:
        """The refusal of a client that had to prove itself by a certificate, and did not."""
        return None

    async def _on_auth(self, event: events.AuthRequested) -> None:
        if (refusal := self._unproved()) is not None:
            self._refuse(refusal)
            return
        self._mechanism, self._named = event.mechanism, ""
        if event.initial is not None:
            self._named = name_in(event.mechanism, event.initial)
        upstream = await self._server()
        await upstream.clean()
        await self._answered(await upstream.ask(upstream.relaying.authenticate(event.mechanism, event.initial)))

    async def _on_auth_response(self, event: events.AuthResponse) -> None:
        self._named = self._named or name_in(self._mechanism, event.data)
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
        connection = self._connection
        limits, address = connection.port.limits, self._address
        if answer.code == 235:
            self._user = self._named or _UNNAMED
            connection.record.user = self._user
            connection.last_call = float("inf")
            await self._delay(limits.login_delay(address))
            engine.authenticated(self._user, answer)
            return
        self._failures += 1
        await self._delay(limits.login_failed(address))
        connection.record.refused += 1
        engine.answer(answer)
        if self._failures >= FAILURES_A_SESSION:
            connection.outcome = connection.outcome or "too many failed logins"
            engine.shutdown(refusals.TOO_MANY_LOGINS)

    async def _delay(self, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(seconds)

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


def name_in(mechanism: str, response: bytes) -> str:
    """The user name in a client's response, for the log; empty where it cannot be read.

    :param mechanism: in upper case.
    """
    parts = response.split(b"\0")
    if mechanism == "PLAIN":  # RFC 4616 §2: [authzid] NUL authcid NUL passwd
        name = parts[1] if len(parts) == 3 else b""
    elif mechanism == "LOGIN":  # its first response is the name
        name = response
    elif mechanism.startswith("SCRAM-"):  # RFC 5802 §7: gs2-header, then n=name
        name = next((part[2:] for part in response.split(b",")[2:] if part.startswith(b"n=")), b"")
    elif mechanism in ("XOAUTH2", "OAUTHBEARER"):  # user=name, or RFC 7628 §3.1: a=name in the gs2-header
        fields = response.replace(b"\x01", b",").split(b",")
        named = (field for field in fields if field.startswith((b"user=", b"a=")))
        name = next(named, b"").partition(b"=")[2]
    else:
        name = b""
    text = name.decode("utf-8", "replace")
    return text if text.isprintable() and len(text) <= _NAME_LIMIT else ""
