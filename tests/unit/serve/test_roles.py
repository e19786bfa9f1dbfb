"""The table of roles: every entry point exists, and a configuration gets the processes that it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.schema import Config, Metrics
from gatepost.serve.roles import ROLES, Role, usable_cores


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_entry_point_exists_and_says_what_it_may_do(role: Role) -> None:
    """Each role's module opens with a SECURITY paragraph."""
    entry = role.load()
    assert callable(entry)
    assert "SECURITY:" in (__import__(entry.__module__, fromlist=["x"]).__doc__ or "")


def test_every_module_that_is_a_process_has_a_security_paragraph() -> None:
    """The supervisor, its children and the page say what they may read, write and reach."""
    from gatepost.observe import page
    from gatepost.serve import firststart, inquiry, queueview, supervisor

    for module in (page, firststart, inquiry, queueview, supervisor):
        assert "SECURITY:" in (module.__doc__ or ""), module.__name__


def test_counts_follow_the_configuration(tmp_path: Path) -> None:
    """mx has a process for each core or as many as are set; metrics only where it is bound."""
    by_name = {role.name: role for role in ROLES}
    plain = Config(data=tmp_path)
    set_ = Config(data=tmp_path, workers=7, metrics=Metrics(bind="127.0.0.1:9100"))
    assert [by_name[name].count(plain) for name in ("mx", "submission", "delivery", "metrics")] == [
        usable_cores(),
        1,
        1,
        0,
    ]
    assert [by_name[name].count(set_) for name in ("mx", "submission", "delivery", "metrics")] == [7, 1, 1, 1]
