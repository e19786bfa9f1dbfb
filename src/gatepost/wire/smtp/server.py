"""The two SMTP server engines: ``PlainServer`` before TLS, ``SecureServer`` inside it.

The upgrade replaces the engine. ``PlainServer.grant_upgrade`` spends it and returns the token that the TLS engine
takes; a ``SecureServer`` is then built from the origin and the evidence, and from nothing else (RFC 3207 §4.2).
``PlainServer`` has no AUTH and ``SecureServer`` no STARTTLS: not as a setting, but as code that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.commands import CommandEngine
from gatepost.wire.smtp.engine import Handler
from gatepost.wire.smtp.events import Event, StartTLSRequested
from gatepost.wire.smtp.login import LoginEngine
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.states import Trigger
from gatepost.wire.upgrade import (
    EarlyHello,
    Origin,
    PlaintextAfterUpgrade,
    TLSEvidence,
    UpgradeReady,
    hand_over_server,
)


@final
class PlainServer(CommandEngine):
    """A conversation in the clear.

    :param origin: where the connection came from.
    :param profile: how the listener speaks.
    """

    __slots__ = ()

    def __init__(self, origin: Origin, profile: ServerProfile) -> None:
        super().__init__(
            origin,
            profile,
            profile.plain_rules,
            profile.plain_capabilities,
            profile.line_limit,
            profile.plain_extensions,
        )

    def grant_upgrade(self) -> tuple[UpgradeReady, EarlyHello | None]:
        """Grant STARTTLS: queue the 220 and spend this engine (RFC 3207 §4).

        Whatever was received behind the STARTTLS line, in its segment or since, is judged by ``wire.upgrade``; no
        parser of ours sees it.

        :return: the token for the TLS engine, and the beginning of the client's hello when it was eager.
        :raises PlaintextAfterUpgrade: when anything else stood there. One 554 is queued in place of the 220, and the
            engine is over: flush and close.
        :raises LocalProtocolError: when STARTTLS is not waiting for an answer.
        """
        if self.pending is not Trigger.STARTTLS:
            raise LocalProtocolError("no STARTTLS is waiting to be granted")
        residue = self._framer.take()
        try:
            handed = hand_over_server(self.origin, residue)
        except PlaintextAfterUpgrade:
            self._end(reply.PLAINTEXT_BEHIND_UPGRADE, "plaintext behind STARTTLS")
            raise
        self._outgoing.append(reply.TLS_GO_AHEAD.octets)
        self.pending = None
        self._advance(Trigger.STARTTLS)
        return handed

    def _offer(self, profile: ServerProfile) -> None:
        self._capabilities, self._extensions = profile.plain_capabilities, profile.plain_extensions

    def _login_due(self) -> Reply | None:
        if not self.profile.require_auth:
            return None
        return reply.TLS_FIRST if self.profile.starttls else reply.AUTH_REQUIRED

    def _starttls(self, argument: str) -> Event | None:
        if argument:
            return self._fault(reply.SYNTAX, "STARTTLS with an argument", b"STARTTLS")
        self.pending = Trigger.STARTTLS
        return StartTLSRequested()

    _handlers: ClassVar[Mapping[Trigger, Handler]] = {**CommandEngine._handlers, Trigger.STARTTLS: _starttls}


@final
class SecureServer(LoginEngine):
    """A conversation inside TLS. After STARTTLS it waits for EHLO; where TLS came first, call ``greet``.

    :param origin: where the connection came from.
    :param evidence: what the handshake proved.
    :param profile: how the listener speaks.
    """

    __slots__ = ("_bound", "evidence")

    def __init__(self, origin: Origin, evidence: TLSEvidence, profile: ServerProfile) -> None:
        self._bound: Final = evidence.tls_exporter is not None or evidence.tls_server_end_point is not None
        super().__init__(
            origin,
            profile,
            profile.secure_rules,
            profile.secure_capabilities if self._bound else profile.unbound_capabilities,
            profile.secure_extensions,
            self._usable(profile),
        )
        self.evidence: Final = evidence

    def _usable(self, profile: ServerProfile) -> tuple[str, ...]:
        """The mechanisms that can be used over this handshake."""
        mechanisms = profile.auth_mechanisms
        return mechanisms if self._bound else tuple(m for m in mechanisms if not m.endswith("-PLUS"))

    def _offer(self, profile: ServerProfile) -> None:
        super()._offer(profile)
        self._capabilities = profile.secure_capabilities if self._bound else profile.unbound_capabilities
        self._extensions = profile.secure_extensions
        self._mechanisms = self._usable(profile)
