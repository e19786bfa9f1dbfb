"""Where a command gets a password from: never from its arguments, which every user of the machine can read."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import shlex
import sys
from pathlib import Path
from typing import Final

import click

from gatepost.cli import exits
from gatepost.cli.exits import CommandError
from gatepost.wire.sasl.secret import Secret

LENGTH_LIMIT: Final = 1024
# Letters and digits that are not taken for each other when they are read aloud or copied by hand.
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"


def generated() -> Secret:
    """A random password of 100 bits, in four groups of five."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return Secret("-".join(groups).encode())


def from_stdin() -> Secret:
    """The first line of standard input, without its line end.

    :raises CommandError: when there is none (65).
    """
    return _line(sys.stdin.buffer.readline(LENGTH_LIMIT + 2), "standard input")


def from_file(path: Path) -> Secret:
    """The first line of a file, without its line end.

    :raises CommandError: when there is none (65).
    :raises OSError: when it cannot be read.
    """
    with path.open("rb") as stream:
        return _line(stream.readline(LENGTH_LIMIT + 2), str(path))


def from_keyring(service: str, user: str) -> Secret:
    """What the desktop's or the system's keyring has for a user of a service, through the package ``keyring``.

    :raises CommandError: when that package is not installed (69), the keyring cannot be opened (77), or it has no
        password for them (65).
    """
    try:
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors")
    except ImportError:
        raise CommandError(
            "the package keyring is not installed", exits.UNAVAILABLE, hint="pip install 'gatepost[keyring]'"
        ) from None
    try:
        found: str | None = keyring.get_password(service, user)
    except errors.KeyringError as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(f"the keyring cannot be read: {text}", exits.NO_PERMISSION) from error
    if not found:
        raise CommandError(
            f"the keyring has no password for {user} at {service}",
            exits.DATA,
            hint=f"store it with: keyring set {shlex.quote(service)} {shlex.quote(user)}",
        )
    return Secret(found.encode())


def prompted(question: str, *, twice: bool) -> Secret:
    """Ask on the terminal, without showing what is typed.

    :raises CommandError: when there is no terminal to ask on (64).
    """
    if not _has_terminal():
        raise CommandError(
            "there is no terminal to ask for the password on",
            exits.USAGE,
            hint="pass it on standard input or in a file",
        )
    answer = click.prompt(question, hide_input=True, confirmation_prompt=twice, err=True, type=str)
    return Secret(str(answer).encode())


def _has_terminal() -> bool:
    """Whether somebody can be asked, also when standard input is a pipe that holds the message."""
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        return True
    return sys.stdin.isatty()


def _line(line: bytes, source: str) -> Secret:
    password = line.removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise CommandError(f"{source} holds no password on its first line", exits.DATA)
    if len(password) > LENGTH_LIMIT:
        raise CommandError(f"the password in {source} is longer than {LENGTH_LIMIT} bytes", exits.DATA)
    return Secret(password)
