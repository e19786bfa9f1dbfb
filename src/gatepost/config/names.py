"""Names as configuration writes them: domains and addresses of mailboxes. Strict, since they end up in protocols."""

from __future__ import annotations

import re
import socket
from typing import Final

# What may stand beyond ASCII is written as the ASCII that may not: a set up to U+10FFFF takes milliseconds to compile.
# RFC 5321 §4.1.2 sub-domain, plus "_", which some hosts carry; U-labels (RFC 6531 §3.3) are letters beyond ASCII.
_EDGE: Final = r"[^\x00-/:-^`{-\x7f]"
_LABEL: Final = re.compile(rf"{_EDGE}(?:[^\x00-,./:-^`{{-\x7f]{{0,61}}{_EDGE})?")
# RFC 5321 §4.1.2 Dot-string, with the UTF-8 of RFC 6531 §3.3.
_ATOM: Final = r"[^\x00- \"(),.:;<>@\[\\\]\x7f]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")


def check_domain(text: str) -> str:
    """Check a domain name and write it in lower case.

    :raises ValueError: saying what is wrong with it.
    """
    if not isinstance(text, str):
        raise ValueError("a domain is text")
    name = text.lower()
    if name.endswith("."):
        raise ValueError(f'"{text[:80]}" ends with a dot; leave the dot out')
    if (
        not name.isprintable()
        or not 0 < len(name) <= 253
        or not all(_LABEL.fullmatch(label) for label in name.split("."))
    ):
        raise ValueError(f'"{text[:80]}" is not a domain name')
    return name


def check_local_part(text: str) -> str:
    """Check a mailbox's local part, which is a dot-string.

    :raises ValueError: saying what is wrong with it.
    """
    if not text.isprintable() or not _LOCAL.fullmatch(text) or len(text.encode("utf-8", "replace")) > 64:
        raise ValueError(f'"{text[:80]}" is not the local part of an address')
    return text


def check_address(text: str, *, bare_local: bool = False) -> str:
    """Check ``local@domain`` and write its domain in lower case.

    :param bare_local: whether a local part alone is allowed too.
    :raises ValueError: saying what is wrong with it.
    """
    local, at, domain = text.rpartition("@")
    if not at:
        if not bare_local:
            raise ValueError(f'"{text[:80]}" is not an address; write name@domain')
        return check_local_part(domain)
    return f"{check_local_part(local)}@{check_domain(domain)}"


def system_hostname() -> str:
    """The system's fully qualified name; its short name when it has no other; ``localhost`` when that is unusable."""
    name = socket.gethostname()
    if "." not in name:  # only then ask the resolver, which may be slow
        name = next((full for full in (socket.getfqdn(name),) if "." in full), name)
    try:
        return check_domain(name.rstrip("."))
    except ValueError:
        return "localhost"
