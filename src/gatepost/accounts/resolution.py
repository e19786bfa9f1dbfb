"""Where an address of ours leads: the answers of ``Directory.find``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, final


@final
@dataclass(frozen=True, slots=True)
class Found:
    """Mail for the address is taken.

    :param mailboxes: the mailboxes here that get it, as canonical ``local@domain``; see ``mailbox.mailbox_root``.
    :param forwards: the addresses elsewhere that get it.
    :param missing: targets of aliases that do not exist: for the log; mail is taken because others do.
    """

    mailboxes: tuple[str, ...] = ()
    forwards: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Unknown:
    """The domain is ours and nobody has the address: 550 5.1.1."""


@final
@dataclass(frozen=True, slots=True)
class NotOurs:
    """The domain is not ours: relay it for those who may, 550 5.7.1 for the rest."""


@final
@dataclass(frozen=True, slots=True)
class Broken:
    """Aliases lead nowhere: a loop, or too many targets. The mail should come again when that is mended: 451 4.3.5.

    :param reason: what is wrong, one line, for the operator.
    """

    reason: str


Resolution: TypeAlias = Found | Unknown | NotOurs | Broken

UNKNOWN: Final = Unknown()
NOT_OURS: Final = NotOurs()
