"""The header of a message as ``sendmail`` needs it: recipients out of it, ``Bcc`` taken from it, ``From`` added to it.

A header is kept as the octets that were given, field by field, so that what is not touched is not changed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")  # RFC 5322 §2.2, with the white space of §4.5
# RFC 5322 §3.2 tokens of a list of addresses; a comment may nest, so it is skipped by hand.
_TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)"?|\[[^\]\r\n]*\]?|[^\s"()<>\[\]:;,]+|[()<>:;,]', re.DOTALL)
_ATOMS: Final = re.compile(r"[-A-Za-z0-9!#$%&'*+/=?^_`{|}~ ]*")


class Field(NamedTuple):
    """One field of the header: its name in lower case, and its octets with the line ends they came with."""

    name: bytes
    octets: bytes

    @property
    def text(self) -> str:
        """What stands behind the colon, on one line."""
        return " ".join(self.octets.partition(b":")[2].decode("utf-8", "surrogateescape").split())


def split(lines: list[bytes]) -> list[Field]:
    """The fields of header lines, continuation lines joined to theirs. A ``From `` line of a mailbox is dropped."""
    fields: list[Field] = []
    for line in lines:
        match = _FIELD.match(line)
        if line[:1] in b" \t" and line[:1] and fields:
            fields[-1] = Field(fields[-1].name, fields[-1].octets + line)
        elif match and not (not fields and line.startswith((b"From ", b">From "))):
            fields.append(Field(match[1].lower(), line))
    return fields


def is_field(line: bytes) -> bool:
    """Whether a line can stand in a header: a field, or the continuation of one."""
    return _FIELD.match(line) is not None or line[:1] in (b" ", b"\t")


def recipients(fields: list[Field]) -> list[str]:
    """The addresses that ``-t`` sends to: of the ``Resent-`` fields when there are any, else of To, Cc and Bcc."""
    names = {b"resent-to", b"resent-cc", b"resent-bcc"}
    if not any(field.name in names for field in fields):
        names = {b"to", b"cc", b"bcc"}
    found = [address for field in fields if field.name in names for address in addresses(field.text)]
    return list(dict.fromkeys(found))


def without_bcc(fields: list[Field]) -> list[Field]:
    """The fields without those that name secret recipients."""
    return [field for field in fields if field.name not in (b"bcc", b"resent-bcc")]


def from_field(address: str, full_name: str | None) -> bytes:
    """A ``From`` field for a message that has none."""
    name = _one_line(full_name or "")
    if name and name.isascii() and not _ATOMS.fullmatch(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    text = f"{_encoded(name)} <{address}>" if name else address
    return f"From: {text}\n".encode("utf-8", "surrogateescape")


def subject_field(text: str) -> bytes:
    """A ``Subject`` field."""
    return f"Subject: {_encoded(_one_line(text))}\n".encode("ascii", "replace")


def _one_line(text: str) -> str:
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def _encoded(text: str) -> str:
    """Text as it may stand in a field: beyond ASCII as encoded words (RFC 2047 §2: at most 75 characters each)."""
    if text.isascii():
        return text
    import base64

    words = [text[at : at + 11] for at in range(0, len(text), 11)]  # 11 characters are at most 44 octets, 60 in base64
    return " ".join(f"=?utf-8?b?{base64.b64encode(word.encode('utf-8', 'replace')).decode()}?=" for word in words)


def addresses(text: str) -> list[str]:
    """The addresses of a list (RFC 5322 §3.4): display names, comments, routes and the names of groups are dropped."""
    found: list[str] = []
    plain: list[str] = []  # what stands outside of angle brackets
    angle: list[str] | None = None  # what stands inside, once there is one
    inside = False
    for part in (*_tokens(text), ","):
        if part == "," and inside and angle and angle[0].startswith("@"):
            continue  # between the hosts of a source route (RFC 5322 §4.4)
        if part in (",", ";"):
            address = "".join(angle if angle is not None else plain)
            if address:
                found.append(address)
            plain, angle, inside = [], None, False
        elif part == "<":
            angle, inside = [], True
        elif part == ">":
            inside = False
        elif part == ":":
            if inside:
                angle = []  # behind a source route
            else:
                plain = []  # the name of a group
        elif inside and angle is not None:
            angle.append(part)
        elif angle is None:
            # ``a . b @ c`` is one address; ``Jo Doe`` are two words, which no address is: the last one counts.
            if plain and not plain[-1].endswith((".", "@")) and not part.startswith((".", "@")):
                plain = []
            plain.append(part)
    return found


def _tokens(text: str) -> list[str]:
    """Tokens without comments; a quoted string keeps its quotes, as a local part needs them."""
    tokens: list[str] = []
    position = depth = 0
    while match := _TOKEN.search(text, position):
        if depth:
            position = _inside_comment(text, position)
            depth += 1 if text[position - 1 : position] == "(" else -1
            continue
        position = match.end()
        if match[0] == "(":
            depth = 1
        elif match[0] != ")":
            tokens.append(match[0])
    return tokens


def _inside_comment(text: str, position: int) -> int:
    """The position behind the next parenthesis that is not escaped; the end of the text when there is none."""
    while position < len(text):
        char = text[position]
        position += 2 if char == "\\" else 1
        if char in "()":
            return position
    return len(text) + 1
