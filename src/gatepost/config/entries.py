"""The entries of a rule's lists: addresses, names, fingerprints. Each is checked here, and nothing is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gatepost.config.endpoints import address_of
from gatepost.config.names import check_domain
from gatepost.greylist.facts import NULL_PATH, UNKNOWN_COUNTRY
from gatepost.policy.addresses import AddressList
from gatepost.wire.certified import canonical_mailbox
from gatepost.wire.smtp.address import AddressSyntaxError, Mailbox

FILE_PREFIX: Final = "file:"
"""Begins an entry that names a file of entries, one a line."""

_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_NUMBERS: Final = re.compile(r"[0-9a-fA-F:.*!/\- ]*[0-9:.*/][0-9a-fA-F:.*/\- ]*")


def file_of(entry: str) -> str | None:
    """The file that an entry names, excluded or not; None for other entries."""
    text = entry.strip().removeprefix("!").strip()
    return text.removeprefix(FILE_PREFIX) if text.startswith(FILE_PREFIX) else None


def check_addresses(entries: Sequence[str]) -> None:
    """Check the entries of an address list, files aside.

    :raises ValueError: saying what is wrong with the first that cannot be read.
    """
    written: list[str] = []
    for entry in entries:
        file = file_of(entry)
        if file is None:
            written.append(entry)
        elif not file:
            raise ValueError(f'"{entry}" names no file; write file:PATH')
        elif not entry.strip().startswith("!"):
            written.append("*")  # it includes somebody: who, is read later
    AddressList(written)


def check_name(text: str) -> str:
    """Check ``example.com``, ``.example.com`` or ``*``, and write it in lower case and as A-labels, as mail has it.

    :raises ValueError: saying what is wrong with it.
    """
    if text == "*":
        return text
    if text.startswith("*."):
        raise ValueError(f'"{text[:80]}": write .{text[2:80]} for the names below it')
    dot = "." if text.startswith(".") else ""
    domain = check_domain(text.removeprefix("."))
    try:
        return dot + Mailbox("postmaster", domain).ascii_domain.lower()
    except AddressSyntaxError as error:
        raise ValueError(f'"{text[:80]}" is not a domain name: {error}') from error


def check_exempt(text: str) -> str:
    """Check an entry that is an address or a name.

    :raises ValueError: saying what is wrong with it.
    """
    if file_of(text) is not None or is_address_entry(text):
        check_addresses(("*", text))
        return text
    return check_name(text)


def is_address_entry(text: str) -> bool:
    """Whether an entry that may be a name or an address is meant as an address: no name ends in a number."""
    if file_of(text) is not None:
        return True
    last = re.split(r"[./\-]", text.strip())[-1]
    return ":" in text or last == "*" or (last.isascii() and last.isdecimal() and bool(_NUMBERS.fullmatch(text)))


def check_certificate_name(text: str) -> str:
    """Check a name that a certificate may have: a host name, an address, or ``.example.com``.

    :raises ValueError: saying what is wrong with it.
    """
    if (address := address_of(text)) is not None:
        return str(address)
    if text == "*":
        raise ValueError('"*" is no name: a certificate for anybody proves nothing; use level = "encrypt"')
    return check_name(text)


def check_certificate_mailbox(text: str) -> str:
    """Check a mail address that a certificate may be for, and write it as it is compared (RFC 5280 §7.5).

    :raises ValueError: when it is none.
    """
    found = canonical_mailbox(text)
    if found is None:
        raise ValueError(f'"{text[:80]}" is not a mail address, LOCAL@DOMAIN')
    return found


def check_fingerprint(text: str) -> str:
    """Check the SHA-256 of a certificate or public key, and write it in lower case without colons.

    :raises ValueError: when it is none.
    """
    digits = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if not _HEXADECIMAL.fullmatch(digits):
        raise ValueError(
            f'"{text[:100]}" is not a SHA-256 in 64 hexadecimal digits; '
            "`openssl x509 -noout -fingerprint -sha256 -in FILE` prints one"
        )
    return digits


def check_mailbox_entry(text: str) -> str:
    """Check an entry of a list of mailboxes, and write it as it is compared.

    It is ``user@example.com``, a domain as ``check_name`` takes it, ``user@`` for a user of every domain, or ``<>`` for
    mail without a sender.

    :raises ValueError: when it is none of them.
    """
    entry = text.strip()
    local, at, domain = entry.rpartition("@")
    if entry == NULL_PATH or not at:
        return entry if entry == NULL_PATH else check_name(entry)
    if not local or "*" in entry or any(char.isspace() for char in entry):
        raise ValueError(f'"{text[:80]}" is not a mailbox; write user@example.com, example.com, user@ or <>')
    return f"{local.lower()}@{check_name(domain) if domain else ''}"


def check_sender(text: str) -> str:
    """Check an entry of a list of senders that are refused, and write it as it is compared.

    It is ``user@example.org``, ``@example.org`` (or ``example.org``) for a domain, ``.example.org`` for those below it,
    or ``file:PATH``.

    :raises ValueError: when it is none of them.
    """
    entry = text.strip()
    if (file := file_of(entry)) is not None:
        if not file or entry.startswith("!"):
            raise ValueError(f'"{text[:80]}" names no file of senders; write file:PATH')
        return entry
    local, _, domain = entry.rpartition("@")
    strange = any(char.isspace() or not char.isprintable() for char in entry)
    if strange or domain == "*" or (local and domain.startswith(".")):
        raise ValueError(f'"{text[:80]}" is no sender; write user@example.org, @example.org or .example.org')
    name = check_name(domain)
    return name if name.startswith(".") else f"{local.casefold()}@{name}"


def check_country(text: str) -> str:
    """Check an ISO 3166 code of two letters, or ``unknown``; write it as it is compared.

    :raises ValueError: when it is neither.
    """
    entry = text.strip()
    if entry.lower() == UNKNOWN_COUNTRY:
        return UNKNOWN_COUNTRY
    if not _COUNTRY.fullmatch(entry):
        raise ValueError(f'"{text[:40]}" is not a country; write its ISO 3166 code, such as "DE", or "unknown"')
    return entry.upper()
