"""Which sessions are recorded, and how much of them: pure."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from gatepost.policy.addresses import AddressList

Extent: TypeAlias = Literal["none", "headers", "full"]


@final
@dataclass(frozen=True, slots=True)
class RecordRule:
    """The first rule that matches decides; a session that none matches is not recorded.

    :param name: as in the configuration: ``record_rule[0]``.
    :param listeners: it came to one of these; None for any.
    :param addresses: its client is among these; None for anybody.
    :param fraction: how many of those that match are recorded, 0 to 1; chosen by the connection's identifier.
    :param only_failures: record those alone in which something was refused or went wrong.
    :param content: how much is kept of messages.
    """

    name: str
    listeners: frozenset[str] | None = None
    addresses: AddressList | None = None
    fraction: float = 1.0
    only_failures: bool = False
    content: Extent = "none"

    def matches(self, listener: str, address: str) -> bool:
        """Whether the rule decides about a session."""
        if self.listeners is not None and listener not in self.listeners:
            return False
        return self.addresses is None or self.addresses.matches(address)

    def chooses(self, connection: str) -> bool:
        """Whether the session with this identifier is among the fraction; always the same answer."""
        return zlib.crc32(connection.encode()) < self.fraction * (1 << 32)


def rule_for(rules: tuple[RecordRule, ...], listener: str, address: str, connection: str) -> RecordRule | None:
    """The rule by which a session is recorded; None when it is not."""
    for rule in rules:
        if rule.matches(listener, address):
            return rule if rule.chooses(connection) else None
    return None
