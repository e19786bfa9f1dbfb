"""What a peer said, as text that does nothing where it is shown.

Printable UTF-8 stays; all else is written as an escape from which the octets can be had back. Beyond what
``observe.tracing`` escapes, that is what takes no room or is drawn over its neighbours: fillers, variation selectors,
and long runs of combining marks.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from gatepost.observe.tracing import escaped

# Printable by their Unicode category, and drawn as nothing at all (Default_Ignorable_Code_Point).
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MARKS: Final = 3  # combining marks on one letter that a living language may need
_OWN: Final = "["  # what our own remarks begin with


def shown(data: bytes) -> str:
    """Octets as harmless text."""
    return _harmless(escaped(data))


def shown_text(text: str) -> str:
    """Text of which a peer had a part (a name, a reason) as harmless text; a backslash stays single."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else escaped(_octets(char)) for char in text)
    return _harmless(text)


def shown_line(data: bytes) -> str:
    """As ``shown``, for where our own remarks stand in brackets: what was said does not begin with one."""
    text = shown(data)
    return f"\\x5b{text[1:]}" if text.startswith(_OWN) else text


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _harmless(text: str) -> str:
    if text.isascii():
        return text
    text = _INVISIBLE.sub(lambda found: _hexadecimal(found[0]), text)
    parts, marks = [], 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        parts.append(_hexadecimal(char) if marks > _MARKS else char)
    return "".join(parts)


def _hexadecimal(char: str) -> str:
    return "".join(f"\\x{octet:02x}" for octet in _octets(char))
