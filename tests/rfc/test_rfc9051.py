"""IMAP through a gate: what nobody waits for in a test."""

from __future__ import annotations

from gatepost.service.gate.imap_relay import IDLE_SECONDS


def test_who_is_logged_in_may_be_silent_for_half_an_hour() -> None:
    """RFC 9051 §5.4: the timer that logs a client out is at least so long."""
    assert IDLE_SECONDS >= 30 * 60
