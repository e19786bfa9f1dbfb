"""What is queued: a message with its recipients, on the way in (``NewMessage``) and on the way out (``Lease``).

A message's *body* is its content as received: octets with CRLF line ends. A short one travels with its row; a long one
is a file of its own, which the row names with its length and SHA-256, so that a damaged file is never sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, final

from gatepost.queue.outcome import Outcome

INLINE_LIMIT: Final = 64 * 1024  # octets; above this a body becomes a file
LOCAL: Final = "local"  # the destination of every recipient whose mailbox is here

Kind: TypeAlias = Literal["local", "remote"]


@final
@dataclass(frozen=True, slots=True)
class InlineBody:
    """A body of at most ``INLINE_LIMIT`` octets, in its message's row."""

    octets: bytes = field(repr=False)

    @property
    def length(self) -> int:
        """How many octets."""
        return len(self.octets)


@final
@dataclass(frozen=True, slots=True)
class FileBody:
    """A body in a file.

    :param name: the file's name inside the store's folder of bodies; never a path.
    :param length: how many octets it holds.
    :param sha256: their SHA-256, in hexadecimal digits.
    """

    name: str
    length: int
    sha256: str


BodyRef: TypeAlias = InlineBody | FileBody


@final
@dataclass(frozen=True, slots=True)
class NewRecipient:
    """One recipient of a message to be queued.

    :param address: where to deliver, ``local@domain``, aliases already resolved.
    :param destination: for remote mail the domain as lower-case A-labels; for mail to a mailbox here ``LOCAL``.
    :param kind: ``local`` or ``remote``.
    :param notify: NOTIFY of RFC 3461 §4.1, in upper case; None when the sender did not say.
    :param orcpt: ORCPT of RFC 3461 §4.2 as sent.
    :param original: the address that the sender gave, where it is another one.
    """

    address: str
    destination: str
    kind: Kind
    notify: frozenset[str] | None = None
    orcpt: str | None = None
    original: str | None = None


@final
@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be queued.

    :param id: unique for ever, 1 to 64 of ``A-Za-z0-9._-``. Made by the caller. Ids that begin with the time, so that
        newer ones sort last, keep the queue's index in order: random ones cost half as much again at 100,000 messages.
    :param received_at: seconds since the Unix epoch; the lifetime counts from here.
    :param sender: the reverse-path; empty is the null sender.
    :param body: the content.
    :param size: the content's length in octets, for SIZE (RFC 1870).
    :param recipients: at least one.
    :param origin: where it came from, one line of JSON for the operator.
    :param smtputf8: whether it needs SMTPUTF8 (RFC 6531).
    :param eightbit: BODY of RFC 6152: ``7BIT`` or ``8BITMIME``.
    :param ret: RET of RFC 3461 §4.3: ``FULL``, ``HDRS`` or None.
    :param envid: ENVID of RFC 3461 §4.4 as sent.
    :param hold: queue it, but do not deliver it until the operator releases it.
    """

    id: str
    received_at: float
    sender: str
    body: BodyRef
    size: int
    recipients: tuple[NewRecipient, ...]
    origin: str = "{}"
    smtputf8: bool = False
    eightbit: str = "7BIT"
    ret: str | None = None
    envid: str | None = None
    hold: bool = False


@final
@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message as it comes out of the queue. The fields are those of ``NewMessage``.

    :param sequence: the store's own number for it; numbers are never used again.
    """

    sequence: int
    id: str
    received_at: float
    sender: str
    body: BodyRef
    size: int
    origin: str
    smtputf8: bool
    eightbit: str
    ret: str | None
    envid: str | None


@final
@dataclass(frozen=True, slots=True)
class Lease:
    """The right to deliver one message to one recipient, until it expires.

    Leases of one call that are of the same message share one ``message`` object.

    :param position: the recipient's place in its message, from 0.
    :param attempts: which attempt this is; 1 is the first.
    :param warned: whether the sender was told of the delay before (``Settlement.warned``).
    :param owner: who holds it.
    :param expires: until when, in seconds since the Unix epoch.
    """

    message: QueuedMessage
    position: int
    address: str
    destination: str
    kind: Kind
    notify: frozenset[str] | None
    orcpt: str | None
    original: str | None
    attempts: int
    warned: bool
    owner: str
    expires: float


@final
@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a lease.

    :param outcome: delivered, deferred or failed, and what the other side said.
    :param next_attempt: for a deferral, when to try again, in seconds since the Unix epoch; else None.
    :param warned: for a deferral, that the sender is told about the delay in the same transaction.
    """

    lease: Lease
    outcome: Outcome
    next_attempt: float | None = None
    warned: bool = False
