"""The states of the two client engines, as tables.

A dialogue enters by a trigger, stands in ``BUSY`` while it runs, and leaves to the state that the table names. ``BUSY``
has no outgoing edges: a dialogue that was broken off, by an error or by its caller, leaves an engine with which nothing
can be begun, because nobody knows what the peer will say next.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gatepost.wire.machine import Table


class Phase(Enum):
    """Where a client engine stands."""

    NEW = "new"  # nothing was said
    GREETED = "greeted"  # the server said +OK; nobody is logged in
    LOGGED_IN = "logged in"
    BUSY = "busy"  # a dialogue is under way, or was broken off
    SPENT = "spent"  # the go-ahead was read, or the conversation was given to a gate: this engine is no more
    CLOSED = "closed"  # QUIT was sent, or the server refused to serve


class Trigger(Enum):
    """What a caller may begin."""

    GREETING = "greeting"
    CAPA = "CAPA"
    STLS = "STLS"
    UTF8 = "UTF8"
    LOGIN = "login"
    AUTH = "AUTH"
    STAT = "STAT"
    LIST = "LIST"
    UIDL = "UIDL"
    RETR = "RETR"
    TOP = "TOP"
    DELE = "DELE"
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"
    RELAY = "given to a gate"


_P, _T = Phase, Trigger

_ENDS: Final[dict[Phase, dict[Trigger, Phase]]] = {_P.BUSY: {}, _P.SPENT: {}, _P.CLOSED: {}}
_CLEAR: Final = {_T.CAPA: _P.GREETED, _T.QUIT: _P.CLOSED, _T.RELAY: _P.SPENT}

# In the clear: nothing leads to a login.
PLAIN_TABLE: Final = Table(
    _P.NEW,
    {_P.NEW: {_T.GREETING: _P.GREETED}, _P.GREETED: {**_CLEAR, _T.STLS: _P.SPENT}, **_ENDS},
)

_SECURE: Final = {
    **_CLEAR,
    _T.UTF8: _P.GREETED,  # RFC 6856 §2: before the login
    _T.LOGIN: _P.LOGGED_IN,
    _T.AUTH: _P.LOGGED_IN,
}
# Inside TLS: after STLS there is no greeting (RFC 2595 §4), after an implicit handshake there is one (RFC 8314 §3.3);
# there is no STLS.
SECURE_TABLE: Final = Table(
    _P.NEW,
    {
        _P.NEW: {**_SECURE, _T.GREETING: _P.GREETED},
        _P.GREETED: _SECURE,
        _P.LOGGED_IN: {
            **dict.fromkeys(
                (_T.CAPA, _T.STAT, _T.LIST, _T.UIDL, _T.RETR, _T.TOP, _T.DELE, _T.RSET, _T.NOOP), _P.LOGGED_IN
            ),
            _T.QUIT: _P.CLOSED,
        },
        **_ENDS,
    },
)
