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
    GREETED = "greeted"  # the server said 220
    REFUSED = "refused"  # the server said anything else: only QUIT is left (RFC 5321 §3.1)
    READY = "ready"  # EHLO was answered
    AUTHENTICATED = "authenticated"
    BUSY = "busy"  # a dialogue is under way, or was broken off
    SPENT = "spent"  # the go-ahead was read: this engine is no more (RFC 3207 §4.2)
    CLOSED = "closed"  # QUIT was sent, or the server announced that it closes


class Trigger(Enum):
    """What a caller may begin."""

    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    SUBMIT = "submit"
    RESET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"


_P, _T = Phase, Trigger

_READY: Final = {
    _T.HELLO: _P.READY,
    _T.SUBMIT: _P.READY,
    _T.RESET: _P.READY,
    _T.NOOP: _P.READY,
    _T.QUIT: _P.CLOSED,
}
_ENDS: Final[dict[Phase, dict[Trigger, Phase]]] = {_P.BUSY: {}, _P.SPENT: {}, _P.CLOSED: {}}
_REFUSED: Final = {_T.QUIT: _P.CLOSED}

# In the clear: a client hears the greeting first, and there is no AUTH.
PLAIN_TABLE: Final = Table(
    _P.NEW,
    {
        _P.NEW: {_T.GREETING: _P.GREETED},
        _P.GREETED: {_T.HELLO: _P.READY, _T.QUIT: _P.CLOSED},
        _P.REFUSED: _REFUSED,
        _P.READY: {**_READY, _T.STARTTLS: _P.SPENT},
        **_ENDS,
    },
)

# Inside TLS: after STARTTLS there is no greeting (RFC 3207 §4.2), after an implicit handshake there is one (RFC 8314
# §3.3); there is no STARTTLS, and AUTH succeeds once (RFC 4954 §4).
SECURE_TABLE: Final = Table(
    _P.NEW,
    {
        _P.NEW: {_T.GREETING: _P.GREETED, _T.HELLO: _P.READY},
        _P.GREETED: {_T.HELLO: _P.READY, _T.QUIT: _P.CLOSED},
        _P.REFUSED: _REFUSED,
        _P.READY: {**_READY, _T.AUTH: _P.AUTHENTICATED},
        _P.AUTHENTICATED: {
            _T.HELLO: _P.AUTHENTICATED,
            _T.SUBMIT: _P.AUTHENTICATED,
            _T.RESET: _P.AUTHENTICATED,
            _T.NOOP: _P.AUTHENTICATED,
            _T.QUIT: _P.CLOSED,
        },
        **_ENDS,
    },
)
