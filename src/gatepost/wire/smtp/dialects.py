"""SMTP and LMTP are one machine with two tables of words (RFC 5321, RFC 2033)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from gatepost.wire.smtp.states import VERBS, Trigger


class Dialect(NamedTuple):
    """How one protocol speaks.

    :param name: ``SMTP`` or ``LMTP``.
    :param service: what the greeting calls it.
    :param words: the command words, in upper case, and what each means.
    :param per_recipient: whether a message is answered once for each accepted recipient (RFC 2033 §4.2).
    """

    name: str
    service: str
    words: Mapping[str, Trigger]
    per_recipient: bool


_COMMON: Final = {verb.value: verb for verb in VERBS if verb not in (Trigger.HELO, Trigger.EHLO)}

SMTP: Final = Dialect("SMTP", "ESMTP", {**_COMMON, "HELO": Trigger.HELO, "EHLO": Trigger.EHLO}, per_recipient=False)
LMTP: Final = Dialect("LMTP", "LMTP", {**_COMMON, "LHLO": Trigger.EHLO}, per_recipient=True)
DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (SMTP, LMTP)}
