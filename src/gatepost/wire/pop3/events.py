"""What a POP3 server engine reports.

The events marked *asks* wait for an answer: the engine parses nothing behind them until it is given. ``answer()`` takes
a ``Reply``; *several lines* means ``begin_multiline()``, ``multiline()`` as often as it takes, ``end_multiline()``, or
``answer()`` with a refusal.

==================  =====  =========================================================================
event               asks   answered with
==================  =====  =========================================================================
StartTLSRequested   yes    ``grant_upgrade()``, or ``answer()`` with a refusal
LoginRequested      yes    ``authenticated()``, or ``answer()`` with a refusal
AuthRequested       yes    ``challenge()``, ``authenticated()``, or ``answer()`` with a refusal
AuthResponse        yes    the same
AuthCancelled       no
StatAsked           yes    ``answer()``: ``+OK messages octets``
ListAsked           yes    a number: ``answer()``: ``+OK number octets``; without: several lines
UidlAsked           yes    a number: ``answer()``: ``+OK number id``; without: several lines
Retrieve, Top       yes    several lines
Delete, Undelete    yes    ``answer()``
NoopAsked           yes    ``answer()``; only where the profile is ``relayed``
Quit                       ``update`` true: asks, ``answer()``; false: answered already
Fault               no
Ended               no     the last event: flush what is outgoing and close
==================  =====  =========================================================================

Whether a message of that number exists, and whether it is marked as deleted, is for the service to say. CAPA, NOOP,
UTF8, USER, and QUIT before a login are answered by the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias, final

from gatepost.wire.sasl.secret import Secret


@final
@dataclass(frozen=True, slots=True)
class StartTLSRequested:
    """STLS, where it is allowed (RFC 2595 §4)."""


@final
@dataclass(frozen=True, slots=True)
class LoginRequested:
    """USER and PASS (RFC 1939 §7), inside TLS. Neither is prepared: see ``sasl.plain.judge_password``.

    :param user: what USER was given, not empty.
    :param password: what PASS was given, spaces and all; UTF-8 without control characters; it may be empty.
    """

    user: str
    password: Secret


@final
@dataclass(frozen=True, slots=True)
class AuthRequested:
    """AUTH with a mechanism that is offered (RFC 5034 §4).

    :param mechanism: in upper case.
    :param initial: the initial response, decoded; empty for ``=``; None when there is none.
    """

    mechanism: str
    initial: bytes | None = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The answer to a challenge, decoded."""

    data: bytes = field(repr=False)


@final
@dataclass(frozen=True, slots=True)
class AuthCancelled:
    """The exchange is over without a result (``*``, a line that cannot be decoded, the end of the connection)."""


@final
@dataclass(frozen=True, slots=True)
class StatAsked:
    """STAT: how many messages, how many octets."""


@final
@dataclass(frozen=True, slots=True)
class ListAsked:
    """LIST. ``number`` is positive, or None for all messages."""

    number: int | None


@final
@dataclass(frozen=True, slots=True)
class UidlAsked:
    """UIDL. ``number`` is positive, or None for all messages."""

    number: int | None


@final
@dataclass(frozen=True, slots=True)
class Retrieve:
    """RETR. ``number`` is positive."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class Top:
    """TOP: the header, and the first ``lines`` lines of the body; ``multiline.top_filter`` cuts them off."""

    number: int
    lines: int


@final
@dataclass(frozen=True, slots=True)
class Delete:
    """DELE: mark a message, which is deleted at ``Quit(update=True)`` and not before."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class Undelete:
    """RSET: take every mark off."""


@final
@dataclass(frozen=True, slots=True)
class NoopAsked:
    """NOOP, where another server answers it."""


@final
@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT. ``Ended`` follows the answer, whichever it is.

    :param update: somebody is logged in: delete what is marked, then answer (RFC 1939 §6). Nothing else asks for that:
        an ``Ended`` without it deletes nothing.
    """

    update: bool


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """The peer broke the protocol, and the engine has answered.

    :param reason: stable words for counters and logs, ``unknown command``.
    :param line: the beginning of the offending line, at most 128 octets, unescaped; credentials appear as ``***``.
    """

    reason: str
    line: bytes


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """The engine is finished. ``reason`` in stable words: ``quit``, ``too many errors``, ``connection lost``."""

    reason: str


Event: TypeAlias = (
    StartTLSRequested | LoginRequested | AuthRequested | AuthResponse | AuthCancelled | StatAsked | ListAsked
    | UidlAsked | Retrieve | Top | Delete | Undelete | NoopAsked | Quit | Fault | Ended
)  # fmt: skip
