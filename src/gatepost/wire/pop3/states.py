"""The states of a POP3 server, as tables (RFC 1939 §3).

Rule: whatever decides which command is legal when, and where it leads, stands here. An edge is followed when its
command is answered positively; a command that has no edge in a state is refused with the reply that
``Rulebook.refusal`` names.

In the clear there is no way to TRANSACTION: no table of it has an edge for USER, PASS, AUTH or the end of a login.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from gatepost.wire.machine import Table
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.reply import Reply


class State(Enum):
    """Where a server stands in the conversation."""

    WAITING = "accepted, nothing said yet"
    START = "inside TLS, nothing said yet: greeted before STLS, or the greeting is due"
    AUTHORIZATION = "greeted, nobody is logged in"
    NAMED = "USER was given, PASS is due"
    AUTHENTICATING = "inside an AUTH exchange"
    TRANSACTION = "logged in"
    UPDATE = "QUIT was said, what is marked is being deleted"
    UPGRADED = "spent: the conversation goes on inside TLS, with another engine"
    ENDED = "over"

    __hash__ = object.__hash__  # by identity, in C: the one of Enum hashes the name in Python, for every command


class Trigger(Enum):
    """What moves a server: the commands, and what else happens to a connection."""

    CAPA = "CAPA"
    STLS = "STLS"
    USER = "USER"
    PASS = "PASS"  # noqa: S105  # a command word
    AUTH = "AUTH"
    APOP = "APOP"
    UTF8 = "UTF8"
    STAT = "STAT"
    LIST = "LIST"
    UIDL = "UIDL"
    RETR = "RETR"
    TOP = "TOP"
    DELE = "DELE"
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"
    GREET = "+OK sent"
    LOGIN = "somebody is logged in"
    LOGIN_ENDS = "a login was refused or cancelled"
    CLOSE = "the conversation is ended, or the connection is lost"

    __hash__ = object.__hash__


VERBS: Final = tuple(Trigger)[: tuple(Trigger).index(Trigger.GREET)]
WORDS: Final[Mapping[str, Trigger]] = {verb.value: verb for verb in VERBS}
Row: TypeAlias = Mapping[Trigger, State]


class Rulebook(NamedTuple):
    """One table with its refusals.

    :param table: which command is legal when, and where it leads.
    :param refusals: what a command without an edge is answered with, by state.
    :param never: the same for commands that are legal in no state.
    """

    table: Table[State, Trigger]
    refusals: Mapping[State, Mapping[Trigger, Reply]]
    never: Mapping[Trigger, Reply]

    def refusal(self, state: State, verb: Trigger) -> Reply:
        """What ``verb`` is answered with in a state where it is not legal."""
        return self.never.get(verb) or self.refusals.get(state, {}).get(verb) or reply.NOT_NOW


_WAITING: Final[Row] = {Trigger.GREET: State.AUTHORIZATION, Trigger.CLOSE: State.ENDED}
_CLEAR: Final[Row] = {
    Trigger.CAPA: State.AUTHORIZATION,
    Trigger.QUIT: State.ENDED,
    Trigger.CLOSE: State.ENDED,
}
_ENDS: Final[Mapping[State, Row]] = {State.UPGRADED: {}, State.ENDED: {}}

PLAIN: Final = Table(
    State.WAITING,
    {State.WAITING: _WAITING, State.AUTHORIZATION: {**_CLEAR, Trigger.STLS: State.UPGRADED}, **_ENDS},
)
"""Before TLS, where it is offered."""

PLAIN_DENIED: Final = Table(
    State.WAITING,
    {State.WAITING: _WAITING, State.AUTHORIZATION: _CLEAR, State.ENDED: {}},
)
"""Without TLS, where it is not offered: all that can be learned is that there is nothing."""

_AUTHORIZATION: Final[Row] = {
    **_CLEAR,
    Trigger.UTF8: State.AUTHORIZATION,  # RFC 6856 §2: in no other state
    Trigger.USER: State.NAMED,
    Trigger.AUTH: State.AUTHENTICATING,
}
_MAILDROP: Final[Mapping[State, Row]] = {
    State.AUTHORIZATION: _AUTHORIZATION,
    # PASS stands right behind USER (RFC 1939 §7): whatever else is said takes the name back.
    State.NAMED: {**_AUTHORIZATION, Trigger.LOGIN: State.TRANSACTION, Trigger.LOGIN_ENDS: State.AUTHORIZATION,
                  Trigger.PASS: State.NAMED},
    State.AUTHENTICATING: {
        Trigger.LOGIN: State.TRANSACTION,
        Trigger.LOGIN_ENDS: State.AUTHORIZATION,
        Trigger.CLOSE: State.ENDED,
    },
    State.TRANSACTION: {
        Trigger.CAPA: State.TRANSACTION,
        Trigger.STAT: State.TRANSACTION,
        Trigger.LIST: State.TRANSACTION,
        Trigger.UIDL: State.TRANSACTION,
        Trigger.RETR: State.TRANSACTION,
        Trigger.TOP: State.TRANSACTION,
        Trigger.DELE: State.TRANSACTION,
        Trigger.RSET: State.TRANSACTION,
        Trigger.NOOP: State.TRANSACTION,
        Trigger.QUIT: State.UPDATE,
        Trigger.CLOSE: State.ENDED,
    },
    State.UPDATE: {Trigger.CLOSE: State.ENDED},
}  # fmt: skip
SECURE: Final = Table(
    State.START,
    {State.START: {**_AUTHORIZATION, Trigger.GREET: State.AUTHORIZATION}, **_MAILDROP, **_ENDS},
)
"""Inside TLS. After STLS there is no second greeting (RFC 2595 §4); where TLS came first, one is sent."""

UNPROTECTED: Final = Table(State.WAITING, {State.WAITING: _WAITING, **_MAILDROP, State.ENDED: {}})
"""In the clear, at a gate whose operator decided so: as inside TLS. There is no STLS, and no way into TLS."""

_LOGIN: Final = (Trigger.USER, Trigger.PASS, Trigger.AUTH)
_MAILBOX: Final = (
    Trigger.STAT, Trigger.LIST, Trigger.UIDL, Trigger.RETR, Trigger.TOP, Trigger.DELE, Trigger.RSET, Trigger.NOOP,
)  # fmt: skip
_LOGIN_FIRST: Final = dict.fromkeys(_MAILBOX, reply.LOGIN_FIRST)
_NO_APOP: Final = {Trigger.APOP: reply.NOT_SUPPORTED}  # it needs a password that can be read, see docs/accounts.md


def plain_rules(*, stls: bool) -> Rulebook:
    """The rules of a conversation in the clear. A login is refused before anything is known of who it is for."""
    refusals = {State.AUTHORIZATION: _LOGIN_FIRST}
    if stls:
        login = dict.fromkeys((*_LOGIN, Trigger.APOP), reply.LOGIN_NEEDS_TLS)
        return Rulebook(PLAIN, refusals, login)
    login = dict.fromkeys((*_LOGIN, Trigger.APOP), reply.NO_LOGIN_HERE)
    return Rulebook(PLAIN_DENIED, refusals, {**login, Trigger.STLS: reply.NOT_SUPPORTED})


def secure_rules() -> Rulebook:
    """The rules of a conversation inside TLS. STLS is legal in none of its states (RFC 2595 §4)."""
    nobody = {**_LOGIN_FIRST, Trigger.PASS: reply.USER_FIRST}
    return Rulebook(
        SECURE,
        {
            State.START: nobody,
            State.AUTHORIZATION: nobody,
            State.NAMED: nobody,
            State.TRANSACTION: dict.fromkeys(_LOGIN, reply.LOGGED_IN_ALREADY),
        },
        {**_NO_APOP, Trigger.STLS: reply.TLS_ACTIVE},
    )


def unprotected_rules() -> Rulebook:
    """The rules of a conversation in the clear that passes logins on, and never becomes private."""
    nobody = {**_LOGIN_FIRST, Trigger.PASS: reply.USER_FIRST}
    return Rulebook(
        UNPROTECTED,
        {
            State.AUTHORIZATION: nobody,
            State.NAMED: nobody,
            State.TRANSACTION: dict.fromkeys(_LOGIN, reply.LOGGED_IN_ALREADY),
        },
        {**_NO_APOP, Trigger.STLS: reply.NOT_SUPPORTED},
    )
