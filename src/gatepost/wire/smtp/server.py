"""The two SMTP server engines: ``PlainServer`` before TLS, ``SecureServer`` inside it.

The upgrade replaces the engine. ``PlainServer.grant_upgrade`` spends it and returns the token that the TLS engine
takes; a ``SecureServer`` is then built from the origin and the evidence, and from nothing else (RFC 3207 §4.2).
``PlainServer`` has no AUTH and ``SecureServer`` no STARTTLS: not as a setting, but as code that is not there.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import ClassVar, Final, final

from gatepost.errors import LocalProtocolError
from gatepost.wire.framing import LineFault
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.commands import CommandEngine
from gatepost.wire.smtp.engine import LINE_FAULTS, Handler
from gatepost.wire.smtp.events import (
    AuthCancelled,
    AuthRequested,
    AuthResponse,
    Event,
    StartTLSRequested,
)
from gatepost.wire.smtp.grammar import decode_base64, parse_auth
from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.smtp.profile import AUTH_LIMIT, ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.states import State, Trigger
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
class SecureServer(CommandEngine):
    """A conversation inside TLS. After STARTTLS it waits for EHLO; where TLS came first, call ``greet``.

    :param origin: where the connection came from.
    :param evidence: what the handshake proved.
    :param profile: how the listener speaks.
    """

    __slots__ = ("_mechanisms", "evidence", "identity")

    def __init__(self, origin: Origin, evidence: TLSEvidence, profile: ServerProfile) -> None:
        bound = evidence.tls_exporter is not None or evidence.tls_server_end_point is not None
        capabilities = profile.secure_capabilities if bound else profile.unbound_capabilities
        # An AUTH command may be as long as any line of its exchange (RFC 4954 §4); other commands are measured again.
        limit = max(profile.line_limit, AUTH_LIMIT) if profile.auth_mechanisms else profile.line_limit
        super().__init__(origin, profile, profile.secure_rules, capabilities, limit, profile.secure_extensions)
        self.evidence: Final = evidence
        self.identity: str | None = None
        """Who logged in, or None."""
        mechanisms = profile.auth_mechanisms
        self._mechanisms = mechanisms if bound else tuple(m for m in mechanisms if not m.endswith("-PLUS"))

    def challenge(self, data: bytes) -> None:
        """Answer an AUTH event with a challenge (334, RFC 4954 §4).

        :raises LocalProtocolError: when no AUTH exchange waits for an answer.
        """
        if self.pending is not Trigger.AUTH:
            raise LocalProtocolError("no AUTH exchange waits for a challenge")
        self._outgoing.append(b"334 %b\r\n" % binascii.b2a_base64(data, newline=False))
        self.pending = None

    def authenticated(self, identity: str, accepted: Reply = reply.AUTHENTICATED) -> None:
        """Answer an AUTH event: the login succeeded, and ``identity`` is who it is from now on.

        :raises LocalProtocolError: when no AUTH exchange waits for an answer, or the identity is empty.
        """
        if self.pending is not Trigger.AUTH or not identity or accepted.code != 235:
            raise LocalProtocolError("a login is accepted with 235, for somebody, while AUTH waits for an answer")
        self.identity = identity
        self.pending = None
        self._outgoing.append(accepted.octets)
        self._advance(Trigger.AUTH_ENDS)

    def _login_due(self) -> Reply | None:
        return reply.AUTH_REQUIRED if self.profile.require_auth and self.identity is None else None

    def _offers_auth(self) -> bool:
        return bool(self._mechanisms)

    def _authenticate(self, argument: str) -> Event | None:
        if self.identity is not None:
            return self._fault(reply.AUTH_TWICE, "AUTH after AUTH", b"AUTH ***")
        if not self._mechanisms:
            return self._fault(reply.NOT_IMPLEMENTED, "AUTH not offered", b"AUTH ***")
        try:
            mechanism, initial = parse_auth(argument)
        except CommandSyntaxError as error:
            return self._fault(error.reply, "malformed AUTH", b"AUTH ***")
        if mechanism not in self._mechanisms:
            return self._fault(reply.AUTH_MECHANISM, "unknown AUTH mechanism", b"AUTH ***")
        self._advance(Trigger.AUTH)
        self.pending = Trigger.AUTH
        return AuthRequested(mechanism, initial)

    def _read_line(self, line: bytes | LineFault) -> Event | None:
        if self.state is not State.AUTHENTICATING:
            return super()._read_line(line)
        # Inside the exchange a line is a response in base64, or ``*`` (RFC 4954 §4).
        if isinstance(line, LineFault):
            return self._abandon_auth(reply.AUTH_TOO_LONG if line is LineFault.TOO_LONG else LINE_FAULTS[line])
        if line == b"*":
            return self._abandon_auth(reply.AUTH_CANCELLED)
        try:
            data = decode_base64(line)
        except CommandSyntaxError as error:
            return self._abandon_auth(error.reply)
        self.pending = Trigger.AUTH
        return AuthResponse(data)

    def _abandon_auth(self, refusal: Reply) -> Event | None:
        self._advance(Trigger.AUTH_ENDS)
        self._events.append(AuthCancelled())
        return self._fault(refusal, "AUTH not completed", b"***")

    _handlers: ClassVar[Mapping[Trigger, Handler]] = {**CommandEngine._handlers, Trigger.AUTH: _authenticate}
