"""Passwords come from a terminal, a file or standard input, never from arguments."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
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


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package ``keyring`` of our own, in front of a real one; what it has is in a file."""
    package = tmp_path / "packages" / "keyring"
    package.mkdir(parents=True)
    (package / "errors.py").write_text("class KeyringError(Exception): ...\n")
    (package / "__init__.py").write_text(
        "import json, pathlib\nfrom keyring.errors import KeyringError\n"
        "def get_password(service, user):\n"
        "    text = pathlib.Path(__file__).with_name('has.json').read_text()\n"
        "    if text == 'locked':\n        raise KeyringError('it is\\nlocked')\n"
        "    return json.loads(text).get(f'{service} {user}')\n"
    )
    (package / "has.json").write_text('{"mail.test alice": "wonderland"}')
    monkeypatch.syspath_prepend(str(package.parent))
    for name in [name for name in sys.modules if name.split(".")[0] == "keyring"]:
        monkeypatch.delitem(sys.modules, name)
    yield package
    for name in ("keyring", "keyring.errors"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("keyring")
def test_keyring_has_the_password_of_a_user_at_a_host() -> None:
    """The host is the service; what it has is a secret from the first moment."""
    found = passwords.from_keyring("mail.test", "alice")
    assert found.reveal() == b"wonderland" and repr(found) == "***"


def test_keyring_that_has_none_says_how_to_store_it(keyring: Path) -> None:
    """Another user, and a keyring that is locked: each has its code, and one line."""
    with pytest.raises(CommandError) as missing:
        passwords.from_keyring("mail.test", "bob's")
    assert missing.value.exit_code == exits.DATA and "keyring set mail.test" in missing.value.hint
    (keyring / "has.json").write_text("locked")
    with pytest.raises(CommandError) as locked:
        passwords.from_keyring("mail.test", "alice")
    assert locked.value.exit_code == exits.NO_PERMISSION and str(locked.value).endswith("it is locked")


def test_missing_keyring_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional, and the error says how to get it."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(CommandError) as refused:
        passwords.from_keyring("mail.test", "alice")
    assert refused.value.exit_code == exits.UNAVAILABLE and "gatepost[keyring]" in refused.value.hint
