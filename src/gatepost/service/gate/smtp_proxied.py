"""XCLIENT and XFORWARD from a proxy in front: a client that is believed says whom it speaks for.

Who is believed stands in ``xclient_from``, and goes by the connection's own address. With XCLIENT the session begins
anew: another engine, a greeting, and from then on rules, limits and greylisting go by the address that was told. It is
a claim made in this session, so it does not cross the upgrade: behind STARTTLS the proxy is itself again, and may say
it again inside TLS. From everybody else both commands are refused and not listed.
"""

from __future__ import annotations

from typing import Final

from gatepost.observe import logs
from gatepost.service.gate import smtp_words as words
from gatepost.service.gate.port import GateTerms
from gatepost.service.gate.smtp_mail import Answer, MailSession
from gatepost.wire.smtp import events, reply, xclient
from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.smtp.reply import TOO_MANY_ERRORS
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.unprotected import UnprotectedServer
from gatepost.wire.smtp.xclient import NOTHING_TOLD

_COMMANDS: Final = frozenset({"XCLIENT", "XFORWARD"})


class ProxiedSession(MailSession):
    """See the module."""

    __slots__ = ()

    def _engine_for(self, terms: GateTerms) -> PlainServer | SecureServer | UnprotectedServer:
        """A new engine for this side of the upgrade."""
        raise NotImplementedError

    def _on_extension(self, event: events.Extension) -> Answer:
        if event.verb not in _COMMANDS:
            return super()._on_extension(event)
        self._on_claim(event)
        return None

    def _on_claim(self, event: events.Extension) -> None:
        """XCLIENT or XFORWARD."""
        connection = self._connection
        if not connection.port.settings.xclient_from.matches(connection.origin.peer[0]):
            self._stranger(event.verb)
            return
        if self._transaction is not None:
            self._engine.answer(words.NOT_NOW)
            return
        try:
            if event.verb == "XFORWARD":
                self._forwarded = xclient.parse("XFORWARD", event.argument, self._forwarded)
                self._engine.answer(reply.OK)
                return
            told = xclient.parse("XCLIENT", event.argument, self._told)
        except CommandSyntaxError as error:
            self._engine.answer(error.reply)
            return
        if self._engine.backlog:
            connection.outcome = "commands behind XCLIENT"
            self.hang_up(words.TOO_EARLY)
            return
        self._begin_anew(told)

    def _stranger(self, verb: str) -> None:
        """Somebody says whom he speaks for, and is not believed: that counts as an error."""
        connection = self._connection
        connection.record.errors += 1
        connection.port.tally.add(connection.port.tally.errors)
        logs.event(
            "gate.proxy-refused",
            severity="warning",
            connection=connection.origin.connection,
            rip=connection.origin.peer[0],
            command=verb,
        )
        self._refuse(words.NOT_A_PROXY)
        if connection.record.errors > connection.port.config.limits.errors:
            self._engine.shutdown(TOO_MANY_ERRORS)

    def _begin_anew(self, told: xclient.Told) -> None:
        """The session of the client that was named, from its greeting on."""
        connection = self._connection
        self._leave()
        logs.event(
            "gate.xclient",
            connection=connection.origin.connection,
            rip=connection.origin.peer[0],
            told=told.address,
            login=told.login,
        )
        self._told, self._forwarded = told, NOTHING_TOLD
        self._helo, self._user, self._accepted, self._refused = "", told.login, 0, 0
        connection.record.helo, connection.record.user = "", told.login
        terms = self._terms = connection.port.terms(self._address)
        witness, self._engine = self._engine.witness, self._engine_for(terms)
        self._engine.witness = witness
        if terms.refusal:
            logs.event("gate.refused", connection=connection.origin.connection, rip=self._address, reason=terms.refusal)
            self._engine.refuse(words.REFUSED_HERE)
        else:
            self._engine.greet()


ProxiedSession._handlers = {**MailSession._handlers, events.Extension: ProxiedSession._on_extension}
