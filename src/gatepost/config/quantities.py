"""Durations and sizes as people write them: ``5d``, ``30m``, ``90``; ``50 MiB``, ``52428800``."""

from __future__ import annotations

import re
from typing import Final

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
BYTES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DURATION: Final = re.compile(r"(?:(\d{1,12}(?:\.\d{1,6})?) ?([smhdw]) ?)+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?) ?([smhdw])")
_SIZE: Final = re.compile(r"(\d{1,15}) ?([kmg]?)(?:i?b)?", re.IGNORECASE)


def parse_duration(value: object) -> float:
    """Read a duration: a number of seconds, or text such as ``"5d"``, ``"30m"``, ``"1h 30m"``, ``"90s"``.

    :returns: seconds.
    :raises ValueError: when it is neither, or negative.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError('not a duration; write seconds, or text such as "30m" or "5d"')
    if isinstance(value, str):
        text = value.strip().lower()
        if text.isdecimal() and text.isascii() and len(text) <= 12:
            return float(text)
        if not _DURATION.fullmatch(text):
            raise ValueError(f'"{value[:40]}" is not a duration; write seconds, or text such as "30m" or "5d"')
        return float(sum(float(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(text)))
    if not 0 <= value <= 1e12:  # also refuses nan and inf, which TOML can write
        raise ValueError("a duration is a number of seconds from 0 up")
    return float(value)


def format_duration(seconds: float) -> str:
    """Write seconds the short way that ``parse_duration`` reads: ``5d``, ``1h 30m``, ``0.5s``, ``0s``."""
    whole, fraction = divmod(seconds, 1)
    if fraction:
        return f"{seconds:g}s"
    parts, rest = [], int(whole)
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def parse_size(value: object) -> int:
    """Read a size: a number of bytes, or text such as ``"50M"`` or ``"64 KiB"`` (powers of 1024).

    :returns: bytes.
    :raises ValueError: when it is neither, or negative.
    """
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * BYTES[match[2].lower()]
    if isinstance(value, bool) or not isinstance(value, int):
        shown = f'"{value[:40]}" is' if isinstance(value, str) else f"{str(value)[:40]} is"
        raise ValueError(f'{shown} not a size; write bytes, or text such as "50M"')
    if not 0 <= value < 1 << 62:
        raise ValueError(f"{str(value)[:40]} is not a size; a size is a number of bytes from 0 up")
    return value
