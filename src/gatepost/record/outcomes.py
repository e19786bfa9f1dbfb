"""Whether something went wrong: one table for those who write records and those who read them. Pure."""

from __future__ import annotations

import re
from typing import Final

GOOD: Final = frozenset({"closed", "drained", "ended", "left", "logout", "passed", "quit"})
"""How a session ends when nothing went wrong, in the words of the log."""

# How a reply begins that refuses: SMTP's and those like it, POP3's (RFC 1939 §3), IMAP's (RFC 9051 §7.1). An untagged
# NO is IMAP's word for a warning (RFC 9051 §7.1.2), and no refusal.
_CODE: Final = rb"[45][0-9]{2}(?:[ -]|\Z)"
_POP3: Final = rb"-ERR(?: |\Z)"
_IMAP: Final = rb"(?!\* NO)[^ ]{1,64} (?:NO|BAD)(?: |\Z)"
_REFUSALS: Final = {
    "imap": re.compile(_IMAP, re.IGNORECASE),
    "pop3": re.compile(_POP3, re.IGNORECASE),
    "": re.compile(b"|".join((_CODE, _POP3, _IMAP)), re.IGNORECASE),
}
_OTHERS: Final = re.compile(_CODE)


def refuses(line: bytes, protocol: str) -> bool:
    """Whether a server's line refuses something.

    :param line: without its line end.
    :param protocol: the listener's; empty where it is not known.
    """
    return _REFUSALS.get(protocol, _OTHERS).match(line) is not None
