"""``--trace``, ``--trace-file`` and ``--keylog``, for the commands that connect."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gatepost.net.trace import TraceLevel

F = TypeVar("F", bound=Callable[..., Any])


def trace_options(command: F) -> F:
    """``--trace LEVEL`` and ``--trace-file FILE``."""
    for option in (
        click.option(
            "--trace-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Write the trace into FILE as JSON lines (level session, if --trace does not say).",
        ),
        click.option(
            "--trace",
            type=click.Choice(["session", "handshake"]),
            help="Show what is said, or also each TLS record, on standard error. Passwords are masked.",
        ),
    ):
        command = option(command)
    return command


def keylog_option(command: F) -> F:
    """``--keylog FILE``."""
    return click.option(
        "--keylog",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write the session's keys into FILE, for Wireshark: whoever has it can decrypt the connection.",
    )(command)


@contextmanager
def traced(level: TraceLevel | None, file: Path | None) -> Iterator[None]:
    """Trace the connections in this block: into a file when one is named, else to standard error.

    :raises OSError: when the file cannot be written.
    """
    if level is None and file is None:
        yield
        return
    from gatepost.net.trace import trace
    from gatepost.observe.tracing import JSONTrace, TextTrace

    with ExitStack() as stack:
        if file is None:
            stack.enter_context(trace(TextTrace(sys.stderr), level or "session"))
        else:
            stream = stack.enter_context(open(_private(file), "w", encoding="utf-8"))
            stack.enter_context(trace(JSONTrace(stream), level or "session"))
        yield


@contextmanager
def keylog_to(file: Path | None) -> Iterator[Callable[[bytes], None] | None]:
    """What writes keys into a file; None when none is named. Lines are added to what is there.

    :raises OSError: when the file cannot be written.
    """
    if file is None:
        yield None
        return
    with open(_private(file, os.O_APPEND), "ab", buffering=0) as stream:
        yield lambda line: _write_line(stream, line)


def _write_line(stream: Any, line: bytes) -> None:
    stream.write(line + b"\n")


def _private(file: Path, how: int = os.O_TRUNC) -> int:
    """A descriptor of a file that nobody else can read, when it is made here."""
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
