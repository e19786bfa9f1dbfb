"""What became of one attempt to deliver to one recipient.

Three results, and beside them, on an axis of its own, what the other side said: its reply or our reason, who it was,
how the connection was secured, and the TLSRPT result type (RFC 8460 §4.3) where the line that failed knew one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import final


class Result(Enum):
    """The three results. Only ``DEFERRED`` is tried again."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"

    __hash__ = object.__hash__  # Enum's own is a function in Python, and each outcome is looked up several times


class ResultType(Enum):
    """TLSRPT result types (RFC 8460 §4.3)."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


@final
@dataclass(frozen=True, slots=True)
class Protection:
    """What the policy asked of TLS, and what came about.

    :param wanted: the level that was asked for.
    :param reached: the level that the connection reached; ``none`` where nothing was sent, too.
    :param rule: what decided the level.
    """

    wanted: str
    reached: str
    rule: str


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's outcome.

    :param result: delivered, deferred or failed.
    :param code: the SMTP reply code (RFC 5321 §4.2), or 0 when there was no reply.
    :param enhanced: the enhanced status code (RFC 3463); never empty for a failure.
    :param text: the reply's text, or our own reason, on one line, already escaped.
    :param remote: who replied, as ``name[address]:port``; empty when nobody did.
    :param tls: how the connection was secured, in one line; empty when it was not.
    :param tlsrpt: the TLSRPT result type of a failed upgrade or verification.
    :param protection: what was asked of TLS and what came about; None where no server was approached.
    """

    result: Result
    code: int = 0
    enhanced: str = ""
    text: str = ""
    remote: str = ""
    tls: str = ""
    tlsrpt: ResultType | None = None
    protection: Protection | None = None

    @property
    def final(self) -> bool:
        """Whether the recipient leaves the queue."""
        return self.result is not Result.DEFERRED

    @property
    def reply(self) -> str:
        """Code, enhanced code and text as one line, those that there are."""
        return " ".join(filter(None, (str(self.code) if self.code else "", self.enhanced, self.text)))


def delivered(*, code: int = 250, enhanced: str = "2.0.0", text: str = "", remote: str = "", tls: str = "") -> Outcome:
    """The other side, or the mailbox, has taken responsibility for the message (RFC 5321 §4.2.5)."""
    return Outcome(Result.DELIVERED, code, enhanced, text, remote, tls)


def deferred(
    text: str,
    *,
    code: int = 0,
    enhanced: str = "4.0.0",
    remote: str = "",
    tls: str = "",
    tlsrpt: ResultType | None = None,
) -> Outcome:
    """Not now: a 4xx reply, no connection, no room (RFC 5321 §4.5.4.1)."""
    return Outcome(Result.DEFERRED, code, enhanced, text, remote, tls, tlsrpt)


def failed(
    text: str,
    *,
    code: int = 0,
    enhanced: str = "5.0.0",
    remote: str = "",
    tls: str = "",
    tlsrpt: ResultType | None = None,
) -> Outcome:
    """Never: a 5xx reply, a null MX, or a lifetime that ran out. The sender is to be told (RFC 5321 §6.1)."""
    return Outcome(Result.FAILED, code, enhanced, text, remote, tls, tlsrpt)


def judge(
    code: int, enhanced: str, text: str, *, remote: str = "", tls: str = "", protection: Protection | None = None
) -> Outcome:
    """The outcome that a final reply means: 2xx delivered, 5xx failed, all else deferred (RFC 5321 §4.2.1)."""
    if 200 <= code <= 299:
        return Outcome(Result.DELIVERED, code, enhanced, text, remote, tls, None, protection)
    if 500 <= code <= 599:
        return Outcome(Result.FAILED, code, enhanced or "5.0.0", text, remote, tls, None, protection)
    return Outcome(Result.DEFERRED, code, enhanced or "4.0.0", text, remote, tls, None, protection)


def expire(outcome: Outcome) -> Outcome:
    """A deferral after the end of the lifetime: failed, 5.4.7 (RFC 3463 §3.5, "delivery time expired"), reason kept.

    :raises ValueError: for an outcome that is final already.
    """
    if outcome.final:
        raise ValueError(f"{outcome.result.value} is final and cannot expire")
    text = (
        f"delivery time expired; the last attempt said: {outcome.reply}" if outcome.reply else "delivery time expired"
    )
    return replace(outcome, result=Result.FAILED, enhanced="5.4.7", text=text)
