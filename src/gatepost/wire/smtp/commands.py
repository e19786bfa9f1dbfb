"""The commands that are alike before TLS and inside it (RFC 5321 §4.1.1, RFC 3030)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.content import ChunkReader
from gatepost.wire.smtp.engine import Chunk, Handler, ServerEngine
from gatepost.wire.smtp.events import (
    ContentBegins,
    Event,
    Extension,
    Hello,
    MailParameters,
    Quit,
    Reset,
    Verify,
)
from gatepost.wire.smtp.grammar import parse_bdat, parse_hello, parse_mail, parse_rcpt
from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.states import State, Trigger

_CONTENT_BEGINS: Final = ContentBegins()


class CommandEngine(ServerEngine, ABC):
    """A ``ServerEngine`` that knows the commands. A handler is called where the table has an edge for its command."""

    __slots__ = ()

    def _hello(self, argument: str, *, extended: bool) -> Event | None:
        try:
            name = parse_hello(argument)
        except CommandSyntaxError as error:
            return self._fault(error.reply, "malformed hello", argument.encode())
        if self.profile.asks_hello:
            self._claimed = name
            self.pending = Trigger.EHLO if extended else Trigger.HELO
            return Hello(name, extended)
        self._abort_content()
        self.hello_name = name
        self.extended = extended
        self._outgoing.append((self._capabilities if extended else self.profile.hello).octets)
        self._advance(Trigger.EHLO if extended else Trigger.HELO)
        self._events.append(Hello(name, extended))
        return None

    def _ehlo(self, argument: str) -> Event | None:
        return self._hello(argument, extended=True)

    def _helo(self, argument: str) -> Event | None:
        return self._hello(argument, extended=False)

    def _mail(self, argument: str) -> Event | None:
        if (refusal := self._login_due()) is not None:
            return self._fault(refusal, "MAIL before AUTH", b"MAIL")
        if 0 < self.profile.max_messages <= self._messages:
            return self._fault(reply.TOO_MANY_MESSAGES, "too many messages", b"MAIL")
        try:
            mail = parse_mail(
                argument,
                smtputf8=self.profile.allow_smtputf8,
                auth=self._offers_auth(),
                extra=self._extensions.mail_parameters,
            )
        except CommandSyntaxError as error:
            return self._fault(error.reply, "malformed MAIL", b"MAIL " + argument.encode())
        if self._not_offered(mail.params):
            return self._fault(reply.UNKNOWN_PARAMETER, "malformed MAIL", b"MAIL " + argument.encode())
        if mail.params.size is not None and mail.params.size > self.profile.max_size:
            return self._fault(reply.TOO_BIG, "declared size above the limit", b"MAIL " + argument.encode())
        self.smtputf8 = mail.params.smtputf8
        self._recipients = 0
        self.pending = Trigger.MAIL
        return mail

    def _not_offered(self, given: MailParameters) -> bool:
        """Whether parameters are of an extension that this profile leaves out."""
        profile = self.profile
        if given.body == "8BITMIME" and not profile.allow_8bitmime:
            return True
        return not profile.allow_dsn and (given.ret is not None or given.envid is not None)

    def _rcpt(self, argument: str) -> Event | None:
        if self._recipients >= self.profile.max_recipients:
            self._outgoing.append(reply.TOO_MANY_RECIPIENTS.octets)  # RFC 5321 §4.5.3.1.10: no error of the client's
            return None
        try:
            recipient = parse_rcpt(argument, utf8=self.smtputf8, extra=self._extensions.rcpt_parameters)
        except CommandSyntaxError as error:
            return self._fault(error.reply, "malformed RCPT", b"RCPT " + argument.encode())
        given = recipient.params
        if not self.profile.allow_dsn and (given.notify is not None or given.orcpt is not None):
            return self._fault(reply.UNKNOWN_PARAMETER, "malformed RCPT", b"RCPT " + argument.encode())
        self.pending = Trigger.RCPT
        return recipient

    def _rset(self, argument: str) -> Event | None:
        if argument:
            return self._fault(reply.SYNTAX, "RSET with an argument", b"RSET")
        self._abort_content()
        self._outgoing.append(reply.OK.octets)
        self._advance(Trigger.RSET)
        self._events.append(Reset())
        return None

    def _relayed(self, verb: Trigger, argument: str) -> Event:
        """A command that somebody else answers."""
        self.pending = Trigger.EXTENSION
        return Extension(verb.value, argument)

    def _noop(self, argument: str) -> Event | None:
        if self.profile.relays:
            return self._relayed(Trigger.NOOP, argument)
        self._outgoing.append(reply.OK.octets)
        return None

    def _help(self, argument: str) -> Event | None:
        if self.profile.relays:
            return self._relayed(Trigger.HELP, argument)
        self._outgoing.append(reply.HELP.octets)
        return None

    def _vrfy(self, argument: str) -> Event | None:
        if not argument:
            return self._fault(reply.SYNTAX, "VRFY without an argument", b"VRFY")
        if self.profile.relays:
            return self._relayed(Trigger.VRFY, argument)
        self._outgoing.append(reply.CANNOT_VERIFY.octets)
        return Verify(argument)

    def _quit(self, _argument: str) -> Event | None:
        self._abort_content()
        self._events.append(Quit())
        self._end(reply.BYE, "quit")
        return None

    @abstractmethod
    def _login_due(self) -> Reply | None:
        """What MAIL is answered with when it must wait for a login (RFC 4954 §6)."""

    def _offers_auth(self) -> bool:
        """Whether AUTH was offered, and with it the parameter of MAIL (RFC 4954 §5)."""
        return False

    def _data(self, argument: str) -> Event | None:
        if argument:
            return self._fault(reply.SYNTAX, "DATA with an argument", b"DATA")
        self.pending = Trigger.DATA
        return _CONTENT_BEGINS

    def _bdat(self, argument: str) -> Event | None:
        try:
            size, last = parse_bdat(argument)
        except CommandSyntaxError as error:
            return self._unreadable_chunk(error.reply, b"BDAT " + argument.encode())
        self._chunk = Chunk(size, last=last)
        if self.state is State.RECIPIENTS:
            self.pending = Trigger.BDAT
            return _CONTENT_BEGINS
        assert isinstance(self._content, ChunkReader)
        self._content.declare(size)
        return None

    _handlers: ClassVar[Mapping[Trigger, Handler]] = {
        Trigger.EHLO: _ehlo,
        Trigger.HELO: _helo,
        Trigger.MAIL: _mail,
        Trigger.RCPT: _rcpt,
        Trigger.DATA: _data,
        Trigger.BDAT: _bdat,
        Trigger.RSET: _rset,
        Trigger.NOOP: _noop,
        Trigger.HELP: _help,
        Trigger.VRFY: _vrfy,
        Trigger.QUIT: _quit,
    }
