"""Outcomes of an attempt."""

from __future__ import annotations

import pytest

from gatepost.queue.outcome import Outcome, Result, ResultType, deferred, delivered, expire, failed, judge


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (250, Result.DELIVERED),
        (251, Result.DELIVERED),
        (421, Result.DEFERRED),
        (452, Result.DEFERRED),
        (550, Result.FAILED),
        (599, Result.FAILED),
        (354, Result.DEFERRED),
        (600, Result.DEFERRED),
        (199, Result.DEFERRED),
    ],
)
def test_first_digit_of_the_reply_decides(code: int, result: Result) -> None:
    """RFC 5321 §4.2.1; what is no final reply of ours to judge is tried again, never bounced."""
    assert judge(code, "", "x").result is result


def test_a_failure_always_has_an_enhanced_code() -> None:
    """A report to the sender needs one (RFC 3464 §2.3.4)."""
    assert judge(550, "", "no").enhanced == "5.0.0"
    assert judge(451, "", "no").enhanced == "4.0.0"
    assert judge(550, "5.1.1", "no").enhanced == "5.1.1"
    assert (failed("no").enhanced, deferred("no").enhanced, delivered().enhanced) == ("5.0.0", "4.0.0", "2.0.0")


def test_only_a_deferral_is_tried_again() -> None:
    """The retry axis."""
    assert [outcome.final for outcome in (delivered(), deferred("x"), failed("x"))] == [True, False, True]


def test_reply_is_one_line_of_what_there_is() -> None:
    """For the operator: no zero code, no double space."""
    assert judge(451, "4.7.1", "later").reply == "451 4.7.1 later"
    assert deferred("no route", enhanced="4.4.1").reply == "4.4.1 no route"
    assert Outcome(Result.DEFERRED).reply == ""


def test_expired_deferral_keeps_its_reason() -> None:
    """5.4.7 (RFC 3463 §3.5), with what the last attempt said and the TLSRPT type of the line that knew."""
    kind = ResultType.CERTIFICATE_EXPIRED
    last = deferred("certificate expired", enhanced="4.7.5", remote="mx", tls="none", tlsrpt=kind)
    outcome = expire(last)
    assert (outcome.result, outcome.enhanced, outcome.remote, outcome.tls) == (Result.FAILED, "5.4.7", "mx", "none")
    assert outcome.tlsrpt is kind
    assert "certificate expired" in outcome.text
    assert expire(Outcome(Result.DEFERRED)).text == "delivery time expired"
    with pytest.raises(ValueError, match="final"):
        expire(delivered())


def test_result_types_are_those_of_the_standard() -> None:
    """RFC 8460 §4.3 names them; a report uses the words as they are."""
    assert len(ResultType) == 11
    assert ResultType("starttls-not-supported") is ResultType.STARTTLS_NOT_SUPPORTED
