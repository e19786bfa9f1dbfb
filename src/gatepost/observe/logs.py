"""Log lines: one event, one line, in text (``key=value``) or JSON, written so that a hostile peer cannot forge one.

``event("smtp.session", connection=…, rip=…)`` is the hot path, a few microseconds: it formats and puts the line in a
buffer. The buffer is written when the turn of the running event loop ends, when it holds 8 KiB, or at once where no
loop runs. Nothing here blocks or raises into the service: a line that cannot be written (a full pipe, a full disk)
waits in a bounded buffer, then is dropped, and how many were dropped is logged and counted.

What stands in a value never leaves it: line ends, control characters, ESC, invisible and bidirectional formatting
characters are escaped in both formats (CONFORMANCE: log and terminal injection). A value of any type but the plain ones
is written as ``str(value)``: a secret's type prints as ``***``.

SECURITY: writes to standard error, opened again at ``setup`` so that making it non-blocking does not touch the
terminal or pipe of whoever started us.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import select
import socket
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import Final, Literal, final

Format = Literal["text", "json"]

# RFC 5424 §6.2.1: the numbers of the severities.
SEVERITIES: Final = {"critical": 2, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}

_VALUE_LIMIT: Final = 1024
_LINE_LIMIT: Final = 16384
_FLUSH_AT: Final = 8192
_BACKLOG_LIMIT: Final = 1 << 20
_RETRY_SECONDS: Final = 0.2

_plain: Final = re.compile(r"[!#-<>-\[\]-~]{1,1024}").fullmatch
# Printable ASCII (RFC 20) without what quoting needs.
_SAFE: Final = bytes(octet for octet in range(0x20, 0x7F) if octet not in b'"\\')
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape_character(character: str) -> str:
    known = _ESCAPES.get(character)
    if known is not None:
        return known
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def quote(value: str) -> str:
    """A value as text format writes it: as it is when it is plain, else quoted and escaped. Also for a terminal."""
    if _plain(value):
        return value
    if len(value) > _VALUE_LIMIT:
        return f'"{"".join(map(_escape_character, value[:_VALUE_LIMIT]))}…"'
    return f'"{"".join(map(_escape_character, value))}"'


def _cut(value: str) -> str:
    return value if len(value) <= _VALUE_LIMIT else value[:_VALUE_LIMIT] + "…"


def _spell(value: object) -> str:
    """A value that is neither str, int, float, bool nor None, in characters that are not escaped yet."""
    try:
        if type(value) is bytes:
            return value[: _VALUE_LIMIT + 1].decode("latin-1")
        if isinstance(value, tuple | list | frozenset | set):
            return ",".join(each if type(each) is str else _spell(each) for each in value)
        return str(value)
    except Exception:  # noqa: BLE001 - the value's own __str__ failed; a log line never raises
        return f"<{type(value).__name__}>"


def _text_line(name: str, severity: str, fields: dict[str, object], process: str, stamp: str) -> str:
    """Most lines hold nothing to escape: build the line as if, check it whole (a few passes in C), else go slowly.

    It is as safe as the slow way when it is printable ASCII without quote and backslash, and has exactly the blanks and
    equal signs that stand between fields.
    """
    parts = [f"{stamp}{process}{name}"]
    for key, value in fields.items():
        kind = type(value)
        if kind is int or (kind is str and value):
            parts.append(f"{key}={value}")
        elif value is None:
            continue
        elif kind is float:
            parts.append(f"{key}={value:.3f}")
        else:
            return _careful_text_line(name, severity, fields, process, stamp)
    body = " ".join(parts)
    count = len(parts) - 1
    if (
        len(body) > _VALUE_LIMIT
        or severity != "info"
        or body.encode("utf-8", "surrogatepass").translate(None, _SAFE)
        or body.count("=") != count
        or body.count(" ") != count + stamp.count(" ") + process.count(" ")
    ):
        return _careful_text_line(name, severity, fields, process, stamp)
    return body + "\n"


def _careful_text_line(name: str, severity: str, fields: dict[str, object], process: str, stamp: str) -> str:
    parts = [f"{stamp}{process}{name}"]
    for key, value in fields.items():
        kind = type(value)
        if kind is str:
            parts.append(f"{key}={quote(value)}")  # type: ignore[arg-type]
        elif kind is int:
            parts.append(f"{key}={value}")
        elif value is None:
            continue
        elif kind is float:
            parts.append(f"{key}={value:.3f}")
        elif kind is bool:
            parts.append(f"{key}={'yes' if value else 'no'}")
        else:
            parts.append(f"{key}={quote(_spell(value))}")
    if severity != "info":
        parts.append(f"severity={severity}")
    return " ".join(parts) + "\n"


def _json_line(name: str, severity: str, fields: dict[str, object], process: str, stamp: str) -> str:
    parts = [f'{stamp}"severity":"{severity}",{process}"event":"{name}"']
    for key, value in fields.items():
        kind = type(value)
        if kind is str:
            text: str = value  # type: ignore[assignment]
            parts.append(f'"{key}":{encode_basestring_ascii(text if len(text) <= _VALUE_LIMIT else _cut(text))}')
        elif kind is int:
            parts.append(f'"{key}":{value}')
        elif value is None:
            continue
        elif kind is float:
            # RFC 8259 §6 knows neither infinity nor NaN.
            parts.append(f'"{key}":{value:.3f}' if abs(value) < 1e300 else f'"{key}":null')  # type: ignore[arg-type]
        elif kind is bool:
            parts.append(f'"{key}":{"true" if value else "false"}')
        else:
            parts.append(f'"{key}":{encode_basestring_ascii(_cut(_spell(value)))}')
    line = ",".join(parts) + "}\n"
    # JSON lets DEL stand as it is (RFC 8259 §7); a terminal should not see it.
    return line.replace("\x7f", "\\u007f") if "\x7f" in line else line


@final
class _Output:
    """Where lines go: a descriptor that is written without blocking, and the lines that wait for it."""

    __slots__ = ("_chunk", "_lock", "_rest", "_retry", "_socket", "descriptor", "dropped", "lines", "scheduled", "size")

    def __init__(self, descriptor: int) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.scheduled = False
        self.dropped = 0
        self._rest = b""  # what a partial write left of a line, or what the descriptor did not take
        self._retry = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        # A pipe takes up to PIPE_BUF octets whole or not at all (write(2)), so lines of several workers do not mix.
        self._chunk = select.PIPE_BUF
        self.descriptor = self._reopen(descriptor)

    def _reopen(self, descriptor: int) -> int:
        """A descriptor of our own for the same file, non-blocking; O_NONBLOCK on an inherited one would spread."""
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:
            return -1
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
            return descriptor
        if stat.S_ISREG(mode):
            self._chunk = _FLUSH_AT * 4
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:
            return descriptor

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        elif self.descriptor > 2:
            os.close(self.descriptor)

    def _write(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return os.write(self.descriptor, data)

    def _next_chunk(self, data: bytes) -> bytes:
        if len(data) <= self._chunk:
            return data
        end = data.rfind(b"\n", 0, self._chunk) + 1 or data.find(b"\n") + 1 or len(data)
        return data[:end]

    def flush(self, wait: float = 0.0) -> None:
        """Write what waits, for at most ``wait`` seconds, and keep what cannot be written yet."""
        with self._lock:
            count = len(self.lines)
            data = self._rest + "".join(self.lines[:count]).encode("utf-8", "backslashreplace")
            del self.lines[:count]
            self.size = 0
            until = time.monotonic() + wait if wait else 0.0
            while data:
                try:
                    data = data[self._write(self._next_chunk(data)) :]
                except BlockingIOError:
                    left = until - time.monotonic() if wait else 0.0
                    if left <= 0:
                        break
                    select.select([], [self.descriptor], [], left)
                except OSError:
                    # The disk is full, the reader is gone. What waits is lost from here on, and counted.
                    self.dropped += data.count(b"\n")
                    data = b""
            if len(data) > _BACKLOG_LIMIT:
                keep = data.rfind(b"\n", 0, _BACKLOG_LIMIT) + 1
                self.dropped += data.count(b"\n", keep)
                data = data[:keep]
            self._rest = data

    @property
    def waiting(self) -> bool:
        return bool(self._rest)


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
        self.output: _Output | None = None
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
    _state.output = _Output(descriptor)
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
    :param fields: in the order they are to stand; None is left out. A name that is a keyword ends with ``_``.
    """
    if SEVERITIES.get(severity, 6) > _state.threshold:
        return
    try:
        stamp = _stamp(time.time(), severity)
        if _state.format == "json":
            line = _json_line(name, severity, fields, _state.process, stamp)
        else:
            line = _text_line(name, severity, fields, _state.process, stamp)
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
        if output.size >= _FLUSH_AT:
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
        make = _json_line if _state.format == "json" else _text_line
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
            fields["exception"] = text[-_VALUE_LIMIT:]
        event("log", severity=level if level in SEVERITIES else "info", **fields)


def failure(name: str, error: BaseException, /, **fields: object) -> None:
    """Log an unexpected error, with where it was raised, as severity ``error``."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}" for frame in reversed(frames))
    event(name, severity="error", **fields, error=f"{type(error).__name__}: {error}", where=where)
