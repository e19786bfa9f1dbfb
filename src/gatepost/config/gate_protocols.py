"""What a gate can read of the protocols that it knows."""

from __future__ import annotations

from typing import Final

SMTP_LIKE: Final = frozenset({"smtp", "submission", "lmtp"})
"""Protocols that are SMTP or a dialect of it."""

READ: Final = SMTP_LIKE | {"pop3", "imap"}
"""Protocols that the gate reads command by command; all others are opaque to it once TLS is there."""
