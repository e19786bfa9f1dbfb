"""The life of one recipient of a queued message, as data, with the points that commit.

Theory
------
Responsibility for a message changes hands twice, and each time at one point (the idea is qmail's, ``INTERNALS``):

* ``COMMITTED``: the transaction that holds the message, all its recipients and the name of its synced body. Before
  it, the message does not exist and the client must not see 250; after it, the client may forget the message, and no
  crash loses it.
* ``SETTLED``: the transaction that records an attempt's outcome and, in the same breath, removes what is final and
  queues the report to the sender. Before it, a crash means that the recipient is tried again: one duplicate, if the
  peer had already taken the message; after it, never.

Everything else can be repeated. A lease is a loan with an end, so a worker that dies holds nothing for ever. A body
file without a row is rubbish and is swept; a row without its body file never exists, because the file is synced before
COMMITTED and removed only after SETTLED.

What is final leaves no row. ``DELIVERED`` is legal in every state that has a row: the peer has the message, whoever
held the lease meanwhile, and a row that stayed would be a duplicate.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gatepost.wire.machine import Table


class RecipientState(Enum):
    """Where a recipient is. The values are what the database holds; states without a row are never stored."""

    RECEIVING = "receiving"  # no row: content is arriving, nothing was promised
    QUEUED = "queued"  # waits; due at next_attempt
    LEASED = "leased"  # a worker has it until the lease expires
    DEFERRED = "deferred"  # was tried; due again at next_attempt
    HELD = "held"  # waits for the operator
    GONE = "gone"  # no row: delivered, reported, dropped, or never accepted


class Step(Enum):
    """What changes a state."""

    COMMITTED = "the message is on disk; 250"
    COMMITTED_ON_HOLD = "the message is on disk, held; 250"
    ABANDONED = "the client left, the content was refused, or the store failed; no 250"
    LEASED = "a worker took it"
    DELIVERED = "the peer or the mailbox took it; recorded"
    FAILED = "given up and the sender's report queued; recorded"
    DEFERRED = "not now; recorded"
    DEFERRED_ON_HOLD = "not now, and the message was put on hold meanwhile; recorded"
    RETURNED = "the lease expired, its owner is gone, or gave it back"
    RETURNED_ON_HOLD = "the same, and the message was put on hold meanwhile"
    HELD = "the operator put the message on hold"
    RELEASED = "the operator released it"
    RETRIED = "the operator wants it tried now"
    DROPPED = "the operator removed it"


_S: Final = RecipientState
_WAITING: Final = {
    Step.LEASED: _S.LEASED,
    Step.DELIVERED: _S.GONE,
    Step.HELD: _S.HELD,
    Step.RETRIED: _S.QUEUED,
    Step.DROPPED: _S.GONE,
}
RECIPIENT: Final[Table[RecipientState, Step]] = Table(
    _S.RECEIVING,
    {
        _S.RECEIVING: {
            Step.COMMITTED: _S.QUEUED,
            Step.COMMITTED_ON_HOLD: _S.HELD,
            Step.ABANDONED: _S.GONE,
        },
        _S.QUEUED: _WAITING,
        _S.DEFERRED: _WAITING,
        _S.LEASED: {
            Step.DELIVERED: _S.GONE,
            Step.FAILED: _S.GONE,
            Step.DEFERRED: _S.DEFERRED,
            Step.DEFERRED_ON_HOLD: _S.HELD,
            Step.RETURNED: _S.QUEUED,
            Step.RETURNED_ON_HOLD: _S.HELD,
            Step.HELD: _S.LEASED,
            Step.RELEASED: _S.LEASED,
            Step.DROPPED: _S.GONE,
        },
        _S.HELD: {
            Step.DELIVERED: _S.GONE,
            Step.RELEASED: _S.QUEUED,
            Step.HELD: _S.HELD,
            Step.DROPPED: _S.GONE,
        },
        _S.GONE: {},
    },
)

COMMITTED: Final = frozenset({Step.COMMITTED, Step.COMMITTED_ON_HOLD})
"""The one commit point of acceptance: 250 after it, never before."""

SETTLED: Final = frozenset({Step.DELIVERED, Step.FAILED, Step.DEFERRED, Step.DEFERRED_ON_HOLD})
"""The one commit point of an outcome."""

WAITING: Final = frozenset({_S.QUEUED, _S.DEFERRED})
"""The states in which a recipient may be leased."""


class Moment(Enum):
    """The moments at which a crash test kills a process, in the order of a message's life. A store reports each one to
    whoever asked (``witness``); in production nobody does."""

    BODY_WRITTEN = "body: content written, not synced"
    BODY_SYNCED = "body: file and folder synced, no row names it"
    ENQUEUE_WRITTEN = "enqueue: rows written, not committed"
    COMMITTED = "enqueue: committed, not yet acknowledged"
    LEASE_WRITTEN = "lease: rows written, not committed"
    LEASED = "lease: committed, nothing attempted"
    SETTLE_WRITTEN = "settle: rows written, not committed"
    SETTLED = "settle: committed, body files not yet removed"
    REMOVED = "settle: body files removed"
