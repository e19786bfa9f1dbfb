"""The arguments of commands (RFC 1939 §3, §5, §7; RFC 2449 §3).

A number is what it looks like: ASCII digits without a sign, without leading zeros, few enough to be one. What is no
number is refused here, once, so that nothing behind it meets a negative or a huge one.
"""

from __future__ import annotations

import re
from typing import Final

# RFC 1939 §5: message-numbers begin with 1. Ten digits are more than any maildrop has messages.
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_TOP: Final = re.compile(r"([1-9][0-9]{0,9}) +(0|[1-9][0-9]{0,9})")
# What may stand in no command: controls, C1 controls, line separators. Anything else may stand in a password.
CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class ArgumentError(ValueError):
    """An argument is not what its command takes."""


def parse_number(text: str) -> int:
    """A message-number, 1 or more.

    :raises ArgumentError: for anything else.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ArgumentError
    return int(text)


def parse_optional_number(text: str) -> int | None:
    """A message-number, or None where there is none.

    :raises ArgumentError: for anything else.
    """
    return parse_number(text) if text else None


def parse_top(text: str) -> tuple[int, int]:
    """A message-number and a number of lines, which may be 0 (RFC 1939 §7).

    :raises ArgumentError: for anything else.
    """
    match = _TOP.fullmatch(text)
    if match is None:
        raise ArgumentError
    return int(match[1]), int(match[2])
