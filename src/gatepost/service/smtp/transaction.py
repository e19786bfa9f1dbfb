"""One message on its way in: who it is from and for, where its content goes, what is added to its top.

The content is never held: its header section is, up to a bound, and the rest streams into the store's body writer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import Final, Protocol

from gatepost.errors import StoreError
from gatepost.queue.item import INLINE_LIMIT, BodyRef, NewMessage, NewRecipient
from gatepost.service.greylisting import Judged
from gatepost.service.smtp import refusals
from gatepost.service.smtp.headers import Header, HeaderGate
from gatepost.wire.smtp.address import Mailbox
from gatepost.wire.smtp.events import MailParameters, RcptParameters
from gatepost.wire.smtp.reply import Reply


class BodyWriter(Protocol):
    """Where content goes (``store.sqlite.bodies``)."""

    def write(self, data: bytes, /) -> None: ...
    def finish(self) -> BodyRef: ...
    def discard(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Additions:
    """What is put on top of the content.

    :param trace: the ``Received:`` field, octets with CRLF.
    :param complete: whether missing Date, Message-ID and From fields are added (RFC 6409 §8).
    :param message_id_domain: what a Message-ID that we make ends with.
    :param hops: how many Received fields a message may already have.
    """

    trace: bytes
    complete: bool
    message_id_domain: str
    hops: int


@dataclass(frozen=True, slots=True)
class AcceptedRecipient:
    """A recipient that was answered with 250, and where its mail goes."""

    mailbox: Mailbox
    parameters: RcptParameters
    targets: tuple[NewRecipient, ...]


class Transaction:
    """From MAIL to the end of the content.

    :param sender: the reverse path; None is the null path.
    :param parameters: of MAIL.
    """

    __slots__ = (
        "_additions",
        "_finished",
        "_gate",
        "_writer",
        "authors",
        "identifier",
        "judged",
        "octets",
        "origin",
        "parameters",
        "recipients",
        "refusal",
        "sender",
    )

    def __init__(self, sender: Mailbox | None, parameters: MailParameters) -> None:
        self.sender: Final = sender
        self.parameters: Final = parameters
        self.recipients: list[AcceptedRecipient] = []
        self.judged: list[Judged] = []  # what greylisting said of those from strangers
        self.identifier = ""
        self.refusal: Reply | None = None
        self.octets = 0
        self.origin = "{}"  # where it came from, one line of JSON
        self.authors: list[str] | None = []  # of the From field, on submission; None when it cannot be read
        self._additions: Additions | None = None
        self._gate: HeaderGate | None = None
        self._writer: BodyWriter | None = None
        self._finished: BodyWriter | None = None

    @property
    def reverse_path(self) -> str:
        """The sender as text; empty for the null path."""
        return "" if self.sender is None else str(self.sender)

    def leads_to(self, mailbox: str) -> bool:
        """Whether a recipient leads to a mailbox here; to none when it is empty."""
        return bool(mailbox) and any(
            target.address == mailbox for accepted in self.recipients for target in accepted.targets
        )

    def begin(self, identifier: str, writer: BodyWriter, additions: Additions) -> None:
        """Content is about to come."""
        self.identifier = identifier
        self._writer = writer
        self._additions = additions
        self._gate = HeaderGate()

    def content(self, data: bytes) -> None:
        """Take content. What goes wrong is kept in ``refusal``; the rest of the content is then dropped."""
        if self.refusal is not None or self._writer is None:
            return
        self.octets += len(data)
        if self._gate is not None:
            held = self._gate.feed(data)
            if held is None:
                return
            overlong, self._gate = self._gate.overlong, None
            data = self._top(held) + held
            if overlong:
                self.authors = None  # what cannot be read whole cannot be judged
        self._write(data)

    def discard(self) -> None:
        """The message will not be: forget its content. Once ``finish`` was called, ``withdraw`` does that."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()

    def withdraw(self) -> None:
        """The commit failed: what ``finish`` made durable is dropped, unless a row names it after all."""
        writer, self._finished = self._finished, None
        if writer is not None:
            writer.discard()

    @property
    def large(self) -> bool:
        """Whether finishing syncs a file, which is better done off the loop."""
        return self.octets > INLINE_LIMIT

    def flush(self) -> None:
        """All content has come: write what was held back."""
        if self._gate is not None:
            held = self._gate.finish()
            self._gate = None
            if self.refusal is None:
                self._write(self._top(held) + held)

    def finish(self) -> BodyRef:
        """Make the content durable (a file's sync) and return where it is.

        :raises StoreError: when it cannot be stored; nothing of it is left.
        """
        self._finished, self._writer = self._writer, None
        if self._finished is None:
            raise StoreError("this message has no content")
        return self._finished.finish()

    def message(self, body: BodyRef, *, received_at: float, hold: bool) -> NewMessage:
        """The queue's item for this message."""
        seen: dict[str, NewRecipient] = {}
        for accepted in self.recipients:
            for target in accepted.targets:
                seen.setdefault(target.address, target)
        parameters = self.parameters
        return NewMessage(
            id=self.identifier,
            received_at=received_at,
            sender=self.reverse_path,
            body=body,
            size=body.length,
            recipients=tuple(seen.values()),
            origin=self.origin,
            smtputf8=parameters.smtputf8,
            eightbit=parameters.body,
            ret=parameters.ret,
            envid=parameters.envid,
            hold=hold,
        )

    def _write(self, data: bytes) -> None:
        writer = self._writer
        if writer is None:
            return
        try:
            writer.write(data)
        except StoreError:
            self.discard()
            self.refusal = refusals.CANNOT_STORE

    def _top(self, held: bytes) -> bytes:
        """What stands above the content: the trace, and on submission the fields that are missing."""
        additions = self._additions
        assert additions is not None
        header = Header(held)
        if header.count(b"received") >= additions.hops:
            self.refusal = refusals.LOOPING
            return b""
        top = additions.trace
        if additions.complete:
            self.authors = header.addresses(b"from")
            top += self._missing(header, additions.message_id_domain)
        return top + b"\r\n" if header.missing and not held.startswith(b"\r\n") else top

    def _missing(self, header: Header, domain: str) -> bytes:
        fields = ""
        if not header.has(b"date"):
            fields += f"Date: {date_line()}\r\n"
        if not header.has(b"message-id"):
            fields += f"Message-ID: <{self.identifier}@{domain}>\r\n"
        if not header.has(b"from") and self.sender is not None:
            fields += f"From: {self.sender}\r\n"
        return fields.encode()


_date: tuple[int, str] = (0, "")


def date_line() -> str:
    """The time now, as header fields have it (RFC 5322 §3.3); computed once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, formatdate(now, localtime=True))
    return _date[1]
