"""Conversations whose events are answered by hooks.

At most one hook that the peer waits for runs at a time: the engine parses nothing behind an event that has no answer.
``on_message`` runs beside the content that it reads. All of them are cancelled when the peer is gone.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from gatepost.errors import LocalProtocolError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.identifiers import new_identifier
from gatepost.smtp.conversation import PROGRESS, Conversation, PlainConversation
from gatepost.smtp.handler import Hook, Hooks
from gatepost.smtp.incoming import IncomingMessage, MessageAborted
from gatepost.smtp.logins import Exchange
from gatepost.smtp.session import PlainSession, SecureSession, Session
from gatepost.wire.sasl.outcome import Challenge, Failure, FailureKind, Success
from gatepost.wire.smtp import events, reply
from gatepost.wire.smtp.reply import TOO_MANY_ERRORS, Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer

if TYPE_CHECKING:
    from gatepost.smtp.accepted import PublicConnection

FAILED: Final = Reply(451, "4.3.0", "Internal error, try again later")
LOGIN_MALFORMED: Final = Reply(501, "5.5.2", "The authentication response is malformed")
LOGIN_BUSY: Final = Reply(454, "4.7.0", "Temporary authentication failure, try again later")
TOO_MANY_LOGINS: Final = Reply(421, "4.7.0", "Too many failed logins")
ACCEPTED: Final = Reply(250, "2.0.0", "Ok: message accepted")

log: Final = logging.getLogger("gatepost.smtp.server")
Answer = Callable[[Any], None]
_HELD: Final = -(1 << 62)  # octets of progress, while reading is paused: no clock is set


async def settle(asked: Awaitable[Any], clock: asyncio.Timeout, name: str, connection: str) -> Any:
    """Wait for a hook. What it returned, or ``FAILED`` when it raised or took too long: both are logged."""
    try:
        async with clock:
            return await asked
    except MessageAborted:
        return FAILED  # the peer's doing: there is nobody to answer, or it was answered
    except Exception:
        if clock.expired():
            log.error("%s took too long and was cancelled: connection %s", name, connection)
        else:
            log.exception("%s failed: connection %s", name, connection)
    return FAILED


class HookedConversation(Conversation):
    """What both sides have in common: everything but the upgrade and the login."""

    __slots__ = (
        "_accepted",
        "_clock",
        "_hooks",
        "_message",
        "_rcpt",
        "_refused",
        "_reply",
        "_session",
        "_task",
        "_writing",
        "mail",
    )

    _connection: PublicConnection

    def __init__(
        self,
        connection: PublicConnection,
        channel: PlainChannel | SecureChannel,
        engine: PlainServer | SecureServer,
        session: Session,
        hooks: Hooks,
    ) -> None:
        super().__init__(connection, channel, engine)
        self._session = session
        self._hooks = hooks
        self._task: asyncio.Task[None] | None = None  # the hook that the peer waits for
        self._writing: asyncio.Task[None] | None = None  # on_message
        self._reply: Any = None  # what it returned
        self._message: IncomingMessage | None = None
        self._rcpt: list[events.RcptParameters] = []
        self._clock: asyncio.Timeout | None = None  # of on_message
        self._accepted = 0  # recipients, in all transactions
        self._refused = 0
        self.mail: events.MailParameters | None = None  # of the open transaction

    # Hooks

    def _ask(self, name: str, hook: Hook | None, arguments: tuple[Any, ...], answer: Answer) -> None:
        """Call a hook, and give what it returns to ``answer``: at once, or when it is there."""
        if hook is None:
            answer(None)
            return
        try:
            asked = hook(*arguments)
        except Exception:
            log.exception("%s failed: connection %s", name, self._session.id)
            answer(FAILED)
            return
        if inspect.isawaitable(asked):
            self._wait_for(asked, name, answer)
        else:
            answer(asked)

    def _wait_for(self, asked: Awaitable[Any], name: str, answer: Answer) -> None:
        """Let the peer wait."""
        connection = self._connection
        connection.hold()
        task = self._task = connection.server.spawn(self._wait(asked, name, answer))
        if inspect.iscoroutine(asked):
            close = asked.close  # it is never begun when the task is cancelled before its first step
            task.add_done_callback(lambda _: close())

    async def _wait(self, asked: Awaitable[Any], name: str, answer: Answer) -> None:
        clock = asyncio.timeout(self._connection.server.limits.hook)
        result = await settle(asked, clock, name, self._session.id)
        self._task = None
        if self.alive:
            answer(result)
            self._resume()

    def _verdict(self, result: Any, otherwise: Reply, name: str) -> Reply:
        """The reply that a hook's result means."""
        if result is None:
            return otherwise
        if isinstance(result, Reply) and result.code // 100 in (2, 4, 5):
            return result
        log.error("%s returned %r, which is no reply: connection %s", name, type(result), self._session.id)
        return FAILED

    def _say(self, answer: Reply) -> None:
        """Answer a command. Who is refused more often than he is told yes guesses: that ends the session."""
        self._engine.answer(answer)
        if not answer.positive:
            self._refused += 1
            if self._refused > max(self._connection.server.limits.errors, self._accepted):
                self._connection.outcome = "too many refusals"
                self.hang_up(TOO_MANY_ERRORS)

    # What Conversation asks

    def refuse(self, refusal: Reply, *, greeting: bool) -> None:
        """Serve nothing but QUIT.

        :param refusal: a hook's; it becomes 554, or 421 and the end.
        :param greeting: whether it is said in place of the greeting; else it answers every command.
        """
        code = 421 if refusal.temporary else 554
        self._engine.refuse(Reply(code, refusal.enhanced, refusal.text), greeting=greeting)
        self.await_command()
        self._pump()

    def _idle(self) -> bool:
        return self.mail is None and self._task is None and self._writing is None

    def _abandon(self) -> None:
        self._clear("the session ended")

    def _clear(self, reason: str) -> None:
        """The transaction is over without an answer."""
        message, self._message = self._message, None
        self._in_content = False
        if message is not None:
            message.abort(reason)
        self._end_transaction()

    def _end_transaction(self) -> None:
        self.mail = None
        self._rcpt = []
        self._session.sender = None
        self._session.recipients = ()

    def connection_lost(self, error: OSError | None) -> None:
        super().connection_lost(error)
        self.cancel()

    def cancel(self) -> None:
        """Cancel the hooks that run: there is nobody to answer."""
        for task in (self._task, self._writing):
            if task is not None:
                task.cancel()

    # Commands

    def _on_hello(self, event: events.Hello) -> None:
        def answer(result: Any) -> None:
            verdict = self._verdict(result, reply.OK, "on_hello")
            if verdict.positive:
                self._clear("the client said hello again")
                self._session.hello, self._session.extended = event.name, event.extended
                self._engine.accept_hello()
            else:
                self._say(verdict)

        self._ask("on_hello", self._hooks.get("on_hello"), (self._session, event.name), answer)

    def _on_mail(self, event: events.Mail) -> None:
        def answer(result: Any) -> None:
            verdict = self._verdict(result, reply.SENDER_OK, "on_mail")
            if verdict.positive:
                self.mail = event.params
                self._session.sender = event.sender
            self._say(verdict)

        arguments = (self._session, event.sender, event.params)
        self._ask("on_mail", self._judged("MAIL", "on_mail", event.params), arguments, answer)

    def _on_recipient(self, event: events.Recipient) -> None:
        def answer(result: Any) -> None:
            verdict = self._verdict(result, reply.RECIPIENT_OK, "on_rcpt")
            if verdict.positive:
                self._session.recipients = (*self._session.recipients, event.mailbox)
                self._rcpt.append(event.params)
                self._accepted += 1
            self._say(verdict)

        arguments = (self._session, event.mailbox, event.params)
        self._ask("on_rcpt", self._judged("RCPT", "on_rcpt", event.params), arguments, answer)

    def _judged(
        self, command: Any, name: str, parameters: events.MailParameters | events.RcptParameters
    ) -> Hook | None:
        """The hook of a command, behind those of the extensions whose parameters it has."""
        hook = self._hooks.get(name)
        if not parameters.extra:
            return hook

        async def both(*arguments: Any) -> Any:
            refusal = await self._session.extensions.judge(self._session, command, parameters.extra)
            if refusal is not None or hook is None:
                return refusal
            result = hook(*arguments)
            return await result if inspect.isawaitable(result) else result

        return both

    def _on_extension(self, event: events.Extension) -> None:
        def answer(result: Any) -> None:
            self._say(self._verdict(result, FAILED, event.verb))

        extension = self._session.extensions.of_verb(event.verb)
        self._ask(event.verb, extension.on_verb, (self._session, event.verb, event.argument), answer)

    def _on_reset(self, event: events.Reset) -> None:
        self._clear("the client reset")

    def _on_fault(self, event: events.Fault) -> None:
        log.info("protocol error: %s: %a: connection %s", event.reason, event.line, self._session.id)

    # Content

    def _on_content_begins(self, event: events.ContentBegins) -> None:
        if self._writing is not None:  # of a message that was not completed: one at a time
            self._connection.hold()
            self._writing.add_done_callback(self._begin_late)
            return
        self._begin()

    def _begin_late(self, _: object) -> None:
        if self.alive:
            self._begin()
            self._resume()

    def _begin(self) -> None:
        connection, session = self._connection, self._session
        assert self.mail is not None
        server = connection.server
        message = self._message = IncomingMessage(
            session,
            new_identifier(),
            self.mail,
            tuple(self._rcpt),
            hostname=server.hostname,
            dialect=self._engine.profile.dialect,
        )
        self._reply = None
        hook = self._hooks.get("on_message")
        assert hook is not None
        self._writing = server.spawn(self._write(hook, message))
        self._in_content = True
        self._progress = PROGRESS
        self._engine.answer(reply.DATA_GO_AHEAD)

    async def _write(self, hook: Hook, message: IncomingMessage) -> None:
        async def call() -> Any:
            result = hook(self._session, message)
            return await result if inspect.isawaitable(result) else result

        # The clock runs while the hook is waited for: not while the content arrives, which has a clock of its own.
        self._clock = asyncio.timeout(None)
        self._reply = await settle(call(), self._clock, "on_message", self._session.id)
        self._clock = None
        self._writing = None
        if self._message is not message:
            return
        message.drop()
        if not self._in_content and self.alive:
            self._answer_message(message)
            self._resume()

    def _on_content(self, event: events.Content) -> None:
        message, channel = self._message, self._channel
        self._progress += len(event.data)
        if message is None or channel is None:
            return
        if not message.feed(event.data):
            channel.transport.pause()
            self._connection.hold()
            self._progress = _HELD
            self._start_clock()
            message.when_read(self._flow)

    def _flow(self) -> None:
        """What waited was read: take more."""
        channel = self._channel
        if channel is not None and self._in_content:
            self._progress = 0
            if self._clock is not None:
                self._clock.reschedule(None)
            self._connection.wait(self._connection.data_seconds, "data")
            channel.transport.resume()

    def _on_content_aborted(self, event: events.ContentAborted) -> None:
        self._clear("the client left, or began again")

    def _on_content_ends(self, event: events.ContentEnds) -> None:
        message = self._message
        if event.refusal is not None or message is None:
            self._clear("its content broke a rule")
            return
        self._in_content = False
        message.finish()
        if self._writing is None:
            self._answer_message(message)
        else:
            self._connection.hold()
            self._start_clock()

    def _start_clock(self) -> None:
        """From now on the peer waits for ``on_message``."""
        if self._clock is not None:
            self._clock.reschedule(self._connection.server.loop.time() + self._connection.server.limits.hook)

    def _answer_message(self, message: IncomingMessage) -> None:
        self._message = None
        result = self._reply
        each: list[Reply] | None = None
        if isinstance(result, Sequence) and not isinstance(result, str | bytes):
            each = [self._verdict(one, ACCEPTED, "on_message") for one in result]
        try:
            if each is None:
                self._engine.answer(self._verdict(result, ACCEPTED, "on_message"))
            else:
                self._engine.answer_each(each)
        except LocalProtocolError as error:
            log.error("on_message: %s: connection %s", error, self._session.id)
            self._engine.answer(FAILED)
        self._end_transaction()


