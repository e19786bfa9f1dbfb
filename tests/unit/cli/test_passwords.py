"""Passwords come from a terminal, a file or standard input, never from arguments."""

from __future__ import annotations

import io
import os
from pathlib import Path

import click
import pytest

from gatepost.cli import exits, passwords
from gatepost.cli.exits import CommandError


def _terminal(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Let ``path`` stand in for the terminal, and standard input be no terminal."""
    real = os.open
    monkeypatch.setattr(os, "open", lambda file, flags: real(path if file == "/dev/tty" else file, flags))
    monkeypatch.setattr("sys.stdin", io.StringIO("the message"))


def test_terminal_is_asked_though_standard_input_is_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """`echo Hello | gatepost send --user …` asks: standard input holds the message."""
    _terminal(monkeypatch, os.devnull)
    monkeypatch.setattr(click, "prompt", lambda *_, **__: "wonderland")
    assert passwords.prompted("Password", twice=False).reveal() == b"wonderland"


def test_nobody_to_ask_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under cron there is no terminal: the command says how to pass the password."""
    _terminal(monkeypatch, str(tmp_path / "missing"))
    with pytest.raises(CommandError) as refused:
        passwords.prompted("Password", twice=False)
    assert refused.value.exit_code == exits.USAGE
    assert "file" in refused.value.hint


def test_first_line_of_a_file_is_the_password(tmp_path: Path) -> None:
    """Either line end, and nothing behind the first line."""
    for content in (b"wonderland", b"wonderland\n", b"wonderland\r\nmore"):
        (tmp_path / "password").write_bytes(content)
        assert passwords.from_file(tmp_path / "password").reveal() == b"wonderland"


@pytest.mark.parametrize("content", [b"", b"\nsecond", b"x" * 1025])
def test_password_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty line, or one that is no password by its length."""
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(CommandError):
        passwords.from_file(tmp_path / "password")
