"""The part of a POP3 server engine that knows logins and a maildrop (RFC 1939 §5, §7, RFC 5034).

It is not there in ``PlainServer``. ``SecureServer`` has it inside TLS; ``unprotected.UnprotectedServer`` has it at a
gate whose operator decided that logins go on in the clear.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import ClassVar

from gatepost.errors import LocalProtocolError
from gatepost.wire.framing import LineFault
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.engine import LINE_FAULTS, Handler, ServerEngine
from gatepost.wire.pop3.events import (
    AuthCancelled,
    AuthRequested,
    AuthResponse,
    Delete,
    Event,
    ListAsked,
    LoginRequested,
    NoopAsked,
    Retrieve,
    StatAsked,
    Top,
    UidlAsked,
    Undelete,
)
from gatepost.wire.pop3.grammar import ArgumentError, parse_number, parse_optional_number, parse_top
from gatepost.wire.pop3.profile import AUTH_LIMIT, ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.states import Rulebook, State, Trigger
from gatepost.wire.sasl.secret import Secret
from gatepost.wire.smtp.grammar import decode_base64, parse_auth
from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.upgrade import Origin


class MaildropEngine(ServerEngine):
    """Not used alone: see the module."""

    __slots__ = ("_mechanisms", "_name", "identity", "utf8")

    def __init__(
        self,
        origin: Origin,
        profile: ServerProfile,
        rules: Rulebook,
        capabilities: bytes,
        mechanisms: tuple[str, ...],
    ) -> None:
        # An AUTH command may be as long as any line of its exchange; other commands are measured again.
        limit = max(profile.line_limit, AUTH_LIMIT) if mechanisms or profile.relayed else profile.line_limit
        super().__init__(origin, profile, rules, capabilities, limit)
        self.identity: str | None = None
        """Who logged in, or None."""
        self.utf8 = False
        """Whether the client said UTF8 (RFC 6856 §2)."""
        self._mechanisms = mechanisms
        self._name = ""  # what USER was given; PASS takes it

    def _offered(self, profile: ServerProfile) -> tuple[bytes, tuple[str, ...]]:
        """What a profile offers here: the answer to CAPA, and the mechanisms."""
        raise NotImplementedError

    def offer(self, profile: ServerProfile) -> None:
        """Speak as another profile says from here on: the server behind is known now.

        :raises LocalProtocolError: when something was answered already.
        """
        if self.state is not self._rules.table.initial or self._errors:
            raise LocalProtocolError("what is offered is known before anything is answered")
        self.profile = profile
        self._capabilities, self._mechanisms = self._offered(profile)

    # -- answers to a login

    def challenge(self, data: bytes) -> None:
        """Answer an AUTH event with a challenge (RFC 5034 §4).

        :raises LocalProtocolError: when no AUTH exchange waits for an answer.
        """
        if self._pending is not Trigger.AUTH:
            raise LocalProtocolError("no AUTH exchange waits for a challenge")
        self._outgoing.append(b"+ %b\r\n" % binascii.b2a_base64(data, newline=False))
        self._pending = None

    def authenticated(self, identity: str, accepted: Reply = reply.LOGGED_IN) -> None:
        """Answer a login: it succeeded, its maildrop is open, and ``identity`` is who it is from now on.

        :raises LocalProtocolError: when no login waits for an answer, or the identity is empty.
        """
        if self._pending not in (Trigger.AUTH, Trigger.PASS) or not identity or not accepted.positive:
            raise LocalProtocolError("a login is accepted with +OK, for somebody, while it waits for an answer")
        self.identity = identity
        self._pending = None
        self._outgoing.append(accepted.octets)
        self._advance(Trigger.LOGIN)

    # -- AUTHORIZATION

    def _utf8(self, argument: str) -> Event | None:
        if argument:
            return self._malformed(Trigger.UTF8, argument)
        if not self.profile.utf8:
            return self._fault(reply.NOT_SUPPORTED, "UTF8 not offered", b"UTF8")
        self.utf8 = True
        self._outgoing.append(reply.UTF8_ON.octets)
        self._advance(Trigger.UTF8)
        return None

    def _user(self, argument: str) -> Event | None:
        if not self.profile.user_pass:
            return self._fault(reply.NOT_SUPPORTED, "USER not offered", b"USER")
        if not argument:
            return self._malformed(Trigger.USER, argument)
        self._name = argument
        self._outgoing.append(reply.USER_OK.octets)
        self._advance(Trigger.USER)
        return None

    def _pass(self, argument: str) -> Event | None:
        name, self._name = self._name, ""
        self._pending = Trigger.PASS
        return LoginRequested(name, Secret(argument))

    def _authenticate(self, argument: str) -> Event | None:
        if not self._mechanisms:
            return self._fault(reply.NOT_SUPPORTED, "AUTH not offered", b"AUTH ***")
        if not argument:  # older than CAPA, and still asked by some: which mechanisms are there?
            lines = ("+OK", *self._mechanisms, ".", "")
            self._outgoing.append("\r\n".join(lines).encode("ascii"))
            return None
        try:
            mechanism, initial = parse_auth(argument)
        except CommandSyntaxError as error:
            refusal = reply.AUTH_BASE64 if error.reply.enhanced == "5.5.2" else reply.SYNTAX
            return self._fault(refusal, "malformed AUTH", b"AUTH ***")
        if mechanism not in self._mechanisms:
            return self._fault(reply.AUTH_MECHANISM, "unknown AUTH mechanism", b"AUTH ***")
        self._advance(Trigger.AUTH)
        self._pending = Trigger.AUTH
        return AuthRequested(mechanism, initial)

    def _read_line(self, line: bytes | LineFault) -> Event | None:
        if self.state is not State.AUTHENTICATING:
            return super()._read_line(line)
        # Inside the exchange a line is a response in base64, or ``*`` (RFC 5034 §4).
        if isinstance(line, LineFault):
            return self._abandon_auth(reply.AUTH_TOO_LONG if line is LineFault.TOO_LONG else LINE_FAULTS[line])
        if line == b"*":
            return self._abandon_auth(reply.AUTH_CANCELLED)
        try:
            data = decode_base64(line)
        except CommandSyntaxError:
            return self._abandon_auth(reply.AUTH_BASE64)
        self._pending = Trigger.AUTH
        return AuthResponse(data)

    def _abandon_auth(self, refusal: Reply) -> Event | None:
        self._advance(Trigger.LOGIN_ENDS)
        self._events.append(AuthCancelled())
        return self._fault(refusal, "AUTH not completed", b"***")

    # -- TRANSACTION

    def _stat(self, argument: str) -> Event | None:
        return self._bare(argument, Trigger.STAT, StatAsked())

    def _list(self, argument: str) -> Event | None:
        try:
            number = parse_optional_number(argument)
        except ArgumentError:
            return self._malformed(Trigger.LIST, argument)
        self._pending, self._several = Trigger.LIST, number is None
        return ListAsked(number)

    def _uidl(self, argument: str) -> Event | None:
        try:
            number = parse_optional_number(argument)
        except ArgumentError:
            return self._malformed(Trigger.UIDL, argument)
        self._pending, self._several = Trigger.UIDL, number is None
        return UidlAsked(number)

    def _retr(self, argument: str) -> Event | None:
        try:
            number = parse_number(argument)
        except ArgumentError:
            return self._malformed(Trigger.RETR, argument)
        self._pending, self._several = Trigger.RETR, True
        return Retrieve(number)

    def _top(self, argument: str) -> Event | None:
        try:
            number, lines = parse_top(argument)
        except ArgumentError:
            return self._malformed(Trigger.TOP, argument)
        self._pending, self._several = Trigger.TOP, True
        return Top(number, lines)

    def _dele(self, argument: str) -> Event | None:
        try:
            number = parse_number(argument)
        except ArgumentError:
            return self._malformed(Trigger.DELE, argument)
        self._pending = Trigger.DELE
        return Delete(number)

    def _rset(self, argument: str) -> Event | None:
        return self._bare(argument, Trigger.RSET, Undelete())

    def _noop(self, _argument: str) -> Event | None:
        if self.profile.relayed:
            self._pending = Trigger.NOOP
            return NoopAsked()
        self._outgoing.append(reply.OK.octets)
        return None

    _handlers: ClassVar[Mapping[Trigger, Handler]] = {
        **ServerEngine._handlers,
        Trigger.UTF8: _utf8,
        Trigger.USER: _user,
        Trigger.PASS: _pass,
        Trigger.AUTH: _authenticate,
        Trigger.STAT: _stat,
        Trigger.LIST: _list,
        Trigger.UIDL: _uidl,
        Trigger.RETR: _retr,
        Trigger.TOP: _top,
        Trigger.DELE: _dele,
        Trigger.RSET: _rset,
        Trigger.NOOP: _noop,
    }