HookedConversation._handlers = {
    **Conversation._handlers,
    events.Hello: HookedConversation._on_hello,
    events.Mail: HookedConversation._on_mail,
    events.Recipient: HookedConversation._on_recipient,
    events.Extension: HookedConversation._on_extension,
    events.Reset: HookedConversation._on_reset,
    events.Fault: HookedConversation._on_fault,
    events.ContentBegins: HookedConversation._on_content_begins,
    events.Content: HookedConversation._on_content,
    events.ContentAborted: HookedConversation._on_content_aborted,
    events.ContentEnds: HookedConversation._on_content_ends,
}


class HookedPlain(HookedConversation, PlainConversation):
    """In the clear."""

    __slots__ = ()

    def __init__(
        self,
        connection: PublicConnection,
        channel: PlainChannel,
        engine: PlainServer,
        session: PlainSession,
        hooks: Hooks,
    ) -> None:
        super().__init__(connection, channel, engine, session, hooks)


HookedPlain._handlers = {**PlainConversation._handlers, **HookedConversation._handlers}


class HookedSecure(HookedConversation):
    """Inside TLS: the only one that knows a login."""

    __slots__ = ("_exchange", "_failures")

    _engine: SecureServer
    _session: SecureSession

    def __init__(
        self,
        connection: PublicConnection,
        channel: SecureChannel,
        engine: SecureServer,
        session: SecureSession,
        hooks: Hooks,
    ) -> None:
        super().__init__(connection, channel, engine, session, hooks)
        self._exchange: Exchange | None = None
        self._failures = 0

    def _on_auth(self, event: events.AuthRequested) -> None:
        auth = self._session.auth
        assert auth is not None
        self._exchange = Exchange(auth, self._session.evidence, event.mechanism)
        self._step(event.initial)

    def _on_auth_response(self, event: events.AuthResponse) -> None:
        self._step(event.data)

    def _on_auth_cancelled(self, event: events.AuthCancelled) -> None:
        self._exchange = None

    def _step(self, data: bytes | None) -> None:
        exchange = self._exchange
        assert exchange is not None
        self._wait_for(exchange.step(data), "AUTH", self._on_step)

    def _on_step(self, step: Any) -> None:
        match step:
            case Challenge(data):
                self._engine.challenge(data)
            case Success(identity):
                self._accept(identity)
            case Failure(kind, reason, user):
                log.info("login failed: %s: user %a: connection %s", reason, user, self._session.id)
                answer = LOGIN_MALFORMED if kind is FailureKind.MALFORMED else reply.AUTH_FAILED
                delay = self._connection.server.limits.login_delay
                self._wait_for(asyncio.sleep(delay, answer), "AUTH", self._fail)
            case None:
                self._fail(reply.AUTH_MECHANISM)
            case _:
                self._fail(LOGIN_BUSY)

    def _accept(self, identity: str) -> None:
        """The credentials are right: ask the hook."""
        exchange = self._exchange
        assert exchange is not None

        def answer(result: Any) -> None:
            verdict = self._verdict(result, reply.AUTHENTICATED, "on_login")
            if not verdict.positive:
                self._fail(verdict)
                return
            self._exchange = None
            self._session.user = identity
            self._engine.authenticated(identity)

        self._ask("on_login", self._hooks.get("on_login"), (self._session, identity, exchange.name), answer)

    def _fail(self, answer: Reply) -> None:
        self._exchange = None
        self._failures += 1
        self._engine.answer(answer)
        if self._failures >= self._connection.server.limits.logins and self.alive:
            self._connection.outcome = "too many failed logins"
            self.hang_up(TOO_MANY_LOGINS)


HookedSecure._handlers = {
    **HookedConversation._handlers,
    events.AuthRequested: HookedSecure._on_auth,
    events.AuthResponse: HookedSecure._on_auth_response,
    events.AuthCancelled: HookedSecure._on_auth_cancelled,
}
