"""The ladder of outbound levels, in Postfix's words, and what each makes of every answer of a server.

========== ============ ===================== ==========================================================
level      asks for TLS insists on it         certificate
========== ============ ===================== ==========================================================
none       never        no                    not looked at
may        where listed no: in the clear then any
encrypt    always       yes                   any
fingerprint always      yes                   one of the pinned ones, whatever it says and whoever issued it
verify     always       yes                   trusted, for the name of the server (as DNS gave it)
secure     always       yes                   trusted, for the name of the destination (as the address has it)
========== ============ ===================== ==========================================================

``dane`` and ``dane-only`` have their seats between ``encrypt`` and ``fingerprint``; nothing takes them yet, and a
configuration that asks for one is refused. This table is what delivery acts on and what ``gatepost explain`` foresees.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias

Level: TypeAlias = Literal["none", "may", "encrypt", "fingerprint", "verify", "secure"]
Certificate: TypeAlias = Literal["any", "pinned", "trusted"]

LADDER: Final = ("none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")
"""From the least to the most; Postfix's order."""

SEATS: Final[Mapping[str, str]] = {
    "dane": "needs signed DNS, which this version does not look at; use verify or secure with a ca, or fingerprint",
    "dane-only": "needs signed DNS, which this version does not look at; use secure with a ca, or fingerprint",
}
"""Levels that have a place and no meaning yet, and what to do instead."""


class Demand(NamedTuple):
    """What a level asks.

    :param asks: whether TLS is asked for at all.
    :param insists: whether nothing is sent without it.
    :param certificate: what the server's certificate must be.
    """

    asks: bool
    insists: bool
    certificate: Certificate


DEMANDS: Final[Mapping[Level, Demand]] = {
    "none": Demand(False, False, "any"),
    "may": Demand(True, False, "any"),
    "encrypt": Demand(True, True, "any"),
    "fingerprint": Demand(True, True, "pinned"),
    "verify": Demand(True, True, "trusted"),
    "secure": Demand(True, True, "trusted"),
}


def raised(level: Level, *, login: bool, implicit: bool) -> Level:
    """The level where TLS cannot be left out: a password never travels in the clear, implicit TLS has no other way."""
    return "encrypt" if (login or implicit) and not DEMANDS[level].insists else level


class Answer(Enum):
    """What a server may do when TLS is due; the value says it in words."""

    ABSENT = "does not offer STARTTLS"
    REFUSED = "refuses STARTTLS (454)"
    FAILED = "fails the handshake"
    INJECTED = "sends plaintext behind its go-ahead"
    GOOD = "shows a trusted certificate with the right name"
    SELF_SIGNED = "shows a self-signed certificate"
    WRONG_NAME = "shows a trusted certificate with another name"
    EXPIRED = "shows an expired certificate"
    UNKNOWN_AUTHORITY = "shows a certificate of an authority that is not trusted"
    RIGHT_PIN = "shows a certificate that is pinned, and otherwise not trusted"
    WRONG_PIN = "shows a certificate that is neither pinned nor trusted"


class Fate(Enum):
    """What becomes of the message."""

    PRIVATE = "delivered over TLS"
    IN_CLEAR = "delivered in the clear"
    WAITS = "deferred"


class Foreseen(NamedTuple):
    """What will happen at an answer.

    :param fate: what becomes of the message.
    :param enhanced: the enhanced status code of a deferral (RFC 3463), otherwise empty.
    :param tlsrpt: the TLSRPT result type of a deferral (RFC 8460 §4.3), otherwise empty.
    """

    answer: Answer
    fate: Fate
    enhanced: str = ""
    tlsrpt: str = ""


_NO_TLS: Final = {
    Answer.ABSENT: ("4.7.4", "starttls-not-supported"),
    Answer.REFUSED: ("4.7.4", "starttls-not-supported"),
    Answer.FAILED: ("4.7.5", "validation-failure"),
}
_UNTRUSTED: Final = {
    Answer.SELF_SIGNED: "certificate-not-trusted",
    Answer.WRONG_NAME: "certificate-host-mismatch",
    Answer.EXPIRED: "certificate-expired",
    Answer.UNKNOWN_AUTHORITY: "certificate-not-trusted",
    Answer.RIGHT_PIN: "certificate-not-trusted",
    Answer.WRONG_PIN: "certificate-not-trusted",
}


def foresee(level: Level, answer: Answer, *, implicit: bool = False) -> Foreseen:
    """What becomes of a message at a level when the server answers so.

    :param implicit: whether TLS begins with the first octet: there is no STARTTLS to offer then, and a server that
        does not speak TLS fails the handshake.
    """
    demand = DEMANDS[raised(level, login=False, implicit=implicit)]
    if not demand.asks:
        return Foreseen(answer, Fate.IN_CLEAR)
    if answer is Answer.INJECTED:  # an attack, or a server that cannot be understood: at no level less protection
        return Foreseen(answer, Fate.WAITS, "4.7.5", "validation-failure")
    if answer in _NO_TLS:
        if not demand.insists:
            return Foreseen(answer, Fate.IN_CLEAR)
        return Foreseen(answer, Fate.WAITS, *_NO_TLS[Answer.FAILED if implicit else answer])
    if demand.certificate == "pinned" and answer is not Answer.RIGHT_PIN:
        return Foreseen(answer, Fate.WAITS, "4.7.5", "certificate-not-trusted")
    if demand.certificate == "trusted" and answer in _UNTRUSTED:
        return Foreseen(answer, Fate.WAITS, "4.7.5", _UNTRUSTED[answer])
    return Foreseen(answer, Fate.PRIVATE)


def reached(level: Level, status: str | None) -> Level:
    """The level that a connection reached.

    :param level: the one that was asked for: it says which name a verified certificate was verified for.
    :param status: how the certificate was judged (``Verification.status``); None without TLS.
    """
    if status is None:
        return "none"
    if status == "pinned":
        return "fingerprint"
    if status == "verified":
        return "secure" if level == "secure" else "verify"
    return "encrypt"
