"""Names on disk: where a mailbox lives, and what a message's file is called.

An address never becomes a path unescaped (CVE-2020-7247 is what happens otherwise). ``component`` writes any text as
one path component that is safe for the file system, for a shell and for a terminal, and it is injective: two different
texts never share a component.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from gatepost.errors import LocalProtocolError

# Octets that stand for themselves. Upper case is escaped, so that a case-blind file system keeps the names apart.
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._+-")
_FIRST_ESCAPED: Final = frozenset(b".-")  # ".." climbs and hides, "-rf" reads as an option
_COMPONENT_LIMIT: Final = 200  # octets; file systems allow 255
_DIGEST_MARK: Final = "="  # never stands in an escaped component, where it is written %3D

_HOST_LIMIT: Final = 64
_HOST_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]")
UNIQUE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,179}")  # what deliver takes as a unique name


def component(text: str) -> str:
    """Write a domain or a local part as one safe path component.

    Octets of its UTF-8 form outside ``a-z 0-9 . _ + -`` become ``%XX``, and so do a leading dot and hyphen. A text
    whose escaped form is longer than 200 octets becomes ``=`` and the SHA-256 of the text.

    :raises LocalProtocolError: when the text is empty.
    """
    if not text:
        raise LocalProtocolError("a mailbox's domain and local part are not empty")
    octets = text.encode("utf-8", "surrogateescape")
    escaped = "".join(
        chr(octet) if octet in _PLAIN and (place or octet not in _FIRST_ESCAPED) else f"%{octet:02X}"
        for place, octet in enumerate(octets)
    )
    if len(escaped) <= _COMPONENT_LIMIT:
        return escaped
    return _DIGEST_MARK + hashlib.sha256(octets).hexdigest()


def mailbox_root(data: Path, mailbox: str) -> Path:
    """Where a mailbox lives: ``data/mail/DOMAIN/LOCAL``, which holds ``tmp``, ``new`` and ``cur``.

    :param data: the data directory.
    :param mailbox: the mailbox's name, ``local@domain``, as ``Directory.find`` gives it.
    :raises LocalProtocolError: when it is not of that form.
    """
    local, _, domain = mailbox.rpartition("@")
    return data / "mail" / component(domain) / component(local)


def unique_name(received_at: float, message: str, recipient: str, host: str) -> str:
    """The unique part of a message's file name: the same for every attempt to deliver it to the same recipient.

    It has the form that the Maildir convention asks for, ``SECONDS.MmicrosecondsQdigest.HOST``; since a retry makes the
    same name, it finds what an earlier attempt delivered.

    :param received_at: when the message was accepted, in seconds since the Unix epoch.
    :param message: the message's id in the queue.
    :param recipient: the recipient's address as the queue names it.
    :param host: our host name.
    """
    microseconds = int(received_at * 1_000_000)
    digest = hashlib.sha256(f"{message}\0{recipient}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    place = _HOST_UNSAFE.sub("_", host)[:_HOST_LIMIT] or "localhost"
    return f"{microseconds // 1_000_000}.M{microseconds % 1_000_000}Q{digest}.{place}"
