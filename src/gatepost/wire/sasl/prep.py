"""SASLprep: user names and passwords made comparable (RFC 4013, a profile of stringprep, RFC 3454)."""

from __future__ import annotations

import stringprep
from typing import Final
from unicodedata import ucd_3_2_0

from gatepost.errors import ProtocolError

LENGTH_LIMIT: Final = 1024  # characters; RFC 4616 §2 asks for up to 255 octets of each SAFE string

_PROHIBITED: Final = (  # RFC 4013 §2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class PreparationError(ProtocolError):
    """A string holds what SASLprep prohibits. The message never quotes the string: it may be a password."""


def saslprep(text: str, *, stored: bool = False) -> str:
    """Prepare a user name or password.

    :param text: at most ``LENGTH_LIMIT`` characters.
    :param stored: whether the result will be kept, in which case code points that Unicode 3.2 had not assigned are
        refused (RFC 3454 §7); queries let them pass.
    :return: the prepared string; it may be empty.
    :raises PreparationError: for prohibited characters, mixed directions (RFC 3454 §6), or a string that is too long.
    """
    if len(text) > LENGTH_LIMIT:
        raise PreparationError(f"longer than {LENGTH_LIMIT} characters")
    if text.isascii():
        if text.isprintable():
            return text
        raise PreparationError("it holds a control character")
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    # Stringprep is defined over Unicode 3.2 (RFC 3454 §7); unicodedata keeps that version for exactly this use.
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    for character in prepared:
        if any(prohibited(character) for prohibited in _PROHIBITED):
            raise PreparationError("it holds a character that SASLprep prohibits")
        if stored and stringprep.in_table_a1(character):
            raise PreparationError("it holds a code point that Unicode 3.2 does not assign")
    _check_direction(prepared)
    return prepared


def _check_direction(prepared: str) -> None:
    """RFC 3454 §6: right-to-left text stands alone, and at both ends."""
    if not any(stringprep.in_table_d1(character) for character in prepared):
        return
    if any(stringprep.in_table_d2(character) for character in prepared):
        raise PreparationError("it mixes right-to-left and left-to-right text")
    if not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])):
        raise PreparationError("right-to-left text does not stand at both ends")
