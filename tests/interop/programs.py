"""Programs of the distribution that the tests talk to: finding them, and running them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

VARIABLE = "GATEPOST_INTEROP"
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended."""

    code: int
    out: bytes
    err: bytes

    @property
    def said(self) -> str:
        """Everything it printed."""
        return (self.out + self.err).decode("utf-8", "replace")


def require(program: str, package: str) -> str:
    """The path of a program, which a Debian package brings.

    Where it is missing the test is skipped; where GATEPOST_INTEROP=required, it fails.
    """
    found = shutil.which(program, path=_PATH)
    if found is None:
        missing(f"{program} is not here: apt-get install {package}")
        raise AssertionError
    return found


def missing(reason: str) -> None:
    """What a test needs is missing: skip it, or fail it where nothing may be missing."""
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(reason)
    pytest.skip(reason)


def require_root(what: str) -> None:
    """Skip what only root can start."""
    if os.geteuid() != 0:
        pytest.skip(f"{what} has to be started by root")


def run(
    command: Sequence[str | Path],
    *,
    given: bytes = b"",
    given_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 60.0,
) -> Done:
    """Run a program to its end.

    :param given: its standard input.
    :param given_file: a file as its standard input.
    :param env: variables over those of this process.
    :param seconds: how long it may take.
    """
    words = [str(word) for word in command]
    environment = {**os.environ, **(env or {})}
    if given_file is not None:
        with given_file.open("rb") as stream:
            done = subprocess.run(
                words, stdin=stream, capture_output=True, env=environment, cwd=cwd, timeout=seconds, check=False
            )
    else:
        done = subprocess.run(
            words, input=given, capture_output=True, env=environment, cwd=cwd, timeout=seconds, check=False
        )
    return Done(done.returncode, done.stdout, done.stderr)


def group_lives(group: int) -> bool:
    """Whether a process of a process group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
