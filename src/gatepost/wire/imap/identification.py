"""What a client says of itself (ID, RFC 2971), without the fields by which a proxy speaks for somebody else.

Some servers take ``x-originating-ip`` and its like for the client's address where they trust the address that says it.
They may trust the gate, and the gate has it from anybody: so no such field passes. How a server is told of clients is
the PROXY protocol.
"""

from __future__ import annotations

import re
from typing import Final

_STRING: Final = rb'"(?:[^"\\]|\\["\\])*+"'  # RFC 9051 §9: quoted
# RFC 2971 §4: id_params_list ::= "(" #(string SPACE nstring) ")" / nil
_PAIR: Final = re.compile(rb"(" + _STRING + rb") (?:" + _STRING + rb"|NIL)", re.IGNORECASE)
_LIST: Final = re.compile(rb"\((?:%b(?: %b)*+)?\)" % (_PAIR.pattern, _PAIR.pattern), re.IGNORECASE)
_OF_PROXIES: Final = (b"x-originating-", b"x-connected-", b"x-session-ext-", b"x-forward-", b"x-proxy-")


def own_fields(arguments: bytes) -> bytes | None:
    """The arguments of ID as they may pass: as they are, or without what speaks for somebody else.

    :param arguments: what stands behind the verb, without a line end; literals are not read here.
    :return: None where they cannot be read, so that nobody knows what a server would take them for.
    """
    if arguments.upper() == b"NIL":
        return arguments
    if _LIST.fullmatch(arguments) is None:
        return None
    pairs = list(_PAIR.finditer(arguments))
    kept = [pair[0] for pair in pairs if not _name(pair[1]).startswith(_OF_PROXIES)]
    if len(kept) == len(pairs):
        return arguments
    return b"(" + b" ".join(kept) + b")" if kept else b"NIL"


def _name(quoted: bytes) -> bytes:
    """The name of a field, in lower case: names have no case (RFC 2971 §3.3)."""
    return re.sub(rb"\\(.)", rb"\1", quoted[1:-1]).lower()
