"""The POP3 sessions of a gate: in the clear and inside TLS.

The private session is made from the secure channel, and dials a server of its own: nothing that was said in the clear
is known to the server that hears it.

=============  ===================================================  ==================================================
mode           in the clear                                         STLS
=============  ===================================================  ==================================================
``terminate``  logins are refused: "say STLS first"                 granted here
``pass``       the same                                             asked of a server: its refusal is passed on, and
                                                                    when it agrees, the client's TLS
``refuse``     logins are passed on: the operator chose the clear   hidden, ``-ERR``
=============  ===================================================  ==================================================

In the clear, where STLS is on offer, no server is dialled before it is asked for: CAPA is answered from what the last
check of the pool learned.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from gatepost.errors import GatepostError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.service.connection import Session
from gatepost.service.gate import pop3_words as words
from gatepost.service.gate.backends import Client
from gatepost.service.gate.lost import ServerLost
from gatepost.service.gate.passing import begin_passing, plaintext_of_server
from gatepost.service.gate.pop3_maildrop import MaildropSession
from gatepost.service.gate.pop3_session import POP3Session, known, profile_for
from gatepost.service.gate.pop3_upstream import QUIT_SECONDS, greeted, opened, timeouts_of
from gatepost.wire.pop3 import events, reply
from gatepost.wire.pop3.refusals import StartTLSRefused
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.unprotected import UnprotectedServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection


def PlainGate(connection: GateConnection, channel: PlainChannel) -> Session:  # noqa: N802 - one of two classes
    """The session in the clear: one that ends at the upgrade, or, with ``mode = "refuse"``, one that has none."""
    if connection.port.settings.mode == "refuse":
        profile = profile_for(connection, known(connection), stls=False)
        return MaildropSession(connection, channel, UnprotectedServer(connection.origin, profile), None)
    return ClearSession(connection, channel)


class SecureGate(MaildropSession):
    """A session inside TLS: made from the secure channel, that is from origin and evidence, and nothing else."""

    __slots__ = ()

    def __init__(self, connection: GateConnection, channel: SecureChannel) -> None:
        profile = profile_for(connection, known(connection), stls=False)
        evidence = channel.evidence
        super().__init__(connection, channel, SecureServer(channel.origin, evidence, profile), evidence)


class ClearSession(POP3Session):
    """A session in the clear: it knows no login. It ends at the upgrade."""

    __slots__ = ()

    def __init__(self, connection: GateConnection, channel: PlainChannel) -> None:
        server = known(connection)
        stls = connection.terms.starttls != "deny"
        if connection.port.settings.mode == "pass":
            stls = stls and server.stls
        super().__init__(
            connection, channel, PlainServer(connection.origin, profile_for(connection, server, stls=stls))
        )

    def _on_stls(self, event: events.StartTLSRequested) -> Coroutine[Any, Any, None] | None:
        connection, engine = self._connection, self._engine
        if connection.port.settings.mode == "pass":
            return self._pass()
        if connection.terms.contexts is None:  # rules contradict each other since a list has changed
            engine.answer(reply.TLS_UNAVAILABLE)
            return None
        assert isinstance(engine, PlainServer)
        if (spent := self._spend(engine)) is not None:
            connection.upgrade(*spent, engine.outgoing())
        return None

    async def _pass(self) -> None:
        """Ask a server for TLS, and let the client's through when it agrees."""
        connection, engine = self._connection, self._engine
        pool = connection.port.pool
        timeouts = timeouts_of(pool.settings.reply_timeout)
        link, plain = await opened(pool, Client(connection.origin), lambda link: greeted(link, timeouts))
        connection.record.server = link.server
        try:
            server_side = await link.ask(plain.start_tls())
        except StartTLSRefused as refused:
            engine.answer(refused.reply or reply.NOT_SUPPORTED)
            link.leave(plain.quit(), QUIT_SECONDS)
            return
        except PlaintextAfterUpgrade as finding:
            link.abort()
            plaintext_of_server(connection, link.server, finding)
            engine.shutdown(words.SERVER_LOST)
            return
        except (GatepostError, OSError) as error:
            link.condemn(str(error))
            raise ServerLost(f"{link.server}: {error}", words.SERVER_LOST) from error
        except BaseException:
            link.abort()
            raise
        assert isinstance(engine, PlainServer)
        if (spent := self._spend(engine)) is None:
            link.abort()
            return
        channel, ready, early = spent
        begin_passing(
            connection, channel, link, server_side, ready, early, engine.outgoing(), refusal=words.SERVER_LOST.octets
        )


ClearSession._handlers = {**POP3Session._handlers, events.StartTLSRequested: ClearSession._on_stls}
