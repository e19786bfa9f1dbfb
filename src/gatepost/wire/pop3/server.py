"""The two POP3 server engines: ``PlainServer`` before TLS, ``SecureServer`` inside it.

The upgrade replaces the engine. ``PlainServer.grant_upgrade`` spends it and returns the token that the TLS engine
takes; a ``SecureServer`` is then built from the origin and the evidence, and from nothing else. ``PlainServer`` has no
USER, PASS or AUTH and cannot come to TRANSACTION; ``SecureServer`` has no STLS: not as a setting, but as code that is
not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.engine import Handler, ServerEngine
from gatepost.wire.pop3.events import (
    Event,
    StartTLSRequested,
)
from gatepost.wire.pop3.maildrop import MaildropEngine
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.states import Trigger
from gatepost.wire.upgrade import (
    EarlyHello,
    Origin,
    PlaintextAfterUpgrade,
    TLSEvidence,
    UpgradeReady,
    hand_over_server,
)


@final
class PlainServer(ServerEngine):
    """A conversation in the clear: CAPA, STLS, QUIT, and nothing else.

    :param origin: where the connection came from.
    :param profile: how the listener speaks.
    """

    __slots__ = ()

    def __init__(self, origin: Origin, profile: ServerProfile) -> None:
        super().__init__(origin, profile, profile.plain_rules, profile.plain_capabilities, profile.line_limit)

    def grant_upgrade(self) -> tuple[UpgradeReady, EarlyHello | None]:
        """Grant STLS: queue the ``+OK`` and spend this engine (RFC 2595 §4).

        Whatever was received behind the STLS line, in its segment or since, is judged by ``wire.upgrade``; no parser of
        ours sees it.

        :return: the token for the TLS engine, and the beginning of the client's hello when it was eager.
        :raises PlaintextAfterUpgrade: when anything else stood there. One ``-ERR`` is queued in place of the ``+OK``,
            and the engine is over: flush and close.
        :raises LocalProtocolError: when STLS is not waiting for an answer.
        """
        if self._pending is not Trigger.STLS:
            raise LocalProtocolError("no STLS is waiting to be granted")
        residue = self._framer.take()
        try:
            handed = hand_over_server(self.origin, residue)
        except PlaintextAfterUpgrade:
            self._end(reply.PLAINTEXT_BEHIND_UPGRADE, "plaintext behind STLS")
            raise
        self._outgoing.append(reply.TLS_GO_AHEAD.octets)
        self._pending = None
        self._advance(Trigger.STLS)
        return handed

    def _stls(self, argument: str) -> Event | None:
        return self._bare(argument, Trigger.STLS, StartTLSRequested())

    _handlers: ClassVar[Mapping[Trigger, Handler]] = {**ServerEngine._handlers, Trigger.STLS: _stls}


@final
class SecureServer(MaildropEngine):
    """A conversation inside TLS. After STLS it waits for a command; where TLS came first, call ``greet``.

    :param origin: where the connection came from.
    :param evidence: what the handshake proved.
    :param profile: how the listener speaks.
    """

    __slots__ = ("evidence",)

    def __init__(self, origin: Origin, evidence: TLSEvidence, profile: ServerProfile) -> None:
        self.evidence: Final = evidence
        super().__init__(origin, profile, profile.secure_rules, *self._offered(profile))

    def _offered(self, profile: ServerProfile) -> tuple[bytes, tuple[str, ...]]:
        """The answer to CAPA, and the mechanisms: without a channel binding none that needs it."""
        mechanisms = profile.auth_mechanisms
        if self.evidence.tls_exporter is not None or self.evidence.tls_server_end_point is not None:
            return profile.secure_capabilities, mechanisms
        return profile.unbound_capabilities, tuple(name for name in mechanisms if not name.endswith("-PLUS"))
