"""Log lines: one event, one line, in text (``key=value``) or JSON, written so that a hostile peer cannot forge one.

``event("smtp.session", connection=…, rip=…)`` is the hot path, a few microseconds: it formats and puts the line in a
buffer. The buffer is written when the turn of the running event loop ends, when it holds 8 KiB, or at once where no
loop runs. Nothing here blocks or raises into the service: a line that cannot be written (a full pipe, a full disk)
waits in a bounded buffer, then is dropped, and how many were dropped is logged and counted.

SECURITY: writes to standard error and reads nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Final, Literal, final

from gatepost.observe.lines import EMPTY, VALUE_LIMIT, json_line, quote, text_line
from gatepost.observe.output import FLUSH_AT, Output

__all__ = [
    "EMPTY",
    "SEVERITIES",
    "Format",
    "dropped",
    "event",
    "failure",
    "flush",
    "identify",
    "quote",
    "setup",
    "teardown",
]

Format = Literal["text", "json"]

# RFC 5424 §6.2.1: the numbers of the severities.
SEVERITIES: Final = {"critical": 2, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}

_RETRY_SECONDS: Final = 0.2


@final
class _State:
    """What ``setup`` chose. One for each process."""

    __slots__ = ("drop_counter", "dropped_told", "format", "journal", "name", "output", "pid", "process", "second", "stamp", "threshold")  # fmt: skip  # noqa: E501

    def __init__(self) -> None:
        self.format: Format = "text"
        self.journal = False
        self.name = ""
        self.pid = 0
        self.process = ""
        self.second = -1
        self.stamp = ""
        self.threshold = SEVERITIES["info"]
        self.output: Output | None = None
        self.dropped_told = 0
        self.drop_counter: Callable[[int], None] | None = None


_state: Final = _State()


def _is_journal(descriptor: int) -> bool:
    """systemd.exec(5): JOURNAL_STREAM holds the device and inode of the stream that leads to the journal."""
    try:
        device, inode = os.environ.get("JOURNAL_STREAM", "").split(":")
        status = os.fstat(descriptor)
        return (int(device), int(inode)) == (status.st_dev, status.st_ino)
    except (ValueError, OSError):
        return False


def setup(format: Format = "text", *, descriptor: int = 2, level: str = "info") -> None:  # noqa: A002
    """Choose the format and take over the ``logging`` package; call it once before the fork, again after a reload.

    :param format: ``text`` or ``json``. In text, lines that go to the journal carry its priority prefix and no time.
    :param descriptor: where to, standard error by default.
    :param level: the least severity that is written.
    """
    flush(wait=0.5)
    if _state.output is not None:
        _state.output.close()
    _state.format = format
    _state.threshold = SEVERITIES[level]
    _state.journal = format == "text" and _is_journal(descriptor)
    _state.output = Output(descriptor)
    _state.dropped_told = 0
    _state.second = -1
    identify(_state.name)
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    root.addHandler(_Handler())
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)


def teardown() -> None:
    """Undo ``setup``: for tests."""
    flush(wait=0.5)
    if _state.output is not None:
        _state.output.close()
    _state.output = None
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(False)
    _state.drop_counter = None
    _state.format, _state.journal, _state.threshold = "text", False, SEVERITIES["info"]
    identify("")


def identify(name: str, *, drop_counter: Callable[[int], None] | None = None) -> None:
    """Name this process in its lines, ``mx/0``; call it after the fork, where the process id is new.

    :param drop_counter: called with the number of lines that were dropped, when some were.
    """
    _state.name, _state.pid = name, os.getpid()
    if drop_counter is not None:
        _state.drop_counter = drop_counter
    if _state.output is not None:
        _state.output.scheduled = False
    if _state.format == "json":
        _state.process = f'"process":{encode_basestring_ascii(name)},"pid":{_state.pid},'
    else:
        _state.process = f"{name or 'gatepost'}[{_state.pid}] "


def _stamp(now: float, severity: str) -> str:
    if _state.journal:
        return f"<{SEVERITIES.get(severity, 6)}>"
    second = int(now)
    if second != _state.second:
        _state.second = second
        _state.stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    stamp = f"{_state.stamp}.{int((now - second) * 1000):03d}Z"
    return f'{{"time":"{stamp}",' if _state.format == "json" else f"{stamp} "


def event(name: str, /, severity: str = "info", **fields: object) -> None:
    """Log one event on one line. Never raises, never blocks.

    :param name: the event's stable name, ``smtp.session``.
    :param severity: ``debug``, ``info``, ``notice``, ``warning``, ``error`` or ``critical``.
    :param fields: in the order they are to stand; None and empty text are left out (``EMPTY`` is not). A name that
        is a keyword ends with ``_``.
    """
    if SEVERITIES.get(severity, 6) > _state.threshold:
        return
    try:
        stamp = _stamp(time.time(), severity)
        if _state.format == "json":
            line = json_line(name, severity, fields, _state.process, stamp)
        else:
            line = text_line(name, severity, fields, _state.process, stamp)
        _put(line)
    except Exception:  # noqa: BLE001 - a log line is never worth a message
        if _state.output is not None:
            _state.output.dropped += 1


def _put(line: str) -> None:
    output = _state.output
    if output is None:
        # Not set up: a library user, a test. Say it the plain way.
        sys.stderr.write(line)
        return
    output.lines.append(line)
    output.size += len(line)
    if output.scheduled:
        if output.size >= FLUSH_AT:
            flush()
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        flush()
        return
    output.scheduled = True
    loop.call_soon(_turn_ended)


def _turn_ended() -> None:
    output = _state.output
    if output is None:
        return
    output.scheduled = False
    flush()
    if output.waiting:
        output.scheduled = True
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, _turn_ended)


def flush(wait: float = 0.0) -> None:
    """Write what is buffered, waiting at most ``wait`` seconds for a slow reader. At a process's end, wait a little."""
    output = _state.output
    if output is None:
        return
    output.flush(wait)
    lost = output.dropped - _state.dropped_told
    if lost and not output.waiting:
        _state.dropped_told = output.dropped
        if _state.drop_counter is not None:
            _state.drop_counter(lost)
        fields: dict[str, object] = {"lines": lost}
        stamp = _stamp(time.time(), "warning")
        make = json_line if _state.format == "json" else text_line
        output.lines.append(make("log.dropped", "warning", fields, _state.process, stamp))
        output.flush(wait)


def dropped() -> int:
    """How many lines this process could not write."""
    return _state.output.dropped if _state.output is not None else 0


@final
class _Handler(logging.Handler):
    """Brings what libraries log through ``logging`` into the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        fields: dict[str, object] = {"logger": record.name}
        try:
            fields["message"] = record.getMessage()
        except Exception:  # noqa: BLE001 - the library's arguments do not fit its format
            fields["message"] = str(record.msg)
        if record.exc_info:
            text = "".join(traceback.format_exception(*record.exc_info))
            fields["exception"] = text[-VALUE_LIMIT:]
        event("log.message", severity=level if level in SEVERITIES else "info", **fields)


def failure(name: str, error: BaseException, /, **fields: object) -> None:
    """Log an unexpected error, with where it was raised, as severity ``error``."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}" for frame in reversed(frames))
    event(name, severity="error", **fields, error=f"{type(error).__name__}: {error}", where=where)
