"""What SMTP sessions have in common: an engine answered with what accounts, limits and store say.

Everything that can be decided at once is answered at once, so that all replies to one input leave in one write (inside
TLS: in one record). Three things wait: a commit, a password check, the delay after a failed login.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Final

from gatepost.accounts.resolution import Broken, Found, NotOurs
from gatepost.errors import StoreError
from gatepost.net.channel import PlainChannel, SecureChannel
from gatepost.net.identifiers import new_identifier
from gatepost.observe import logs
from gatepost.queue.item import LOCAL, BodyRef, NewRecipient
from gatepost.service.greylisting import Greylisting, Judged
from gatepost.service.smtp import passing, refusals
from gatepost.service.smtp.arrival import arrival_line
from gatepost.service.smtp.stranger import facts_of
from gatepost.service.smtp.transaction import AcceptedRecipient, Additions, Transaction, date_line
from gatepost.smtp.conversation import PROGRESS, Conversation
from gatepost.wire.smtp import events, reply
from gatepost.wire.smtp.address import Mailbox, parse_mailbox
from gatepost.wire.smtp.received import Received, protocol_keyword
from gatepost.wire.smtp.reply import TOO_MANY_ERRORS, Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.upgrade import TLSEvidence

if TYPE_CHECKING:
    from gatepost.service.smtp.connection import Connection

SYNC_LIMIT: Final = 1 << 22  # octets of a file that a fast disk syncs while the loop waits


class Session(Conversation):
    """What both sessions do: everything but the upgrade and the login. See ``plain`` and ``secure``."""

    __slots__ = ("_accepted", "_hello", "_refused", "_traces", "_transaction", "_user")

    _connection: Connection

    def __init__(
        self, connection: Connection, channel: PlainChannel | SecureChannel, engine: PlainServer | SecureServer
    ) -> None:
        super().__init__(connection, channel, engine)
        self._hello = ""
        self._user = ""
        self._transaction: Transaction | None = None
        self._accepted = 0  # recipients, in all transactions
        self._refused = 0  # commands
        self._traces: dict[str, Received] = {}  # by keyword; of the hello and the login that are

    def _idle(self) -> bool:
        return self._transaction is None

    def _abandon(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.discard()

    # Events

    def _on_hello(self, event: events.Hello) -> None:
        self._hello = self._connection.record.helo = event.name
        self._traces.clear()
        self._abandon()

    def _on_reset(self, event: events.Reset) -> None:
        self._abandon()

    def _on_fault(self, event: events.Fault) -> None:
        connection = self._connection
        connection.record.errors += 1
        connection.fault("smtp", event.reason, event.line)

    def _on_mail(self, event: events.Mail) -> None:
        connection = self._connection
        if not connection.port.services.limits.message(connection.origin.peer[0]):
            self._refuse(refusals.TOO_MANY_MESSAGES)
            return
        refusal = self._judge_sender(event.sender) or self._judge_listed(event.sender)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._transaction = Transaction(event.sender, event.params)
        self._engine.answer(reply.SENDER_OK)

    def _on_recipient(self, event: events.Recipient) -> None:
        transaction = self._transaction
        assert transaction is not None
        port = self._connection.port
        try:
            targets = self._targets(event)
        except StoreError as error:
            self._log_store_error(error)
            self._refuse(refusals.CANNOT_LOOK_UP)
            return
        if isinstance(targets, Reply):
            reason = "relay" if targets in (refusals.NO_RELAY, refusals.CERTIFICATE_UNCHECKED) else "unknown"
            port.tally.count("recipients_refused_total", reason=reason)
            self._refuse(targets)
            return
        accepted = AcceptedRecipient(event.mailbox, event.params, targets)
        if port.greylisting is None or self._relay_rule():
            self._accept(transaction, accepted)
        else:
            self._greylist(port.greylisting, transaction, accepted)

    def _accept(self, transaction: Transaction, accepted: AcceptedRecipient) -> None:
        transaction.recipients.append(accepted)
        self._accepted += 1
        self._engine.answer(reply.RECIPIENT_OK)

    def _greylist(self, greylisting: Greylisting, transaction: Transaction, accepted: AcceptedRecipient) -> None:
        """Take a recipient from a stranger, or put it off; where DNS is asked the answer comes later."""
        origin = self._connection.origin

        def later(judged: Judged) -> None:
            if self.alive:
                self._judged(transaction, accepted, judged)
                self._resume()

        facts = facts_of(origin, self._evidence(), transaction, accepted.mailbox, self._hello)
        judged = greylisting.at_recipient(facts, origin.connection, later)
        if judged is None:
            self._connection.hold()
        else:
            self._judged(transaction, accepted, judged)

    def _judged(self, transaction: Transaction, accepted: AcceptedRecipient, judged: Judged) -> None:
        self._decided("greylist", *judged.told, str(accepted.mailbox))
        if judged.reply is None:
            transaction.judged.append(judged)
            self._accept(transaction, accepted)
            return
        port = self._connection.port
        port.tally.count("recipients_refused_total", reason="temporary" if judged.reply.temporary else "sender")
        if judged.reply.temporary:  # who is put off has guessed nothing
            self._connection.record.refused += 1
            port.tally.add(port.tally.rejected)
            self._engine.answer(judged.reply)
        else:
            self._refuse(judged.reply)

    def _on_content_begins(self, event: events.ContentBegins) -> None:
        transaction, connection = self._transaction, self._connection
        assert transaction is not None
        config, identifier = connection.port.services.config, new_identifier()
        try:
            writer = connection.port.services.bodies(identifier)
        except StoreError as error:
            self._log_store_error(error)
            self._refuse(refusals.CANNOT_STORE)
            return
        only = str(transaction.recipients[0].mailbox) if len(transaction.recipients) == 1 else None
        transaction.begin(
            identifier,
            writer,
            Additions(
                trace=self._trace(utf8=transaction.parameters.smtputf8).field(identifier, date_line(), only),
                complete=connection.port.complete,
                message_id_domain=config.hostname,
                hops=config.limits.received_hops,
            ),
        )
        transaction.origin = _origin_line(connection.origin.peer[0], self._user)
        if transaction.leads_to(connection.port.services.directory.reflector):
            transaction.origin = arrival_line(connection, self._evidence(), hello=self._hello, user=self._user)
        self._in_content = True
        self._progress = PROGRESS
        self._engine.answer(reply.DATA_GO_AHEAD)

    def _trace(self, *, utf8: bool) -> Received:
        """What makes the trace field of this session's messages."""
        engine, evidence, user = self._engine, self._evidence(), self._user
        keyword = protocol_keyword(
            engine.profile.dialect,
            extended=engine.extended,
            utf8=utf8,
            tls=evidence is not None,
            authenticated=bool(user),
        )
        trace = self._traces.get(keyword)
        if trace is None:
            connection = self._connection
            trace = self._traces[keyword] = Received(
                connection.origin,
                evidence,
                hello=self._hello,
                protocol=keyword,
                hostname=connection.port.services.config.hostname,
                identity=user or None,
            )
        return trace

    def _on_content(self, event: events.Content) -> None:
        transaction = self._transaction
        if transaction is None:
            return
        transaction.content(event.data)
        self._progress += len(event.data)

    def _on_content_aborted(self, event: events.ContentAborted) -> None:
        self._in_content = False
        self._abandon()

    def _on_content_ends(self, event: events.ContentEnds) -> None:
        transaction, connection = self._transaction, self._connection
        self._in_content = False
        if event.refusal is not None or transaction is None:
            if event.refusal is not None:
                logs.event(
                    "smtp.content-refused",
                    severity="notice",
                    connection=connection.origin.connection,
                    rip=connection.origin.peer[0],
                    reply=str(event.refusal),
                )
            self._count_refusal(event.refusal)
            self._abandon()
            return
        transaction.flush()
        refusal = transaction.refusal or self._judge_content(transaction) or self._judge_stranger(transaction)
        if refusal is not None:
            self._abandon()
            self._answer_content(transaction, refusal)
            return
        connection.hold()
        services = connection.port.services
        if transaction.octets > SYNC_LIMIT or (transaction.large and services.intake.slow):
            # The file's sync may take long: off the loop.
            future = services.loop.run_in_executor(None, transaction.finish)
            future.add_done_callback(lambda done: self._stored(transaction, done.exception() or done.result()))
            return
        try:
            body = transaction.finish()
        except StoreError as error:
            self._committed(transaction, 0, error)
            return
        self._stored(transaction, body)

    def _stored(self, transaction: Transaction, body: BodyRef | BaseException) -> None:
        """The content is where it belongs: let the commit name it."""
        if isinstance(body, BaseException):
            self._committed(transaction, 0, StoreError(str(body)))
            self._resume()
            return
        services = self._connection.port.services
        message = transaction.message(body, received_at=services.clock(), hold=False)

        def done(error: Exception | None) -> None:
            self._committed(transaction, message.size, error)
            self._resume()

        services.intake.submit(message, done)

    def _committed(self, transaction: Transaction, size: int, error: Exception | None) -> None:
        """The commit returned: only now may a positive answer be given."""
        if error is not None:
            transaction.withdraw()
            self._log_store_error(error)
            self._answer_content(transaction, refusals.CANNOT_STORE)
            return
        connection = self._connection
        port, record, count = connection.port, connection.record, len(transaction.recipients)
        record.messages += 1
        record.recipients += count
        record.bytes += size
        tally = port.tally
        tally.add(tally.accepted)
        tally.add(tally.accepted_octets, size)
        tally.add(tally.recipients, count)
        logs.event(
            "smtp.accepted",
            queue_id=transaction.identifier,
            connection=connection.origin.connection,
            sender=f"<{transaction.reverse_path}>",
            nrcpt=count,
            size=size,
            user=self._user,
        )
        self._answer_content(transaction, Reply(250, "2.0.0", f"Ok: queued as {transaction.identifier}"))

    def _answer_content(self, transaction: Transaction, answer: Reply) -> None:
        self._transaction = None
        if not answer.positive:
            self._count_refusal(answer)
        if self._channel is None:
            return  # the peer went away while we stored its message: it will send it again
        if self._connection.port.listener.protocol == "lmtp":
            self._engine.answer_each([answer] * len(transaction.recipients))
        else:
            self._engine.answer(answer)

    # Decisions

    def _evidence(self) -> TLSEvidence | None:
        return None

    def _judge_sender(self, sender: Mailbox | None) -> Reply | None:
        return None

    def _judge_content(self, transaction: Transaction) -> Reply | None:
        return None

    def _judge_stranger(self, transaction: Transaction) -> Reply | None:
        """What greylisting says of a message whose content has come."""
        greylisting = self._connection.port.greylisting
        if greylisting is None:
            return None
        refusal = greylisting.at_content(transaction.judged, self._connection.origin.connection)
        if refusal is not None:
            self._decided("greylist", *transaction.judged[0]._replace(reply=refusal).told)
        return refusal

    def _targets(self, event: events.Recipient) -> tuple[NewRecipient, ...] | Reply:
        """Where mail for a recipient goes, or why it is refused."""
        services = self._connection.port.services
        mailbox = event.mailbox
        match services.directory.find(mailbox.local, mailbox.ascii_domain):
            case Found() as found:
                return _local_targets(found, event)
            case NotOurs():
                if self._may_relay() or self._passes_on(mailbox):
                    return (_remote(str(mailbox), event),)
                return self._no_relay()
            case Broken(reason):
                logs.event("alias.broken", severity="error", recipient=str(mailbox), reason=reason)
                return refusals.BROKEN_ALIAS
            case _:
                return refusals.NO_SUCH_USER

    def _may_relay(self) -> bool:
        """Whether this session may send to domains that are not ours."""
        if not (rule := self._relay_rule()):
            return False
        self._connection.record.relay = rule
        self._decided("relay", "accept", rule)
        return True

    def _relay_rule(self) -> str:
        """The rule by which it may; empty when it may not."""
        return self._connection.terms.relay

    def _no_relay(self) -> Reply:
        """Why it may not."""
        return refusals.NO_RELAY

    def _passes_on(self, mailbox: Mailbox) -> bool:
        """Whether mail for an address that is not ours is taken from anybody."""
        port = self._connection.port
        if not passing.passes_on(port.services.policies, port.listener.protocol, mailbox):
            return False
        self._connection.record.relay = passing.RELAY_DOMAINS
        self._decided("relay", "accept", passing.RELAY_DOMAINS)
        return True

    def _judge_listed(self, sender: Mailbox | None) -> Reply | None:
        """The refusal of a sender that ``refused_senders`` has."""
        connection = self._connection
        port = connection.port
        rule = passing.refused_sender(port.services.policies, port.listener.protocol, sender)
        if not rule:
            return None
        port.tally.count("senders_refused_total", listener=port.listener.name)
        self._decided("sender", "refuse", f"refused_senders: {rule}", subject=str(sender))
        logs.event(
            "smtp.sender-refused",
            severity="notice",
            connection=connection.origin.connection,
            rip=connection.origin.peer[0],
            sender=f"<{sender}>",
            rule=f"refused_senders: {rule}",
        )
        return refusals.SENDER_REFUSED

    # Bookkeeping

    def _decided(self, what: str, verdict: str, rule: str, reason: str = "", subject: str = "") -> None:
        """Write a decision down, where a transcript is kept."""
        transcript = self._connection.transcript
        if transcript is not None:
            transcript.decision(what, verdict, rule, reason, subject)

    def _refuse(self, answer: Reply) -> None:
        """Refuse a command. Who is refused more than he is accepted, and often, guesses: that ends the session."""
        connection = self._connection
        connection.record.refused += 1
        connection.port.tally.add(connection.port.tally.rejected)
        self._refused += 1
        self._engine.answer(answer)
        if self._refused > max(connection.port.services.config.limits.errors, self._accepted):
            connection.outcome = "too many refusals"
            self.hang_up(TOO_MANY_ERRORS)

    def _count_refusal(self, answer: Reply | None) -> None:
        port = self._connection.port
        self._connection.record.refused += 1
        result = "temporary" if answer is not None and answer.temporary else "permanent"
        port.tally.count("messages_refused_total", listener=port.listener.name, result=result)

    def _log_store_error(self, error: Exception) -> None:
        logs.event("store.failed", severity="error", connection=self._connection.origin.connection, reason=str(error))


