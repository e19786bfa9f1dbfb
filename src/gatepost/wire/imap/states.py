"""The states of an IMAP conversation that is passed on, as tables.

There are three. ``READING`` says where in a client's stream we stand: what the next octets are often depends on what
the server answered, so the reader waits for that answer rather than guess it. ``PLAIN`` is our own conversation before
TLS (RFC 9051 §3). ``PASSING`` follows a conversation with a server behind.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gatepost.wire.machine import Table


class Reading(Enum):
    """What a client's next octets are."""

    COMMAND = "the first line of a command"
    ARGUMENTS = "the line that goes on behind a literal"
    ASKED = "a literal was announced: the server's + or its refusal is due"
    LITERAL = "the octets of a literal"
    PAUSED = "AUTHENTICATE or IDLE was said: the server's + or its refusal is due"
    ANSWER = "a line of an AUTHENTICATE exchange, or DONE"
    BROKEN = "nothing is read any more"

    __hash__ = object.__hash__


class Step(Enum):
    """What moves a reader."""

    LINE = "a line that announces no literal"
    CONVERSES = "such a line of AUTHENTICATE or IDLE"
    SYNC = "a line that announces a literal, {n}"
    NON_SYNC = "a line that announces a literal, {n+}"
    LITERAL_ENDS = "the last octet of a literal"
    ANSWERED = "a line that answers a +"
    DONE = "DONE"
    GO_AHEAD = "the server said +"
    REPLY = "the server completed the command"
    FAULT = "the line cannot be read"

    __hash__ = object.__hash__


_LINE: Final = {
    Step.CONVERSES: Reading.PAUSED,
    Step.SYNC: Reading.ASKED,
    Step.NON_SYNC: Reading.LITERAL,
    Step.FAULT: Reading.BROKEN,
    Step.LINE: Reading.COMMAND,
}
READING: Final = Table(
    Reading.COMMAND,
    {
        Reading.COMMAND: _LINE,
        # A server may refuse a command before it has all of it. The client sends the rest nevertheless.
        Reading.ARGUMENTS: {**_LINE, Step.REPLY: Reading.ARGUMENTS},
        Reading.ASKED: {Step.GO_AHEAD: Reading.LITERAL, Step.REPLY: Reading.COMMAND},
        Reading.LITERAL: {Step.LITERAL_ENDS: Reading.ARGUMENTS, Step.REPLY: Reading.LITERAL},
        Reading.PAUSED: {Step.GO_AHEAD: Reading.ANSWER, Step.REPLY: Reading.COMMAND},
        Reading.ANSWER: {
            Step.ANSWERED: Reading.PAUSED,
            Step.DONE: Reading.COMMAND,
            Step.REPLY: Reading.COMMAND,
            Step.FAULT: Reading.BROKEN,
        },
        Reading.BROKEN: {},
    },
)
"""A client's stream. What has no edge changes nothing: a ``+`` that nobody waits for moves nobody."""


class State(Enum):
    """Where a conversation stands (RFC 9051 §3)."""

    WAITING = "accepted, nothing said yet"
    OPENING = "the server behind is being reached; nothing is read"
    NOT_AUTHENTICATED = "greeted, nobody is logged in"
    LOGGING_IN = "LOGIN or AUTHENTICATE was passed on, its answer is due"
    AUTHENTICATED = "the server accepted a login"
    LEAVING = "LOGOUT was passed on: no command follows it"
    UPGRADING = "STARTTLS was passed on, its answer is due"
    UPGRADED = "spent: the conversation goes on inside TLS, without this engine"
    ENDED = "over"

    __hash__ = object.__hash__


class Trigger(Enum):
    """What moves a conversation."""

    GREET = "the greeting is sent"
    OPENED = "the server behind is ready"
    LOGIN = "LOGIN or AUTHENTICATE"
    LOGGED_IN = "the OK to that"
    LOGIN_ENDS = "the NO or BAD to that"
    STARTTLS = "STARTTLS"
    AGREED = "the OK to STARTTLS"
    REFUSED = "the NO or BAD to STARTTLS"
    LOGOUT = "LOGOUT"
    CLOSE = "the conversation is ended, or a connection is lost"

    __hash__ = object.__hash__


PLAIN: Final = Table(
    State.WAITING,
    {
        State.WAITING: {Trigger.GREET: State.NOT_AUTHENTICATED, Trigger.CLOSE: State.ENDED},
        State.NOT_AUTHENTICATED: {
            Trigger.STARTTLS: State.UPGRADED,
            Trigger.LOGOUT: State.ENDED,
            Trigger.CLOSE: State.ENDED,
        },
        State.UPGRADED: {},
        State.ENDED: {},
    },
)
"""Before TLS, where we offer it. There is no way to a login, and none to a server."""

_CLOSE: Final = {Trigger.CLOSE: State.ENDED}
_OPEN: Final = {Trigger.LOGIN: State.LOGGING_IN, Trigger.LOGOUT: State.LEAVING, **_CLOSE}
_PASSING: Final = {
    State.OPENING: {Trigger.OPENED: State.NOT_AUTHENTICATED, **_CLOSE},
    State.NOT_AUTHENTICATED: _OPEN,
    State.LOGGING_IN: {
        Trigger.LOGGED_IN: State.AUTHENTICATED,
        Trigger.LOGIN_ENDS: State.NOT_AUTHENTICATED,
        **_CLOSE,
    },
    State.AUTHENTICATED: {Trigger.LOGOUT: State.LEAVING, **_CLOSE},
    State.LEAVING: _CLOSE,
    State.ENDED: {},
}
PASSING: Final = Table(State.OPENING, _PASSING)
"""With a server behind: inside TLS, or in the clear where TLS is not offered. It knows no STARTTLS."""

PASSING_STARTTLS: Final = Table(
    State.OPENING,
    {
        **_PASSING,
        State.NOT_AUTHENTICATED: {**_OPEN, Trigger.STARTTLS: State.UPGRADING},
        State.UPGRADING: {
            Trigger.AGREED: State.UPGRADED,
            Trigger.REFUSED: State.NOT_AUTHENTICATED,
            **_CLOSE,
        },
        State.UPGRADED: {},
    },
)
"""The same in the clear, where STARTTLS is asked of the server."""

SILENT: Final = frozenset({
    State.OPENING, State.LOGGING_IN, State.LEAVING, State.UPGRADING, State.UPGRADED, State.ENDED,
})  # fmt: skip
"""Where no command is begun: what it would mean is not known before the server has answered."""
