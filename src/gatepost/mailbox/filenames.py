"""What the name of a Maildir file says: which message it is, how big, and which flags a reader gave it.

``UNIQUE,S=1234,W=1260:2,FS``. Readers rename a file when they change its flags, move it from ``new/`` to ``cur/``, or
(Dovecot's repair tool) correct its sizes; what is left without flags and sizes is the same for as long as the message
exists, and is its identity here.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

_SIZES: Final = re.compile(r",([SW])=([0-9]{1,18})(?=[,:]|$)")
_UNIQUE_ID: Final = re.compile(r"[!-}][!-~]{0,69}")  # RFC 1939 §7: 1 to 70 characters of 0x21 to 0x7E
_DIGITS: Final = 18  # no size has more
_HASHED: Final = "~"  # never the first character of an id that is not a hash


class FileName(NamedTuple):
    """A file's name, read.

    :param identity: the name without flags and sizes.
    :param size: octets on disk (``S=``), or None where the name does not say.
    :param wire_size: octets as a client is sent them (``W=``), or None.
    :param flags: the Maildir flags, such as ``FS``.
    """

    identity: str
    size: int | None
    wire_size: int | None
    flags: str


def parse(name: str) -> FileName:
    """Read a file's name; octets that are not UTF-8 are surrogate escapes, as ``os.scandir`` gives them."""
    base, _, info = name.partition(":")
    flags = info[2:] if info.startswith("2,") else ""
    if "=" not in base:
        return FileName(base, None, None, flags)
    identity, _, fields = base.partition(",S=")
    size, _, wire_size = fields.partition(",W=")
    if size.isdecimal() and wire_size.isdecimal() and fields.isascii() and "=" not in identity:  # as we write it
        return FileName(identity, int(size[:_DIGITS]), int(wire_size[:_DIGITS]), flags)
    return _parse_slowly(base, flags)


def _parse_slowly(base: str, flags: str) -> FileName:
    """Sizes in any order, or one of them, or other fields beside them."""
    fields = dict(_SIZES.findall(base))
    size, wire_size = fields.get("S"), fields.get("W")
    return FileName(
        _SIZES.sub("", base), None if size is None else int(size), None if wire_size is None else int(wire_size), flags
    )


def seconds_of(identity: str) -> int:
    """The second at which the message was delivered, as the convention has its name begin; 0 where it does not."""
    head = identity.partition(".")[0]
    return int(head) if len(head) < 20 and head.isascii() and head.isdecimal() else 0


def unique_id(identity: str, *others: int) -> str:
    """The message's unique id for POP3 (UIDL, RFC 1939 §7): the same for ever, and no two messages have the same.

    :param identity: its name without flags and sizes. One that does not fit RFC 1939 is hashed.
    :param others: what tells files apart that share an identity; they are hashed with it.
    """
    if not others and _UNIQUE_ID.fullmatch(identity):
        return identity
    text = "\0".join((identity, *map(str, others)))
    return _HASHED + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
