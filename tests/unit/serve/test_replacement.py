"""When the supervisor loads the certificates again."""

from __future__ import annotations

from pathlib import Path

from gatepost.config.schema import Config
from gatepost.serve.preparation import Prepared, account_of
from gatepost.serve.replacement import TICKET_KEYS_SECONDS, Replacement


def loaded(folder: Path) -> Prepared:
    """What is in force, without any file that could change."""
    config = Config(hostname="mx.example.test", data=folder)
    return Prepared(config, account_of(config))


def test_keys_of_session_tickets_live_a_week(tmp_path: Path) -> None:
    """RFC 9325 §3.4: they are made with the contexts, so those are made anew; what was loaded counts from then."""
    replacement = Replacement()
    first, second = loaded(tmp_path), loaded(tmp_path)
    assert not replacement.due(first, 1000.0)
    assert not replacement.due(first, 1000.0 + TICKET_KEYS_SECONDS - 1)
    assert replacement.due(first, 1000.0 + TICKET_KEYS_SECONDS)
    assert not replacement.due(second, 2000.0 + TICKET_KEYS_SECONDS)
    assert not replacement.due(second, 1000.0 + 2 * TICKET_KEYS_SECONDS)
    assert replacement.due(second, 2000.0 + 2 * TICKET_KEYS_SECONDS)


def test_keys_of_session_tickets_are_asked_for_again_where_loading_failed(tmp_path: Path) -> None:
    """Once an hour, not at every turn of the loop."""
    replacement = Replacement()
    prepared = loaded(tmp_path)
    assert not replacement.due(prepared, 0.0)
    asked = [second for second in range(0, 7 * 86400 + 2 * 3600, 60) if replacement.due(prepared, float(second))]
    assert asked == [7 * 86400, 7 * 86400 + 3600]
