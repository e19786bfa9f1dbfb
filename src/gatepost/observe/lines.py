"""One event as one line, in text (``key=value``) or JSON, whatever a peer put into the values. Pure.

A field with nothing in it (None, an empty text) is left out: a summary line has twenty fields, and half of them say
nothing about most connections. An event for which emptiness says something passes ``EMPTY``.

What stands in a value never leaves it: line ends, control characters, ESC, invisible and bidirectional formatting
characters are escaped in both formats (CWE-117, and terminals). A value of any type but the plain ones is written as
``str(value)``: a secret's type prints as ``***``.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii
from typing import Final, final

VALUE_LIMIT: Final = 1024
"""Characters of one value; the rest is cut off."""


@final
class _Empty:
    """An empty value that is written: ``key=""``."""

    __slots__ = ()

    def __str__(self) -> str:
        return ""


EMPTY: Final = _Empty()

_plain: Final = re.compile(r"[!#-<>-\[\]-~]{1,1024}").fullmatch
# Printable ASCII (RFC 20) without the backslash.
_SAFE: Final = bytes(octet for octet in range(0x20, 0x7F) if octet not in b"\\")
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
    if len(value) <= VALUE_LIMIT and value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'  # blanks and equal signs: nothing to escape
    if len(value) > VALUE_LIMIT:
        return f'"{"".join(map(_escape_character, value[:VALUE_LIMIT]))}…"'
    return f'"{"".join(map(_escape_character, value))}"'


def _cut(value: str) -> str:
    return value if len(value) <= VALUE_LIMIT else value[:VALUE_LIMIT] + "…"


def _spell(value: object) -> str:
    """A value that is neither str, int, float, bool nor None, in characters that are not escaped yet."""
    try:
        if type(value) is bytes:
            return value[: VALUE_LIMIT + 1].decode("latin-1")
        if isinstance(value, tuple | list | frozenset | set):
            return ",".join(each if type(each) is str else _spell(each) for each in value)
        return str(value)
    except Exception:  # noqa: BLE001 - the value's own __str__ failed; a log line never raises
        return f"<{type(value).__name__}>"


def text_line(name: str, severity: str, fields: dict[str, object], process: str, stamp: str) -> str:
    """Most lines hold nothing to escape: build the line as if, check it whole (a few passes in C), else go slowly.

    It is as safe as the slow way when it is printable ASCII without backslash, and has exactly the quotes that stand
    around values with blanks, and the equal signs that stand between fields and in such values.
    """
    parts = [f"{stamp}{process}{name}"]
    add = parts.append
    quotes = equals = 0
    for key, value in fields.items():
        kind = type(value)
        if kind is str:
            if " " in value:  # type: ignore[operator]
                add(f'{key}="{value}"')
                quotes += 2
                equals += value.count("=")  # type: ignore[attr-defined]
            elif value:
                add(f"{key}={value}")
        elif kind is int:
            add(f"{key}={value}")
        elif kind is bool:
            add(f"{key}=yes" if value else f"{key}=no")
        elif kind is float:
            add(f"{key}={value:.3f}")
        elif value is not None:
            return _careful_text_line(name, severity, fields, process, stamp)
    body = " ".join(parts)
    if (
        len(body) > VALUE_LIMIT
        or severity != "info"
        or not body.isascii()
        or body.encode().translate(None, _SAFE)
        or body.count('"') != quotes
        or body.count("=") != len(parts) - 1 + equals
    ):
        return _careful_text_line(name, severity, fields, process, stamp)
    return body + "\n"


def _careful_text_line(name: str, severity: str, fields: dict[str, object], process: str, stamp: str) -> str:
    parts = [f"{stamp}{process}{name}"]
    for key, value in fields.items():
        kind = type(value)
        if kind is str:
            if value:
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


def json_line(name: str, severity: str, fields: dict[str, object], process: str, stamp: str) -> str:
    parts = [f'{stamp}"severity":"{severity}",{process}"event":"{name}"']
    for key, value in fields.items():
        kind = type(value)
        if kind is str:
            text: str = value  # type: ignore[assignment]
            if text:
                parts.append(f'"{key}":{encode_basestring_ascii(text if len(text) <= VALUE_LIMIT else _cut(text))}')
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
