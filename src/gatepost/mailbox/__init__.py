"""Mailboxes: Maildir delivery and reading."""

from gatepost.mailbox.maildir import Delivery, deliver, deliver_many, make_mailbox
from gatepost.mailbox.names import mailbox_root, unique_name
from gatepost.mailbox.reader import Maildir, StoredMessage, Usage, sweep

__all__ = [
    "Delivery", "Maildir", "StoredMessage", "Usage", "deliver", "deliver_many", "mailbox_root", "make_mailbox", "sweep",
    "unique_name",
]  # fmt: skip
