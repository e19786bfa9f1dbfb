"""Commands that are printed as advice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gatepost.config.invocation import command, command_with, here, program
from gatepost.config.load import load


def test_command_carries_the_file_and_the_directory_that_were_given(tmp_path: Path) -> None:
    """Both, absolute, and quoted for a shell."""
    file = tmp_path / "a b.toml"
    file.write_text('hostname = "mx.test"\n')
    line = command(load(file, data=tmp_path / "d"), "user", "passwd", "me@mx.test")
    assert line.endswith(f"user passwd me@mx.test --config '{file}' --data {tmp_path}/d")
    assert command(load(file), "status").endswith(f"status --config '{file}'")
    assert "--" not in command_with(None, None, "status")


def test_program_that_is_not_on_the_path_is_named_by_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``gatepost`` is printed only where typing it runs this program."""
    own = tmp_path / "gatepost"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(own)])
    monkeypatch.setenv("PATH", "/nonexistent")
    assert program() == str(own)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == "gatepost"


def test_commands_in_a_hint_act_on_the_same_server(tmp_path: Path) -> None:
    """What a lower layer names without knowing the options gets them before it is printed."""
    hint = here(load(data=tmp_path), "see `gatepost user list`, or ask")
    assert hint.startswith("see `") and hint.endswith(f"user list --data {tmp_path}`, or ask")
