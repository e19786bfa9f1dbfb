"""Telling the sender: from settled recipients to a notification in the queue.

One notification a message and a settling, however many of its recipients came to the same end together. It is queued in
the transaction that settles them, so it is neither lost nor written twice.

Mail that was itself a notification (null sender) is never reported about: the failure is logged as ``bounce.double``
with severity error, and the message is dropped. No copy goes to the postmaster: such mail is nearly always an answer to
a forged sender, and the log line names everything that an operator needs.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Final, Literal, TypeAlias, cast, final

from gatepost.accounts.resolution import Found, NotOurs, Resolution
from gatepost.delivery.bounce import Action, Fate, Report, Subject, build, owed
from gatepost.errors import GatepostError
from gatepost.observe.logs import event
from gatepost.queue.item import LOCAL, BodyRef, InlineBody, Lease, NewMessage, NewRecipient, QueuedMessage
from gatepost.queue.outcome import Outcome
from gatepost.store.interface import QueueStore
from gatepost.wire.smtp.address import AddressSyntaxError, Mailbox, parse_mailbox

_HEADER_PEEK: Final = 65536  # octets read of a big message, to return its header

OpenBody: TypeAlias = Callable[[BodyRef], Iterable[bytes]]
Find: TypeAlias = Callable[[str, str], Resolution]


@final
class Reporter:
    """Writes notifications.

    :param hostname: our name.
    :param limit: the largest message that goes back whole, in octets.
    :param find: where an address of ours leads (``Directory.find``).
    :param open_body: how the content of a message is read.
    :param new_id: makes the queue's id of a notification.
    :param keep: puts a finished content into the queue's store.
    """

    __slots__ = ("_find", "_hostname", "_keep", "_limit", "_new_id", "_open_body")

    def __init__(
        self,
        hostname: str,
        *,
        limit: int,
        find: Find,
        open_body: OpenBody,
        new_id: Callable[[], str],
        keep: Callable[[str, bytes], BodyRef],
    ) -> None:
        self._hostname = hostname
        self._limit = limit
        self._find = find
        self._open_body = open_body
        self._new_id = new_id
        self._keep = keep

    def owes(self, lease: Lease, action: Action) -> bool:
        """Whether the sender is to be told about this recipient; a failure of a notification is logged here."""
        if action == "failed" and not lease.message.sender:
            event(
                "bounce.double", "error", queue_id=lease.message.id, to=f"<{lease.address}>",
                reason="a notification could not be delivered; it is dropped",
            )  # fmt: skip
        return owed(action, lease.message.sender, lease.notify)

    def report(
        self, told: Sequence[tuple[Lease, Outcome]], action: Action, *, now: float, until: float = 0.0
    ) -> NewMessage | None:
        """The notification about some recipients of one message, or None when it can reach nobody.

        :param told: at least one; every one of them owed.
        """
        message = told[0][0].message
        try:
            recipients = way_back(self._find, message.sender)
        except (GatepostError, ValueError) as error:
            event(
                "bounce.double", "error", queue_id=message.id, to=f"<{message.sender}>", reason=f"no way back: {error}"
            )
            return None
        content, whole = self._content(message)
        subject = Subject(
            message.sender, message.id, message.received_at, content, whole,
            cast(Literal["FULL", "HDRS"] | None, message.ret), message.envid,
        )  # fmt: skip
        name = self._new_id()
        made = build(
            subject, [_fate(lease, outcome, action) for lease, outcome in told],
            hostname=self._hostname, report_id=name, now=now, limit=self._limit, until=until,
        )  # fmt: skip
        event(
            "bounce.queued",
            queue_id=name,
            about=message.id,
            to=f"<{message.sender}>",
            action=action,
            recipients=len(told),
        )
        return self._message(name, made, recipients, now, message.id)

    def _message(
        self, name: str, made: Report, recipients: tuple[NewRecipient, ...], now: float, about: str
    ) -> NewMessage:
        return NewMessage(
            name, now, "", self._keep(name, made.content), len(made.content), recipients,
            f'{{"protocol":"dsn","about":"{PurePath(about).name}"}}', made.smtputf8,
            "8BITMIME" if made.eightbit else "7BIT",
        )  # fmt: skip

    def _content(self, message: QueuedMessage) -> tuple[bytes, bool]:
        """The content, or of a big one its beginning, and whether it is whole. A content that is gone is empty."""
        if isinstance(message.body, InlineBody):
            return message.body.octets, True
        enough = message.size if message.size <= self._limit else _HEADER_PEEK
        content = b""
        try:
            for chunk in self._open_body(message.body):
                content += chunk
                if len(content) >= enough:
                    break
        except (GatepostError, OSError) as error:
            event("bounce.content", "error", queue_id=message.id, reason=str(error))
            return b"", False
        return content, len(content) >= message.size


def way_back(find: Find, sender: str) -> tuple[NewRecipient, ...]:
    """Where an answer to an envelope sender goes; it asks for no notification (RFC 3464 §2).

    :raises AddressSyntaxError: when it is no address, or nobody here has it.
    :raises StoreError: when the store fails.
    """
    mailbox = parse_mailbox(sender)
    found = find(mailbox.local, mailbox.domain)
    if isinstance(found, NotOurs):
        return (_remote(mailbox),)
    if not isinstance(found, Found):
        raise AddressSyntaxError(f"nobody here has the address {sender}")
    local = [NewRecipient(name, LOCAL, "local") for name in found.mailboxes]
    return (*local, *(_remote(parse_mailbox(address)) for address in found.forwards))


def _remote(mailbox: Mailbox) -> NewRecipient:
    return NewRecipient(str(mailbox), mailbox.ascii_domain, "remote", frozenset({"NEVER"}))


def _fate(lease: Lease, outcome: Outcome, action: Action) -> Fate:
    status = outcome.enhanced or {"failed": "5.0.0", "delayed": "4.0.0"}.get(action, "2.0.0")
    if action == "failed" and not status.startswith("5"):
        status = "5.4.7"
    return Fate(
        lease.address, action, status, outcome.text or "no reason was given", outcome.reply if outcome.code else "",
        outcome.remote, outcome.tls, lease.orcpt, lease.original or "",
    )  # fmt: skip


def new_id() -> str:
    """An id for a notification: the time first, so that the queue's index stays in order."""
    return f"{time.time_ns() // 1000:x}-{secrets.token_hex(6)}"


def keep(store: QueueStore, name: str, content: bytes) -> BodyRef:
    """Put a notification's content into the store."""
    writer = store.body_writer(name)
    writer.write(content)
    return writer.finish()
