"""Mail through a gate: what the client says goes to the server command by command, and its answers come back.

The state of a transaction stands in two engines that are not ours to bend, so it is kept right by one rule: nothing is
said positively to the client that the server has not said, but for what ends nothing (354, RSET). Where the two part
(a client resets, a chunk is refused, greylisting puts off) the server hears RSET before the next MAIL; where they part
within content behind DATA there is no way to take it back, so the connection ends without the final dot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gatepost.greylist.facts import Facts
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.observe import logs
from gatepost.service.gate import smtp_words as words
from gatepost.service.gate.backends import Client
from gatepost.service.gate.pause import Pause
from gatepost.service.gate.smtp_content import Delivery
from gatepost.service.gate.smtp_offer import Abilities
from gatepost.service.gate.smtp_session import Engine, SMTPSession
from gatepost.service.gate.smtp_side import dialect_of, profile_of
from gatepost.service.gate.smtp_upstream import Upstream, bare_address, forward, reach, timeouts_of
from gatepost.service.greylisting import Greylisting, Judged, certificate_of
from gatepost.service.smtp import passing, refusals
from gatepost.wire.smtp import events, reply
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import TOO_MANY_ERRORS, Reply
from gatepost.wire.smtp.states import Trigger
from gatepost.wire.smtp.xclient import NOTHING_TOLD, Told
from gatepost.wire.upgrade import TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.gate.connection import GateConnection
    from gatepost.service.gate.port import GateTerms


Answer: TypeAlias = Coroutine[Any, Any, None] | None
"""The rest of an answer, where something has to be waited for."""


class Transaction:
    """From MAIL to the end of the content.

    :param sender: the reverse path; None is the null path.
    """

    __slots__ = ("delivery", "judged", "octets", "recipients", "sender")

    def __init__(self, sender: Mailbox | None) -> None:
        self.sender: Final = sender
        self.recipients = 0
        self.octets = 0
        self.judged: list[Judged] = []  # what greylisting said of the recipients
        self.delivery: Delivery | None = None  # of the content, while it comes; None also when it is dropped


class MailSession(SMTPSession):
    """What both sides of the upgrade have in common. Made from a channel, and from the connection's settings.

    :param terms: what the client is offered.
    """

    __slots__ = ("_accepted", "_forwarded", "_helo", "_terms", "_told", "_transaction", "_user")

    def __init__(self, connection: GateConnection, channel: PlainChannel | SecureChannel, engine: Engine) -> None:
        super().__init__(connection, channel, engine)
        self._terms: GateTerms = connection.terms
        self._helo = ""
        self._user = ""
        self._told = NOTHING_TOLD  # whom a proxy in front speaks for, as this session was told
        self._forwarded = NOTHING_TOLD  # where it says that the next message came from
        self._transaction: Transaction | None = None
        self._accepted = 0  # recipients, in all transactions

    # Who it is

    def _evidence(self) -> TLSEvidence | None:
        """What the handshake with this client proved; None in the clear."""
        return None

    @property
    def _address(self) -> str:
        """The client's address: its own, or the one that a proxy told."""
        return self._told.address or self._connection.origin.peer[0]

    def _whom(self) -> Told:
        """Whom we speak for."""
        told, origin = self._told, self._connection.origin
        if told.address:
            return dataclasses.replace(told, helo=self._helo or told.helo, protocol=self._protocol())
        return Told(bare_address(origin.peer[0]), origin.peer[1], "", self._protocol(), self._helo)

    def _protocol(self) -> str:
        return "ESMTP" if self._engine.extended or self._engine.pending is Trigger.EHLO else "SMTP"

    def _client(self) -> Client:
        told, origin = self._told, self._connection.origin
        if told.address:
            origin = dataclasses.replace(origin, peer=(told.address, told.port), proxy=origin.peer[0])
        return Client(origin, self._evidence(), self._helo, self._user)

    # The server

    def _live(self) -> bool:
        """Whether the list is the server's own of this session, or else what the last check of the pool learned."""
        return True

    def _logins(self) -> bool:
        """Whether AUTH may be listed here."""
        return False

    def _profile(self, server: Abilities) -> ServerProfile:
        return profile_of(self._connection, self._terms, logins=self._logins(), listed=server)

    async def _server(self) -> Upstream:
        """The server, dialled where that was not done yet, with nothing open on it.

        :raises ServerLost: when none can be had.
        """
        upstream = self._upstream
        if upstream is not None and self._idle() and not self._user and upstream.spoke:
            # Between messages a server may close, and nothing is lost with it but a login.
            self._abort()
            upstream = None
        if upstream is None:
            connection, port = self._connection, self._connection.port
            upstream = await reach(
                port.pool,
                self._client(),
                self._whom() if port.pool.settings.client == "xclient" else NOTHING_TOLD,
                hostname=port.config.hostname,
                dialect=dialect_of(connection),
                timeouts=timeouts_of(port.pool.settings.reply_timeout),
            )
            self._upstream = upstream
            connection.reached(upstream.link)
        return upstream

    def _idle(self) -> bool:
        return self._transaction is None

    def _abandon(self) -> None:
        transaction, self._transaction = self._transaction, None
        self._in_content = False
        upstream = self._upstream
        if transaction is not None and upstream is not None:
            upstream.dirty = True
            if transaction.delivery is not None and not transaction.delivery.leave():
                self._abort()

    # Hello, and what else has no state

    def _on_hello(self, event: events.Hello) -> Answer:
        self._abandon()
        self._helo = self._connection.record.helo = event.name
        if not self._live():
            known = self._connection.port.pool.known
            if isinstance(known, Abilities):
                self._engine.accept_hello(self._profile(known))
                return None
        return self._say_hello()

    async def _say_hello(self) -> None:
        """Answer hello with what the server lists to this session."""
        upstream = self._upstream
        if upstream is None:
            upstream = await self._server()
        else:
            await upstream.hello_again()
        self._engine.accept_hello(self._profile(upstream.abilities))

    def _on_reset(self, event: events.Reset) -> Answer:
        self._abandon()
        return None if self._upstream is None else self._upstream.clean()

    def _on_extension(self, event: events.Extension) -> Answer:
        if event.verb != "VRFY" and self._upstream is None:
            self._engine.answer(reply.HELP if event.verb == "HELP" else reply.OK)
            return None
        return self._extension(event)

    async def _extension(self, event: events.Extension) -> None:
        """Have the server answer."""
        upstream = await self._server() if event.verb == "VRFY" else self._upstream
        assert upstream is not None
        self._engine.answer(await upstream.ask(upstream.relaying.say(event.verb, event.argument)))

    # The envelope

    def _on_mail(self, event: events.Mail) -> Answer:
        refusal = self._judge_sender(event.sender)
        if refusal is None:
            return self._mail(event)
        self._refuse(refusal)
        return None

    async def _mail(self, event: events.Mail) -> None:
        """Have the server answer."""
        upstream = await self._server()
        if upstream.dirty:
            await upstream.clean()
        if self._connection.port.pool.settings.client == "xforward":
            await forward(upstream, self._forwarded if self._forwarded.address else self._whom())
        answer = await upstream.ask(upstream.relaying.mail(event), known=not self._user)
        if answer.positive:
            self._transaction = Transaction(event.sender)
            self._forwarded = NOTHING_TOLD  # it was said of this message (XFORWARD_README)
        self._engine.answer(answer)

    def _judge_sender(self, sender: Mailbox | None) -> Reply | None:
        """Our own refusal of a message."""
        connection = self._connection
        port = connection.port
        if not port.limits.message(self._address):
            return refusals.TOO_MANY_MESSAGES
        rule = passing.refused_sender(port.services.policies, port.settings.protocol, sender)
        if not rule:
            return None
        port.tally.count("senders_refused_total", listener=port.name)
        logs.event(
            "smtp.sender-refused",
            severity="notice",
            connection=connection.origin.connection,
            rip=connection.origin.peer[0],
            sender=f"<{sender}>",
            rule=f"refused_senders: {rule}",
        )
        return refusals.SENDER_REFUSED

    async def _on_recipient(self, event: events.Recipient) -> None:
        transaction, upstream = self._transaction, self._upstream
        assert transaction is not None
        assert upstream is not None
        judged = await self._greylisted(transaction, event.mailbox)
        if judged is not None and judged.reply is not None:
            self._put_off(judged.reply)
            return
        answer = await upstream.ask(upstream.relaying.recipient(event))
        if not answer.positive:
            self._refuse(answer, own=False)
            return
        if judged is not None:
            transaction.judged.append(judged)
        transaction.recipients += 1
        self._accepted += 1
        self._engine.answer(answer)

    async def _greylisted(self, transaction: Transaction, recipient: Mailbox) -> Judged | None:
        """What greylisting says of a recipient; None where nobody asks it: never of who has logged in."""
        connection = self._connection
        greylisting = connection.port.greylisting
        if greylisting is None or self._user or connection.port.settings.protocol == "submission":
            return None
        evidence = self._evidence()
        facts = Facts(
            self._address,
            connection.port.name,
            "" if transaction.sender is None else str(transaction.sender),
            str(recipient),
            tls=evidence is not None,
            certificate=certificate_of(evidence),
            hello=self._helo,
        )
        judged = await ask_greylisting(greylisting, facts, connection.origin.connection)
        self._decided(judged, str(recipient))
        return judged

    def _put_off(self, refusal: Reply) -> None:
        """Greylisting's answer to a recipient. Who is put off has guessed nothing."""
        if refusal.temporary:
            connection = self._connection
            connection.record.refused += 1
            connection.port.tally.add(connection.port.tally.refused)
            self._engine.answer(refusal)
        else:
            self._refuse(refusal)

    def _decided(self, judged: Judged, recipient: str = "") -> None:
        """Write down what greylisting decided, where a transcript is kept."""
        transcript = self._connection.transcript
        if transcript is not None:
            transcript.decision("greylist", *judged.told, recipient)

    # The content

    async def _on_content_begins(self, event: events.ContentBegins) -> None:
        transaction, engine = self._transaction, self._engine
        assert transaction is not None
        if (verdict := self._judge_content(transaction)) is not None:
            if self._upstream is not None:
                self._upstream.dirty = True
            self._begin_content(reply.DATA_GO_AHEAD)
            engine.refuse_content(verdict)
            return
        upstream = await self._server()
        chunked = engine.pending is Trigger.BDAT
        delivery = Delivery(upstream, chunked=chunked and upstream.relaying.capabilities.chunking)
        answer = await delivery.begin()
        if not answer.positive:
            if chunked:  # the transaction is over for the client, and not for the server
                upstream.dirty = True
                self._transaction = None
            self._refuse(answer, own=False)
            return
        transaction.delivery = delivery
        self._begin_content(answer)

    def _begin_content(self, go_ahead: Reply) -> None:
        self._in_content = True
        connection = self._connection
        self._progress = 0
        self._left = connection.data_seconds
        self._engine.answer(go_ahead)

    def _judge_content(self, transaction: Transaction) -> Reply | None:
        """What greylisting says of the whole message, where it is asked then. Nothing of the content is in the answer,
        so it is asked before any goes to the server; the client hears it behind its content."""
        connection = self._connection
        greylisting = connection.port.greylisting
        if greylisting is None:
            return None
        verdict = greylisting.at_content(transaction.judged, connection.origin.connection)
        if verdict is not None:
            self._decided(transaction.judged[0]._replace(reply=verdict))
        return verdict

    def _on_content(self, event: events.Content) -> Answer:
        transaction, data = self._transaction, event.data
        self._progress += len(data)
        if transaction is None or transaction.delivery is None:
            return None
        transaction.octets += len(data)
        return None if transaction.delivery.hold(data) else self._content(transaction, transaction.delivery, data)

    async def _content(self, transaction: Transaction, delivery: Delivery, data: bytes) -> None:
        """Pass it on at the server's pace."""
        refusal = await delivery.content(data)
        if refusal is not None:
            self._stop(transaction)
            self._refuse_content(refusal)

    def _stop(self, transaction: Transaction) -> None:
        """Nothing more of this content goes to the server."""
        delivery, transaction.delivery = transaction.delivery, None
        if self._upstream is not None:
            self._upstream.dirty = True
            if delivery is not None and not delivery.leave():
                self._abort()

    def _on_content_aborted(self, event: events.ContentAborted) -> None:
        self._abandon()

    def _on_content_ends(self, event: events.ContentEnds) -> Answer:
        transaction = self._transaction
        if event.refusal is not None or transaction is None or transaction.delivery is None:
            if event.refusal is not None:
                logs.event(
                    "smtp.content-refused",
                    severity="notice",
                    connection=self._connection.origin.connection,
                    rip=self._connection.origin.peer[0],
                    reply=str(event.refusal),
                )
            self._count_refusal()
            self._abandon()
            self._after_content()
            return None
        return self._end_content(transaction.delivery)

    async def _end_content(self, delivery: Delivery) -> None:
        """Have the server answer for the message."""
        self._answer_content(await delivery.end())
        self._after_content()

    def _answer_content(self, verdicts: tuple[Reply, ...]) -> None:
        """Give the client the server's answer to its message."""
        transaction, self._transaction = self._transaction, None
        self._in_content = False
        connection, engine = self._connection, self._engine
        if any(verdict.positive for verdict in verdicts) and transaction is not None:
            record, tally = connection.record, connection.port.tally
            record.messages += 1
            record.recipients += transaction.recipients
            record.bytes += transaction.octets
            tally.add(tally.messages)
            tally.add(tally.recipients, transaction.recipients)
            tally.add(tally.octets_in, transaction.octets)
        else:
            connection.record.refused += 1
        if engine.profile.words.per_recipient:
            count = engine.recipients
            engine.answer_each(verdicts if len(verdicts) == count else verdicts[:1] * count)
        else:
            engine.answer(verdicts[0])

    def _after_content(self) -> None:
        """Where the connection that a login was made on is gone, the session is."""
        if self._user and self._upstream is None and self._channel is not None:
            self._connection.outcome = self._connection.outcome or "server lost"
            self._engine.shutdown(words.LOGIN_LOST)

    # Bookkeeping

    def _refuse(self, answer: Reply, *, own: bool = True) -> None:
        """Refuse a command. Who is refused more than he is accepted, and often, guesses: that ends the session."""
        connection = self._connection
        connection.record.refused += 1
        if own:
            connection.port.tally.add(connection.port.tally.refused)
        self._refused += answer.code >= 500
        self._engine.answer(answer)
        if self._refused > max(connection.port.config.limits.errors, self._accepted):
            connection.outcome = "too many refusals"
            self._engine.shutdown(TOO_MANY_ERRORS)

    def _count_refusal(self) -> None:
        connection = self._connection
        connection.record.refused += 1
        connection.port.tally.add(connection.port.tally.refused)


MailSession._handlers = {
    **SMTPSession._handlers,
    events.Hello: MailSession._on_hello,
    events.Mail: MailSession._on_mail,
    events.Recipient: MailSession._on_recipient,
    events.ContentBegins: MailSession._on_content_begins,
    events.Content: MailSession._on_content,
    events.ContentEnds: MailSession._on_content_ends,
    events.ContentAborted: MailSession._on_content_aborted,
    events.Reset: MailSession._on_reset,
    events.Extension: MailSession._on_extension,
}


async def ask_greylisting(greylisting: Greylisting, facts: Facts, connection: str) -> Judged:
    """What greylisting says of a recipient, waited for where DNS has to be asked."""
    later: Pause[Judged] = Pause()
    judged = greylisting.at_recipient(facts, connection, later.settle)
    return await later if judged is None else judged
