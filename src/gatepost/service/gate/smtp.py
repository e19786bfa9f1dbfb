"""The two SMTP sessions of a gate: ``PlainGate`` in the clear, ``SecureGate`` inside TLS.

The private session is made from the secure channel, and dials a server of its own: the one that the session in the
clear may have had is left at the upgrade, so nothing that was said in the clear is known to the server that hears the
private session. In the clear, where STARTTLS is on offer, no server is dialled before a message is begun: the answer to
EHLO is what the last check of the pool learned.

=============  =========================================================  ============================================
mode           in the clear                                               STARTTLS
=============  =========================================================  ============================================
``terminate``  AUTH is hidden                                             granted here
``refuse``     the server's list, AUTH too: the operator chose the clear  hidden, 502
``pass``       the server's list, AUTH hidden                             asked of the server: its refusal is passed on,
                                                                          and when it agrees, the client's TLS
=============  =========================================================  ============================================
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.certified import refusal_of
from gatepost.service.gate import smtp_words as words
from gatepost.service.gate.passing import begin_passing, plaintext_of_server
from gatepost.service.gate.port import GateTerms
from gatepost.service.gate.smtp_login import LoginSession
from gatepost.service.gate.smtp_offer import NO_ABILITIES, Abilities
from gatepost.service.gate.smtp_side import profile_of
from gatepost.service.gate.smtp_upstream import Upstream
from gatepost.service.smtp import refusals
from gatepost.wire.smtp import events
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.refusals import StartTLSRefused
from gatepost.wire.smtp.reply import NOT_IMPLEMENTED, TLS_UNAVAILABLE, Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.unprotected import UnprotectedServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade, TLSEvidence, UpgradeReady

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection


class PlainGate(LoginSession):
    """A session in the clear. It ends at the upgrade.

    :param connection: the client's.
    :param channel: to the client.
    """

    __slots__ = ()

    def __init__(self, connection: GateConnection, channel: PlainChannel) -> None:
        super().__init__(connection, channel, _plain_engine(connection, connection.terms))

    def _engine_for(self, terms: GateTerms) -> PlainServer | UnprotectedServer:
        return _plain_engine(self._connection, terms)

    def _live(self) -> bool:
        return self._terms.starttls == "deny" or self._connection.port.settings.mode == "pass"

    def _logins(self) -> bool:
        return isinstance(self._engine, UnprotectedServer)

    def _on_starttls(self, event: events.StartTLSRequested) -> Coroutine[Any, Any, None] | None:
        connection, engine = self._connection, self._engine
        if connection.port.settings.mode == "pass":
            return self._pass()
        if connection.terms.contexts is None:
            engine.answer(TLS_UNAVAILABLE)
            return None
        assert isinstance(engine, PlainServer)
        if (spent := self._spend(engine)) is not None:
            connection.upgrade(*spent, engine.outgoing())
        self._leave()
        return None

    async def _pass(self) -> None:
        """Ask the server for TLS, and let the client's through when it agrees."""
        connection = self._connection
        upstream = await self._server()
        try:
            server_side = await self._asked_server(upstream)
        except StartTLSRefused as refused:
            self._engine.answer(refused.reply or NOT_IMPLEMENTED)
            return
        except PlaintextAfterUpgrade as finding:
            self._upstream = None
            plaintext_of_server(connection, upstream.link.server, finding)
            self._engine.shutdown(words.SERVER_LOST)
            return
        engine = self._engine
        assert isinstance(engine, PlainServer)
        if (spent := self._spend(engine)) is None:
            self._abort()
            return
        channel, ready, early = spent
        self._upstream = None
        begin_passing(
            connection, channel, upstream.link, server_side, ready, early, engine.outgoing(),
            refusal=words.SERVER_LOST.octets,
        )  # fmt: skip

    async def _asked_server(self, upstream: Upstream) -> UpgradeReady:
        """The server's answer to STARTTLS.

        :raises StartTLSRefused: when it refuses, and goes on in the clear.
        :raises PlaintextAfterUpgrade: when octets stood behind its go-ahead.
        :raises ServerLost: when it is gone.
        """
        if (engine := upstream.plain) is None:
            raise StartTLSRefused(None)
        return await upstream.start_tls(engine)


PlainGate._handlers = {**LoginSession._handlers, events.StartTLSRequested: PlainGate._on_starttls}


class SecureGate(LoginSession):
    """A session inside TLS: made from the secure channel, that is from origin and evidence, and nothing else.

    :param connection: the client's.
    :param channel: to the client.
    """

    __slots__ = ("_evidence_of", "_unproved_reply")

    def __init__(self, connection: GateConnection, channel: SecureChannel) -> None:
        evidence = channel.evidence
        self._evidence_of: Final = evidence
        # RFC 3207 §4.1 has 554 for a handshake that did not reach what the policy asks for.
        self._unproved_reply: Final = refusal_of(
            connection.terms.asked, evidence.verification, refusals.NO_CERTIFICATE, refusals.CERTIFICATE_UNCHECKED
        )
        super().__init__(connection, channel, _secure_engine(connection, connection.terms, evidence))

    def _engine_for(self, terms: GateTerms) -> SecureServer:
        return _secure_engine(self._connection, terms, self._evidence_of)

    def _evidence(self) -> TLSEvidence | None:
        return None if self._told.address else self._evidence_of

    def _unproved(self) -> Reply | None:
        return self._unproved_reply

    def _judge_sender(self, sender: Mailbox | None) -> Reply | None:
        return self._unproved_reply or super()._judge_sender(sender)


SecureGate._handlers = {**LoginSession._handlers}


def _known(connection: GateConnection) -> Abilities:
    known = connection.port.pool.known
    return known if isinstance(known, Abilities) else NO_ABILITIES


def _plain_engine(connection: GateConnection, terms: GateTerms) -> PlainServer | UnprotectedServer:
    """The engine in the clear. What it lists is settled at EHLO; what is legal in which state is settled here."""
    settings, server = connection.port.settings, _known(connection)
    if settings.mode == "refuse":
        profile = profile_of(connection, terms, logins=True, listed=server)
        return UnprotectedServer(connection.origin, profile)
    asked = settings.mode == "pass" and terms.starttls != "deny"  # whether the server can is known when it is asked
    profile = profile_of(connection, terms, logins=False, listed=server, starttls=True if asked else None)
    return PlainServer(connection.origin, profile)


def _secure_engine(connection: GateConnection, terms: GateTerms, evidence: TLSEvidence) -> SecureServer:
    server = _known(connection)
    profile = profile_of(connection, terms, logins=True, listed=server, starttls=False)
    return SecureServer(connection.origin, evidence, profile)
