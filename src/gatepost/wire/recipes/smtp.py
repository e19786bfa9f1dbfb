"""SMTP, submission and LMTP: STARTTLS (RFC 3207), with the engines of ``wire.smtp``.

Inside TLS the client speaks first, and begins with EHLO or LHLO.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from gatepost.wire.dialogue import Dialogue, Send, receive
from gatepost.wire.recipes.conversation import OCTETS_LIMIT
from gatepost.wire.recipes.granting import REQUEST
from gatepost.wire.recipes.recipe import (
    ClientHalf,
    ClientTerms,
    Granted,
    PeerLeft,
    Recipe,
    ServerHalf,
    ServerTerms,
    UnexpectedWords,
    UpgradeRefused,
)
from gatepost.wire.smtp.client import PlainClient
from gatepost.wire.smtp.events import Ended, StartTLSRequested
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.refusals import Refused
from gatepost.wire.smtp.reply import TOO_MANY_ERRORS
from gatepost.wire.smtp.server import PlainServer
from gatepost.wire.smtp.timeouts import ClientTimeouts
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, UpgradeReady

_Dialect: TypeAlias = Literal["SMTP", "LMTP"]


def _client_of(dialect: _Dialect) -> ClientHalf:
    def client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
        """Greeting, EHLO (LHLO), STARTTLS."""
        seconds = terms.seconds
        timeouts = ClientTimeouts(greeting=seconds, hello=seconds, starttls=seconds)
        plain = PlainClient(origin, hostname=terms.hostname, timeouts=timeouts, dialect=dialect)
        try:
            yield from plain.greeting()
            yield from plain.hello()
            return (yield from plain.start_tls())
        except Refused as refused:
            words = b"" if refused.reply is None else str(refused.reply).encode()
            raise UpgradeRefused(
                f"the server refused {refused.step}" if words else refused.message, words, temporary=refused.temporary
            ) from refused

    return client


def _server_of(dialect: _Dialect) -> ServerHalf:
    def server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
        """Nothing but EHLO (LHLO), NOOP, STARTTLS and QUIT (RFC 3207 §4)."""
        engine = PlainServer(origin, ServerProfile(hostname=terms.hostname, dialect=dialect, require_tls=True))
        engine.greet()
        heard = 0
        while True:
            while (event := engine.next_event()) is not None:
                if isinstance(event, StartTLSRequested):
                    try:
                        ready, early = engine.grant_upgrade()
                    except PlaintextAfterUpgrade:
                        yield Send(engine.outgoing())
                        raise
                    return Granted(ready, early, engine.outgoing())
                if isinstance(event, Ended):
                    yield Send(engine.outgoing())
                    raise PeerLeft(f"the client did not ask for TLS: {event.reason}")
            if heard > OCTETS_LIMIT:
                yield Send(engine.outgoing() + TOO_MANY_ERRORS.octets)
                raise UnexpectedWords(f"more than {OCTETS_LIMIT} octets before the {REQUEST}")
            if said := engine.outgoing():
                yield Send(said)
            data = yield from receive(terms.seconds, REQUEST)
            if not data:
                raise PeerLeft(f"the client closed the connection before its {REQUEST}")
            heard += len(data)
            engine.receive(data)

    return server


SMTP: Final = Recipe("smtp", 25, 465, _client_of("SMTP"), _server_of("SMTP"), summary="SMTP, STARTTLS (RFC 3207)")
SUBMISSION: Final = Recipe(
    "submission", 587, 465, _client_of("SMTP"), _server_of("SMTP"), summary="message submission, STARTTLS (RFC 6409)"
)
LMTP: Final = Recipe("lmtp", 24, None, _client_of("LMTP"), _server_of("LMTP"), summary="LMTP, STARTTLS (RFC 2033)")
