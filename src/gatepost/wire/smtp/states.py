"""The states of an SMTP server, as tables.

Rule: whatever decides which command is legal when, and where it leads, stands here. An edge is followed when its
command is answered positively; a command that has no edge in a state is refused with the reply that
``Rulebook.refusal`` names. Two rules do not fit into a table and stand in the engines instead, because they hang on one
fact each: AUTH is refused after it has succeeded (RFC 4954 §4), and MAIL is refused before it where the profile
requires it (RFC 4954 §6).

STARTTLS inside a transaction is refused with 503. RFC 3207 §4 does not forbid it, and its effect would be to drop the
transaction; a client that does so has lost count, and there is nobody to whom silence about the dropped message helps.

The octets of a BDAT chunk are framing, not protocol: they are consumed in every state, also behind a refused BDAT.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from gatepost.wire.machine import Table
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.reply import Reply


class State(Enum):
    """Where a server stands in the conversation."""

    WAITING = "accepted, nothing said yet"
    START = "greeted"
    READY = "said hello, no transaction"
    SENDER = "MAIL accepted"
    RECIPIENTS = "at least one RCPT accepted"
    CONTENT = "between DATA and CRLF.CRLF"
    CHUNKS = "at least one BDAT accepted"
    AUTHENTICATING = "inside an AUTH exchange"
    REFUSED = "no service but QUIT"
    UPGRADED = "spent: the conversation goes on inside TLS, with another engine"
    ENDED = "over"

    __hash__ = object.__hash__  # by identity, in C: the one of Enum hashes the name in Python, for every command


class Trigger(Enum):
    """What moves a server: the commands, and what else happens to a connection."""

    HELO = "HELO"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    QUIT = "QUIT"
    GREET = "220 sent"
    TURN_AWAY = "554 sent in place of service"
    CHUNK_REFUSED = "a chunk was refused"
    CONTENT_ENDS = "the message was answered"
    AUTH_ENDS = "the exchange was answered"
    CLOSE = "421 sent, or the connection is lost"
    EXTENSION = "a verb of an extension"

    __hash__ = object.__hash__


VERBS: Final = tuple(Trigger)[: tuple(Trigger).index(Trigger.GREET)]
Row: TypeAlias = Mapping[Trigger, State]
Refusals: TypeAlias = Mapping[State, Mapping[Trigger, Reply]]


class Rulebook(NamedTuple):
    """One table with its refusals.

    :param table: which command is legal when, and where it leads.
    :param refusals: what a command without an edge is answered with, where that is not the rulebook's ``otherwise``.
    :param never: the same for commands that are legal in no state.
    :param otherwise: what is said when nothing more exact is known.
    """

    table: Table[State, Trigger]
    refusals: Refusals
    never: Mapping[Trigger, Reply]
    otherwise: Reply = reply.BAD_SEQUENCE

    def refusal(self, state: State, verb: Trigger) -> Reply:
        """What ``verb`` is answered with in a state where it is not legal."""
        return self.never.get(verb) or self.refusals.get(state, {}).get(verb) or self.otherwise


def _open(here: State) -> dict[Trigger, State]:
    """What is legal whenever commands are read (RFC 5321 §4.1.4)."""
    return {
        Trigger.NOOP: here,
        Trigger.VRFY: here,
        Trigger.HELP: here,
        Trigger.EXTENSION: here,
        Trigger.QUIT: State.ENDED,
        Trigger.CLOSE: State.ENDED,
    }


_HELLO: Final[Row] = {Trigger.HELO: State.READY, Trigger.EHLO: State.READY}
_CLEAR: Final[Row] = {**_HELLO, Trigger.RSET: State.READY}  # each of them drops the transaction (RFC 5321 §4.1.4)
_TRANSACTION: Final[Mapping[State, Row]] = {
    State.SENDER: {**_open(State.SENDER), **_CLEAR, Trigger.RCPT: State.RECIPIENTS},
    State.RECIPIENTS: {
        **_open(State.RECIPIENTS),
        **_CLEAR,
        Trigger.RCPT: State.RECIPIENTS,
        Trigger.DATA: State.CONTENT,
        Trigger.BDAT: State.CHUNKS,
        Trigger.CHUNK_REFUSED: State.READY,
    },
    State.CONTENT: {Trigger.CONTENT_ENDS: State.READY, Trigger.CLOSE: State.ENDED},
    State.CHUNKS: {
        **_open(State.CHUNKS),
        **_CLEAR,
        Trigger.BDAT: State.CHUNKS,
        Trigger.CHUNK_REFUSED: State.READY,
        Trigger.CONTENT_ENDS: State.READY,
    },
}
_ENDS: Final[Mapping[State, Row]] = {
    State.REFUSED: {Trigger.QUIT: State.ENDED, Trigger.CLOSE: State.ENDED},
    State.UPGRADED: {},
    State.ENDED: {},
}
_WAITING: Final[Row] = {Trigger.GREET: State.START, Trigger.TURN_AWAY: State.REFUSED, Trigger.CLOSE: State.ENDED}
_START: Final[Row] = {**_open(State.START), **_HELLO, Trigger.RSET: State.START}
_READY: Final[Row] = {**_open(State.READY), **_CLEAR, Trigger.MAIL: State.SENDER}
_UPGRADE: Final[Row] = {Trigger.STARTTLS: State.UPGRADED}

PLAIN: Final = Table(
    State.WAITING,
    {
        State.WAITING: _WAITING,
        State.START: {**_START, **_UPGRADE},
        State.READY: {**_READY, **_UPGRADE},
        **_TRANSACTION,
        **_ENDS,
    },
)
"""Before TLS, where it is offered."""

PLAIN_DENIED: Final = Table(
    State.WAITING,
    {State.WAITING: _WAITING, State.START: _START, State.READY: _READY, **_TRANSACTION, **_ENDS},
)
"""Without TLS, where it is not offered."""

_LOCKED: Final[Row] = {Trigger.EHLO: State.READY, Trigger.QUIT: State.ENDED, Trigger.CLOSE: State.ENDED, **_UPGRADE}
PLAIN_REQUIRED: Final = Table(
    State.WAITING,
    {
        State.WAITING: _WAITING,
        State.START: {**_LOCKED, Trigger.NOOP: State.START},
        State.READY: {**_LOCKED, Trigger.NOOP: State.READY},
        **_ENDS,
    },
)
"""Before TLS, where it is required: nothing but NOOP, EHLO, STARTTLS and QUIT (RFC 3207 §4)."""

SECURE: Final = Table(
    State.START,
    {
        State.START: {**_START, Trigger.GREET: State.START, Trigger.TURN_AWAY: State.REFUSED},
        State.READY: {**_READY, Trigger.AUTH: State.AUTHENTICATING},
        State.AUTHENTICATING: {Trigger.AUTH_ENDS: State.READY, Trigger.CLOSE: State.ENDED},
        **_TRANSACTION,
        **_ENDS,
    },
)
"""Inside TLS. It begins as after the greeting (RFC 3207 §4.2); where TLS came first, a greeting is sent."""

UNPROTECTED: Final = Table(
    State.WAITING,
    {
        State.WAITING: _WAITING,
        State.START: _START,
        State.READY: {**_READY, Trigger.AUTH: State.AUTHENTICATING},
        State.AUTHENTICATING: {Trigger.AUTH_ENDS: State.READY, Trigger.CLOSE: State.ENDED},
        **_TRANSACTION,
        **_ENDS,
    },
)
"""Without TLS, and with logins, where an operator has decided so; see ``wire.smtp.unprotected``."""

_HELLO_FIRST: Final = dict.fromkeys(
    (Trigger.MAIL, Trigger.RCPT, Trigger.DATA, Trigger.BDAT, Trigger.AUTH), reply.HELLO_FIRST
)
_REFUSALS: Final[Refusals] = {
    State.START: _HELLO_FIRST,
    State.READY: dict.fromkeys((Trigger.RCPT, Trigger.DATA, Trigger.BDAT), reply.NEED_MAIL),
    State.SENDER: {
        Trigger.MAIL: reply.NESTED_MAIL,
        Trigger.DATA: reply.NEED_RECIPIENT,
        Trigger.BDAT: reply.NEED_RECIPIENT,
    },
    State.RECIPIENTS: {Trigger.MAIL: reply.NESTED_MAIL},
}
_NO_EXPN: Final = {Trigger.EXPN: reply.NOT_IMPLEMENTED}


def plain_rules(*, starttls: bool, require_tls: bool, require_auth: bool) -> Rulebook:
    """The rules of a conversation in the clear. AUTH is legal in none of its states."""
    auth = {Trigger.AUTH: reply.TLS_FIRST if starttls and require_auth else reply.NOT_IMPLEMENTED}
    if require_tls:
        return Rulebook(PLAIN_REQUIRED, {}, {}, otherwise=reply.TLS_FIRST)
    if starttls:
        return Rulebook(PLAIN, _REFUSALS, {**_NO_EXPN, **auth})
    return Rulebook(PLAIN_DENIED, _REFUSALS, {**_NO_EXPN, **auth, Trigger.STARTTLS: reply.NOT_IMPLEMENTED})


def secure_rules() -> Rulebook:
    """The rules of a conversation inside TLS. STARTTLS is legal in none of its states (RFC 3207 §4.2)."""
    return Rulebook(SECURE, _REFUSALS, {**_NO_EXPN, Trigger.STARTTLS: reply.TLS_ACTIVE})


def unprotected_rules() -> Rulebook:
    """The rules of a conversation that stays in the clear although there are logins."""
    return Rulebook(UNPROTECTED, _REFUSALS, {**_NO_EXPN, Trigger.STARTTLS: reply.NOT_IMPLEMENTED})
