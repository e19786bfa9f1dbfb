"""An open conversation with a server, over which messages go one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, final

from gatepost.delivery.trouble import Stage, trouble_of
from gatepost.errors import GatepostError, LocalProtocolError
from gatepost.queue.item import Lease, QueuedMessage
from gatepost.queue.outcome import Outcome, Protection, Result, judge
from gatepost.wire.smtp.capabilities import Capabilities
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.smtp.envelope import Stage as WireStage
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.transaction import Transaction
from gatepost.wire.upgrade import TLSEvidence

if TYPE_CHECKING:
    from gatepost.delivery.attempt import Client, Connection

RECIPIENTS: Final = 100  # of one transaction; what every server must take (RFC 5321 §4.5.3.1.8)


class Again(Enum):
    """Where a recipient that was deferred may be tried again before it waits."""

    LATER = "not now"
    ELSEWHERE = "on another server"
    AFRESH = "on a new connection to this server"


Verdict: TypeAlias = tuple[Outcome, Again]


@final
class Letter:
    """One message for some of its recipients, made ready for one session.

    :param verdicts: for each recipient what is known without the server, or None.
    :param transaction: what asks the server about the others; None where there is none.
    """

    __slots__ = ("transaction", "verdicts")

    def __init__(self, verdicts: list[Verdict | None], transaction: Transaction | None) -> None:
        self.verdicts: Final = verdicts
        self.transaction: Final = transaction


@final
class Session:
    """A server that was greeted, with TLS and login behind it.

    :param connection: the connection; the session owns it.
    :param client: the engine that speaks.
    :param capabilities: what the server listed last.
    :param remote: who it is, for outcomes.
    :param protection: what was asked of TLS, and what came about.
    """

    __slots__ = (
        "_client",
        "_connection",
        "_messages_limit",
        "capabilities",
        "evidence",
        "idle_since",
        "key",
        "messages",
        "protection",
        "recipients_limit",
        "remote",
        "tls",
        "usable",
    )

    def __init__(
        self,
        connection: Connection,
        client: Client,
        capabilities: Capabilities,
        remote: str,
        protection: Protection | None = None,
    ) -> None:
        self._connection = connection
        self._client = client
        self.capabilities = capabilities
        limits = capabilities.limits  # RFC 9422
        self.recipients_limit = min(RECIPIENTS, limits.get("RCPTMAX", RECIPIENTS))  # of one transaction
        self._messages_limit = limits.get("MAILMAX")
        self.remote = remote
        self.protection = protection
        self.evidence = connection.evidence
        self.tls = tls_line(connection.evidence)
        self.messages = 0
        self.idle_since = 0.0
        self.key: tuple[object, ...] = ()  # set by the pool
        self.usable = True

    @property
    def alive(self) -> bool:
        """Whether the next message can be tried on it: nothing was broken, and the server has not hung up."""
        return self.usable and not self._connection.closed

    def messages_limit(self, configured: int) -> int:
        """Messages for this connection (RFC 9422 MAILMAX may lower it)."""
        return configured if self._messages_limit is None else min(configured, self._messages_limit)

    def prepare(self, message: QueuedMessage, leases: Sequence[Lease], content: Iterable[bytes]) -> Letter:
        """Make a message ready for some of its recipients.

        :param leases: at most ``recipients_limit``.
        :raises StoreError: when the content cannot be read.
        """
        verdicts: list[Verdict | None] = []
        recipients: list[EnvelopeRecipient] = []
        for lease in leases:
            recipient = _recipient(lease)
            if isinstance(recipient, EnvelopeRecipient):
                recipients.append(recipient)
                verdicts.append(None)
            else:
                verdicts.append((self._own(recipient), Again.LATER))
        if not recipients:
            return Letter(verdicts, None)
        try:
            envelope = Envelope(
                message.sender, tuple(recipients), message.size, cast('Literal["7BIT", "8BITMIME"]', message.eightbit),
                message.smtputf8, cast('Literal["FULL", "HDRS"] | None', message.ret), message.envid,
            )  # fmt: skip
            return Letter(verdicts, self._client.prepare(envelope, content))
        except LocalProtocolError as error:
            own = (self._own(error), Again.LATER)
            return Letter([own if verdict is None else verdict for verdict in verdicts], None)

    async def transfer(
        self, letter: Letter, following: Callable[[], Transaction | None] = lambda: None
    ) -> list[Verdict]:
        """Send a letter.

        :param following: asked for what comes next on this session when it could go ahead (``carry_out``).
        :return: for each recipient its outcome, and where it may be tried again at once.
        """
        self.messages += 1
        asked = iter(await self._submit(letter.transaction, following) if letter.transaction is not None else ())
        return [next(asked) if verdict is None else verdict for verdict in letter.verdicts]

    async def _submit(self, transaction: Transaction, following: Callable[[], Transaction | None]) -> Iterable[Verdict]:
        count = len(transaction.decided)
        try:
            submission = await self._connection.run(self._client.carry_out(transaction, following))
        except LocalProtocolError as error:
            self.usable = self._client.usable
            return [(self._own(error), Again.LATER)] * count
        except (GatepostError, OSError) as error:
            return self._broken(error, transaction.decided, sent=transaction.ended)
        except BaseException:  # broken off, or a fault of ours: nobody knows what the server says next
            self.abort()
            raise
        self.usable = self._client.usable
        return [
            (self._judge(reply), self._again(reply, stage))
            for reply, stage in zip(submission.replies, submission.stages, strict=True)
        ]

    def _again(self, reply: Reply, stage: WireStage) -> Again:
        """Where a recipient that this reply defers may be tried again.

        A 421 to a later message's MAIL ends a session that had served long enough; it says nothing about the message.
        """
        if stage == "local":
            return Again.LATER
        return Again.AFRESH if reply.code == 421 and stage == "MAIL" and self.messages > 1 else Again.ELSEWHERE

    def _broken(self, error: Exception, decided: Sequence[Reply | None], *, sent: bool) -> list[Verdict]:
        """The connection broke. Who was decided before stays decided; all others wait.

        When the whole content was sent and its reply is missing, the server may have taken it: no other attempt is made
        until the next round, which bounds the duplicates (RFC 1047). A connection that had served before, and broke
        before the content, had only been left open too long.
        """
        self.usable = False
        outcome = trouble_of(
            error, Stage.TRANSFER, remote=self.remote, tls=self.tls, protection=self.protection
        ).outcome
        again = Again.LATER if sent else Again.AFRESH if self.messages > 1 else Again.ELSEWHERE
        return [(outcome if reply is None else self._judge(reply), again) for reply in decided]

    def _judge(self, reply: Reply) -> Outcome:
        text = reply.text if isinstance(reply.text, str) else " / ".join(reply.text)
        return judge(reply.code, reply.enhanced, text, remote=self.remote, tls=self.tls, protection=self.protection)

    def _own(self, error: LocalProtocolError) -> Outcome:
        text, enhanced = f"not sent: {error}", error.enhanced or "5.1.3"
        return Outcome(Result.FAILED, 0, enhanced, text, self.remote, self.tls, None, self.protection)

    async def quit(self) -> None:
        """Say QUIT and close. What was delivered stays delivered whatever becomes of it."""
        if self.alive:
            with contextlib.suppress(GatepostError, OSError):
                await self._connection.run(self._client.quit())
        self.abort()

    def abort(self) -> None:
        """Close without a word."""
        self.usable = False
        self._connection.close()


def _recipient(lease: Lease) -> EnvelopeRecipient | LocalProtocolError:
    """The recipient of an envelope, or why it cannot be one. An ORCPT that cannot be passed on is left out."""
    try:
        return EnvelopeRecipient(lease.address, lease.notify, lease.orcpt)
    except LocalProtocolError:
        try:
            return EnvelopeRecipient(lease.address)
        except LocalProtocolError as error:
            return error


def tls_line(evidence: TLSEvidence | None) -> str:
    """How a connection is secured, in one line; empty when it is not."""
    if evidence is None:
        return ""
    parts = [evidence.version, evidence.cipher, evidence.group, evidence.verification.status]
    return " ".join([*(part for part in parts if part), *(["resumed"] if evidence.resumed else [])])
