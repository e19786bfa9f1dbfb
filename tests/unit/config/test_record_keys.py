"""The keys of recording: what they mean, and what they may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.load import load
from gatepost.errors import ConfigError
from gatepost.record.compression import available
from gatepost.record.configured import check_recording, directory_of, plan_of, records_at, rules_of


def loaded(tmp_path: Path, text: str) -> str:
    """The problem of a configuration, or nothing."""
    path = tmp_path / "g.toml"
    path.write_text(text)
    try:
        load(path)
    except ConfigError as error:
        return "; ".join(error.problems)
    return ""


def test_nothing_is_recorded_without_a_rule(tmp_path: Path) -> None:
    """Recording is off by default, and its directory is below ``data``."""
    path = tmp_path / "g.toml"
    path.write_text(f'data = "{tmp_path}"\n')
    config = load(path)
    assert rules_of(config) == ()
    assert not records_at(config, "mx")
    assert directory_of(config) == tmp_path / "records"


def test_rules_and_plan_are_what_was_written(tmp_path: Path) -> None:
    """Listeners, addresses (from a file too), fraction and content reach the recorder, and so do the sizes."""
    (tmp_path / "watched.txt").write_text("192.0.2.0/24\n")
    path = tmp_path / "g.toml"
    path.write_text(
        '[record]\ndirectory = "kept"\nbudget = "64M"\nrotate_size = "2M"\nrotate_every = "5m"\nkeep = "1d"\n'
        '[[record_rule]]\nlisteners = "mx"\nfrom = ["file:watched.txt"]\ncontent = "full"\nfraction = 0.5\n'
        "[[record_rule]]\nonly_failures = true\n"
    )
    config = load(path)
    first, second = rules_of(config)
    assert (first.name, first.content, first.fraction, first.only_failures) == ("record_rule[0]", "full", 0.5, False)
    assert first.matches("mx", "192.0.2.7")
    assert not first.matches("mx", "203.0.113.1")
    assert not first.matches("submission", "192.0.2.7")
    assert (second.content, second.fraction, second.only_failures) == ("none", 1.0, True)
    assert records_at(config, "submission")
    plan = plan_of(config)
    assert (plan.directory, plan.budget, plan.rotate_size) == (tmp_path / "kept", 64 << 20, 2 << 20)
    assert (plan.rotate_every, plan.keep, plan.compress) == (300.0, 86400.0, False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[record_rule]]\nlisteners = "mxx"\n', "mxx"),
        ("[[record_rule]]\nfraction = 0\n", "more than 0"),
        ("[[record_rule]]\nfraction = 2\n", "at most 1"),
        ("[[record_rule]]\nfraction = true\n", "number"),
        ('[[record_rule]]\ncontent = "some"\n', "content"),
        ("[[record_rule]]\n[[record_rule]]\n", "decides nothing"),
        ('[record]\nbudget = "1M"\n', "budget"),
        ('[record]\nbudget = "16M"\nrotate_size = "16M"\n', "more than half"),
        ("[record]\nenabled = true\n", "unknown key"),
        ("[record_rule]\n", "two brackets"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(tmp_path: Path, text: str, problem: str) -> None:
    """Unknown listeners, fractions beyond 1, rules that never decide, budgets too small for several files."""
    assert problem in loaded(tmp_path, text)


@pytest.mark.skipif(available(), reason="Zstandard is installed")
def test_compression_without_its_library_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """Who asks for it is told how to get it."""
    path = tmp_path / "g.toml"
    path.write_text("[record]\ncompress = true\n[[record_rule]]\n")
    with pytest.raises(ConfigError, match="zstandard") as caught:
        check_recording(load(path))
    assert "gatepost[zstd]" in caught.value.hint