Session._handlers = {
    **Conversation._handlers,
    events.Hello: Session._on_hello,
    events.Mail: Session._on_mail,
    events.Recipient: Session._on_recipient,
    events.ContentBegins: Session._on_content_begins,
    events.Content: Session._on_content,
    events.ContentEnds: Session._on_content_ends,
    events.ContentAborted: Session._on_content_aborted,
    events.Reset: Session._on_reset,
    events.Fault: Session._on_fault,
}


def _local_targets(found: Found, event: events.Recipient) -> tuple[NewRecipient, ...]:
    notify, orcpt = event.params.notify, event.params.orcpt
    sent = str(event.mailbox)
    local = [
        NewRecipient(name, LOCAL, "local", notify, orcpt, sent if sent != name else None) for name in found.mailboxes
    ]
    return (*local, *(_remote(address, event) for address in found.forwards))


def _remote(address: str, event: events.Recipient) -> NewRecipient:
    sent = str(event.mailbox)
    destination = parse_mailbox(address).ascii_domain
    original = sent if sent != address else None
    return NewRecipient(address, destination, "remote", event.params.notify, event.params.orcpt, original)


@functools.lru_cache(256)
def _origin_line(peer: str, user: str) -> str:
    return json.dumps({"peer": peer, "user": user} if user else {"peer": peer})
