"""Greylisting: the bounds that the standard recommends, as defaults and as limits of what may be set."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gatepost.config.greylist import Greylist


def test_waiting_time_is_between_a_minute_and_a_day() -> None:
    """RFC 6647 §5: the default, and at most a day."""
    assert 60 <= Greylist().delay <= 86400
    with pytest.raises(ValidationError):
        Greylist(delay=86401)


def test_who_came_again_is_remembered_for_a_week_at_least() -> None:
    """RFC 6647 §5: as it comes, and whatever the operator writes."""
    assert Greylist().lifetime >= 7 * 86400
    with pytest.raises(ValidationError):
        Greylist(lifetime=7 * 86400 - 1)
