"""The queue's rules, pure: what an item is, its states and commit points, when to try again, and outcomes."""

from gatepost.queue.item import (
    INLINE_LIMIT,
    LOCAL,
    BodyRef,
    FileBody,
    InlineBody,
    Lease,
    NewMessage,
    NewRecipient,
    QueuedMessage,
    Settlement,
)
from gatepost.queue.outcome import Outcome, Result, ResultType
from gatepost.queue.schedule import Schedule
from gatepost.queue.states import COMMITTED, RECIPIENT, SETTLED, Moment, RecipientState, Step
from gatepost.queue.status import (
    BackupReport,
    MessageStatus,
    QueueCounts,
    RecipientStatus,
    Selection,
)

__all__ = [
    "COMMITTED",
    "INLINE_LIMIT",
    "LOCAL",
    "RECIPIENT",
    "SETTLED",
    "BackupReport",
    "BodyRef",
    "FileBody",
    "InlineBody",
    "Lease",
    "MessageStatus",
    "Moment",
    "NewMessage",
    "NewRecipient",
    "Outcome",
    "QueueCounts",
    "QueuedMessage",
    "RecipientState",
    "RecipientStatus",
    "Result",
    "ResultType",
    "Schedule",
    "Selection",
    "Settlement",
    "Step",
]
