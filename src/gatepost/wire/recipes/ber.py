"""BER as LDAP writes it (RFC 4511 §5.1): definite lengths, and nothing that the few messages before TLS do not need."""

from __future__ import annotations

from typing import Final

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.recipe import UnexpectedWords

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
_LENGTH_OCTETS: Final = 4  # a length may be written longer than it must be (some servers always use four octets)
_INTEGER_OCTETS: Final = 4  # RFC 4511 §4.1.1: 0 to 2147483647


def element(tag: int, *contents: bytes) -> bytes:
    """One element, its length written as shortly as it can be."""
    content = b"".join(contents)
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 128 | len(octets))) + octets + content


def integer(number: int, tag: int = INTEGER) -> bytes:
    """A number that is not negative."""
    return element(tag, number.to_bytes(number.bit_length() // 8 + 1))


def message(conversation: Conversation, limit: int, step: str) -> Dialogue[bytes]:
    """The content of the next element, which must be a SEQUENCE of at most ``limit`` octets."""
    head = yield from conversation.octets(2, step)
    length = head[1]
    if head[0] != SEQUENCE or length == 128 or length > 128 + _LENGTH_OCTETS:
        raise UnexpectedWords(f"the {step} is no LDAP message", head)
    if length > 128:
        length = int.from_bytes((yield from conversation.octets(length - 128, step)))
    if length > limit:
        raise UnexpectedWords(f"the {step} is longer than {limit} octets")
    return (yield from conversation.octets(length, step))


def elements(content: bytes) -> list[tuple[int, bytes]]:
    """The elements that a constructed element holds, as tag and content.

    :raises UnexpectedWords: when they do not fill it exactly.
    """
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(content):
        tag, start = content[at], at + 2
        length = content[at + 1] if start <= len(content) else 128
        if length > 128:
            octets = length - 128
            start += octets
            length = int.from_bytes(content[at + 2 : start]) if octets <= _LENGTH_OCTETS else len(content)
        elif length == 128:  # the indefinite form, or no length at all
            length = len(content)
        if tag & 0x1F == 0x1F or start + length > len(content):
            raise UnexpectedWords("an element of BER does not fit where it stands", content)
        found.append((tag, content[start : start + length]))
        at = start + length
    return found


def number(octets: bytes) -> int:
    """The number of an INTEGER or ENUMERATED that may not be negative.

    :raises UnexpectedWords: when it is negative, empty or too long.
    """
    if not 0 < len(octets) <= _INTEGER_OCTETS or octets[0] & 0x80:
        raise UnexpectedWords("a number that LDAP does not have there", octets)
    return int.from_bytes(octets)
