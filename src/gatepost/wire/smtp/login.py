"""AUTH as a server engine hears it (RFC 4954): the part that is alike wherever it is heard.

The engine knows lines and base64, no mechanism: what is in an exchange is for whoever answers its events.
"""

from __future__ import annotations

import binascii
from abc import ABC
from collections.abc import Mapping
from typing import ClassVar

from gatepost.errors import LocalProtocolError
from gatepost.wire.framing import LineFault
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.commands import CommandEngine
from gatepost.wire.smtp.engine import LINE_FAULTS, Handler
from gatepost.wire.smtp.events import AuthCancelled, AuthRequested, AuthResponse, Event
from gatepost.wire.smtp.extensions import Extensions
from gatepost.wire.smtp.grammar import decode_base64, parse_auth
from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.smtp.profile import AUTH_LIMIT, ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.states import Rulebook, State, Trigger
from gatepost.wire.upgrade import Origin


class LoginEngine(CommandEngine, ABC):
    """A ``CommandEngine`` in whose tables AUTH has an edge.

    :param mechanisms: those that are offered, in upper case.
    """

    __slots__ = ("_mechanisms", "identity")

    def __init__(
        self,
        origin: Origin,
        profile: ServerProfile,
        rules: Rulebook,
        capabilities: Reply,
        extensions: Extensions,
        mechanisms: tuple[str, ...],
    ) -> None:
        super().__init__(origin, profile, rules, capabilities, _line_limit(profile), extensions)
        self.identity: str | None = None
        """Who logged in, or None."""
        self._mechanisms = mechanisms

    def _offer(self, profile: ServerProfile) -> None:
        self._framer.limit = _line_limit(profile)

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


def _line_limit(profile: ServerProfile) -> int:
    """An AUTH command may be as long as any line of its exchange (RFC 4954 §4); other commands are measured again."""
    return max(profile.line_limit, AUTH_LIMIT) if profile.auth_mechanisms else profile.line_limit
