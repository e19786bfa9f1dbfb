"""Capabilities: what a client is told that a server can do, when a gate stands between (RFC 9051 §7.2.2).

What passes through a gate unharmed is listed as the server lists it, in its order. Left out is what cannot work:

* STARTTLS inside TLS, and wherever it is not passed on;
* COMPRESS (RFC 4978): behind it nobody could tell a command from a literal;
* UNAUTHENTICATE (RFC 8437): who is logged in would have to be taken back;
* the ``-PLUS`` mechanisms: a channel binding ends where TLS ends (RFC 5802 §6), and here it ends twice;
* AUTH=EXTERNAL: the certificate that the server sees is the gate's, never the client's.

LOGINDISABLED stays where the server has it: it means that LOGIN is refused, and it will be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from gatepost.wire.imap.grammar import CAPABILITY_CODE, CAPABILITY_LINE

DISABLED: Final = b"LOGINDISABLED"  # RFC 9051 §6.2.3
MINIMUM: Final = (b"IMAP4rev1",)  # RFC 3501 §6.1.1: always listed
LITERAL_MINUS_LIMIT: Final = 4096  # RFC 7888 §5
_BLOCKED: Final = frozenset({b"STARTTLS", b"UNAUTHENTICATE", b"AUTH=EXTERNAL"})
_COMPRESS: Final = b"COMPRESS="


def passes(capability: bytes, *, starttls: bool = False, logins: bool = True) -> bool:
    """Whether a server's capability may be listed by a gate.

    :param starttls: whether STARTTLS is passed on to the server.
    :param logins: whether logins are.
    """
    word = capability.upper()
    if not logins and word.startswith((b"AUTH=", DISABLED)):
        return False
    if word == b"STARTTLS":
        return starttls
    return not (
        word in _BLOCKED
        or word.startswith(_COMPRESS)
        or (word.startswith(b"AUTH=") and word.endswith(b"-PLUS"))
    )  # fmt: skip


def in_the_clear(listed: Iterable[bytes]) -> tuple[bytes, ...]:
    """What is listed before TLS, where TLS is the way to everything (RFC 9051 §6.2.1, §6.2.3).

    :param listed: what the servers behind list.
    """
    known = tuple(word for word in listed if passes(word, logins=False))
    return (*(known or MINIMUM), b"STARTTLS", DISABLED)


def kept(listed: Iterable[bytes], *, starttls: bool, logins: bool) -> list[bytes]:
    """What a gate lists of what a server lists; that logins are refused is said last."""
    words = [word for word in listed if passes(word, starttls=starttls, logins=logins)]
    return words if logins else [*words, DISABLED]


class Rewritten(NamedTuple):
    """A response, as the client gets it.

    :param octets: unchanged where nothing had to be left out.
    :param listed: what the server listed, in upper case; None where the response lists nothing.
    """

    octets: bytes
    listed: tuple[bytes, ...] | None


def rewrite(line: bytes, *, starttls: bool = False, logins: bool = True) -> Rewritten:
    """Leave out of a response what cannot pass: of an untagged CAPABILITY, or of a response code.

    :param line: a whole response, its CRLF included.
    """
    text = line[:-2]
    found = CAPABILITY_LINE.fullmatch(text) or CAPABILITY_CODE.fullmatch(text)
    if found is None:
        return Rewritten(line, None)
    words = found[2].split()
    passed = kept(words, starttls=starttls, logins=logins)
    listed = tuple(word.upper() for word in words)
    if passed == words:
        return Rewritten(line, listed)
    return Rewritten(b"%b%b%b\r\n" % (found[1], b"".join(b" " + word for word in passed), found[3]), listed)


def unasked_limit(listed: Iterable[bytes]) -> int | None:
    """The longest literal that a client may send without being asked (RFC 7888), by what a server lists in upper case.

    :return: octets; None where there is no bound.
    """
    words = frozenset(listed)
    if b"LITERAL+" in words:
        return None
    # RFC 9051 §4.3: IMAP4rev2 brings LITERAL-.
    return LITERAL_MINUS_LIMIT if words & {b"LITERAL-", b"IMAP4REV2"} else 0
