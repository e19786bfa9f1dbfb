"""POP3: what no other test asks of the configuration."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gatepost.config.schema import Limits


def test_an_idle_mailbox_is_left_alone_for_ten_minutes() -> None:
    """RFC 1939 §3: the timer is at least that long, as it comes and whatever the operator writes."""
    assert Limits().pop3_idle_timeout >= 600
    with pytest.raises(ValidationError):
        Limits(pop3_idle_timeout=599)
