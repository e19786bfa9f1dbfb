"""The configuration written out again."""

from __future__ import annotations

import tomllib
from pathlib import Path

from gatepost.config.load import load
from gatepost.config.schema import Config
from gatepost.config.show import differences, plain, toml


def test_shown_configuration_reads_back_the_same(tmp_path: Path) -> None:
    """``config show`` prints a file that means exactly what is in effect."""
    first = tmp_path / "first.toml"
    first.write_text(
        'hostname = "mx.example"\ndomains = ["example.org"]\ndata = "d"\n[delivery]\nlifetime = "2d"\n'
        'resolver = "127.0.0.1"\n[limits]\nnormalise_from = ["10.0.0.*", "!10.0.0.9"]\nexempt = []\n'
        '[aliases]\nroot = "postmaster"\n"@example.net" = "c"\n"sales@example.org" = ["a@b.example", "c"]\n'
    )
    config = load(first)
    second = tmp_path / "second.toml"
    second.write_text(toml(plain(config)))
    again = load(second)
    assert plain(again) == plain(config)


def test_defaults_are_shown_completely_and_read_back() -> None:
    """Every key that has a default value is written."""
    config = Config()
    text = toml(plain(config))
    assert plain(Config.model_validate(tomllib.loads(text))) == plain(config)


def test_differences_are_only_what_differs() -> None:
    """``--changed`` leaves out what is as by default, tables included."""
    base = plain(Config())
    changed = plain(Config.model_validate({"log": "json", "limits": {"errors": 3}, "aliases": {"a": "b"}}))
    assert differences(changed, base) == {"log": "json", "limits": {"errors": 3}, "aliases": {"a": ["b"]}}
    assert differences(base, base) == {}
