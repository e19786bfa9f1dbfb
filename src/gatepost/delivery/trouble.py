"""Why an attempt on one server came to nothing, in one form, with the TLSRPT result type from the line that knew it.

``trouble_of`` translates whatever a dialogue or its driver raised. Three axes, kept apart:

* whether the *message* may be tried again later (``outcome`` deferred or failed, RFC 5321 §4.2.1);
* whether the *next server* is tried first (always, when the outcome is deferred);
* whether the same server may be tried again *in the clear*: only at level ``may``, only on a new connection, and only
  where TLS did not come about. Plaintext injected behind the go-ahead is an attack, or a server that cannot be
  understood: it never leads to less protection.
"""

from __future__ import annotations

import os
from dataclasses import replace
from enum import Enum
from typing import Final, final

from gatepost.errors import (
    DeadlineExceeded,
    GatepostError,
    HandshakeError,
    LocalProtocolError,
    UpgradeError,
    VerificationError,
)
from gatepost.queue.outcome import Outcome, Protection, Result, ResultType
from gatepost.wire.sasl.mechanisms import NoMechanism
from gatepost.wire.smtp.refusals import AuthenticationRefused, Refused, StartTLSRefused
from gatepost.wire.upgrade import PlaintextAfterUpgrade

_TEXT_LIMIT: Final = 600


class Stage(Enum):
    """How far an attempt had come."""

    CONNECT = "connecting"
    GREETING = "waiting for the greeting"
    HELLO = "greeting the server"
    TLS = "starting TLS"
    LOGIN = "logging in"
    TRANSFER = "sending mail"


@final
class Trouble(GatepostError):
    """An attempt on one server failed as a whole.

    :param outcome: what it means for every recipient that was to go there, if no other server is left.
    :param in_clear: whether a new connection without TLS may be tried, the level allowing it.
    :param injected: whether plaintext was found behind the upgrade (to be reported loudly).
    """

    def __init__(self, outcome: Outcome, *, in_clear: bool = False, injected: bool = False) -> None:
        super().__init__(outcome.reply, temporary=outcome.result is Result.DEFERRED)
        self.outcome = outcome
        self.in_clear: Final = in_clear
        self.injected: Final = injected
        self.stage: Stage | None = None


def trouble_of(
    error: Exception, stage: Stage, *, remote: str = "", tls: str = "", protection: Protection | None = None
) -> Trouble:
    """Translate an error of the attempt's stage, which the trouble then names.

    :param error: a ``GatepostError`` or an ``OSError``.
    :param remote: whom it happened with, ``name[address]:port``.
    :param tls: how the connection was secured so far.
    :param protection: what was asked of TLS, and what came about.
    """
    trouble = _translate(error, stage, remote, tls)
    trouble.stage = stage
    if protection is not None:
        trouble.outcome = replace(trouble.outcome, protection=protection)
    return trouble


def _translate(error: Exception, stage: Stage, remote: str, tls: str) -> Trouble:
    if isinstance(error, Trouble):
        return error
    if isinstance(error, PlaintextAfterUpgrade) or (isinstance(error, HandshakeError) and error.plaintext):
        text = f"plaintext was sent behind the go-ahead for TLS: {error}"
        return Trouble(_deferred(text, "4.7.5", remote, tlsrpt=ResultType.VALIDATION_FAILURE), injected=True)
    if isinstance(error, VerificationError):
        return Trouble(
            _deferred(f"the server's certificate was not accepted: {error}", "4.7.5", remote, tlsrpt=_type_of(error))
        )
    if isinstance(error, StartTLSRefused):
        code = error.reply.code if error.reply is not None else 0
        outcome = _deferred(f"TLS is not to be had: {error}", "4.7.4", remote, code, ResultType.STARTTLS_NOT_SUPPORTED)
        return Trouble(outcome, in_clear=True)
    if isinstance(error, AuthenticationRefused | NoMechanism):
        code = getattr(error, "code", 0)
        return Trouble(_deferred(f"the login was refused: {error}", "4.7.8", remote, code, tls=tls))
    if isinstance(error, Refused):
        return Trouble(_refusal(error, stage, remote, tls))
    if stage is Stage.TLS and isinstance(error, UpgradeError | DeadlineExceeded | OSError):
        text = f"the TLS handshake failed: {_words(error)}"
        return Trouble(_deferred(text, "4.7.5", remote, tlsrpt=ResultType.VALIDATION_FAILURE), in_clear=True)
    if isinstance(error, LocalProtocolError):
        outcome = Outcome(
            Result.FAILED, 0, error.enhanced or "5.6.0", _cut(f"the message cannot be sent: {error}"), remote, tls
        )
        return Trouble(outcome)
    return Trouble(_broken(error, stage, remote, tls))


def _refusal(error: Refused, stage: Stage, remote: str, tls: str) -> Outcome:
    """A server that refuses to talk.

    As in Postfix (``smtp_skip_5xx_greeting``) a greeting of 5xx only means "not here, not now": the next server is
    tried, and the message waits. A 5xx to EHLO and HELO is meant for good.
    """
    reply = error.reply
    code, enhanced, text = (reply.code, reply.enhanced, " / ".join(reply.lines)) if reply is not None else (0, "", "")
    if stage is Stage.GREETING or code < 500:
        enhanced = "4" + enhanced[1:] if enhanced else "4.3.2"
        return Outcome(Result.DEFERRED, code, enhanced, _cut(text), remote, tls)
    return Outcome(Result.FAILED, code, enhanced or "5.3.2", _cut(text), remote, tls)


def _broken(error: Exception, stage: Stage, remote: str, tls: str) -> Outcome:
    """No connection, a lost connection, silence, or a reply that means nothing: try again."""
    if stage is Stage.CONNECT:
        return _deferred(f"no connection: {_words(error)}", "4.4.1", remote)
    if isinstance(error, OSError | DeadlineExceeded):
        return _deferred(f"the connection was lost while {stage.value}: {_words(error)}", "4.4.2", remote, tls=tls)
    enhanced = "4.4.2" if type(error).__name__ == "ConnectionLost" else "4.5.0"
    return _deferred(f"while {stage.value}: {_words(error)}", enhanced, remote, tls=tls)


def _type_of(error: VerificationError) -> ResultType:
    try:
        return ResultType(error.result_type)
    except ValueError:
        return ResultType.VALIDATION_FAILURE


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 3] + "..."


def _deferred(
    text: str, enhanced: str, remote: str, code: int = 0, tlsrpt: ResultType | None = None, tls: str = ""
) -> Outcome:
    return Outcome(Result.DEFERRED, code, enhanced, _cut(text), remote, tls, tlsrpt)
