"""What a client of an opaque protocol is told when no server can be had, where its protocol has a word for that.

A server of these may say it unasked, in the clear and inside TLS; the connection is closed behind it. In the others
(XMPP, PostgreSQL) nothing may be said before the client has spoken, and the connection is closed without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gatepost.wire.recipes import ber

# RFC 4511 §4.4.1: the notice of disconnection, an extended response with message id 0; 52 is ``unavailable``.
_NOTICE: Final = ber.element(
    ber.SEQUENCE,
    ber.integer(0),
    ber.element(
        0x78,
        ber.integer(52, ber.ENUMERATED),
        ber.element(ber.OCTET_STRING),
        ber.element(ber.OCTET_STRING, b"No server can be had now, try again later"),
        ber.element(0x8A, b"1.3.6.1.4.1.1466.20036"),
    ),
)
# MySQL internals: ERR_Packet in place of a greeting, 1040 ER_CON_COUNT_ERROR; without SQLSTATE, as always there.
_ERROR: Final = b"\xff\x10\x04No server can be had now, try again later"

UNAVAILABLE: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "sieve": b'BYE (TRYLATER) "No server can be had now"\r\n',  # RFC 5804 §1.3
        "nntp": b"400 No server can be had now, try again later\r\n",  # RFC 3977 §3.2.1
        "ftp": b"421 No server can be had now, try again later\r\n",  # RFC 959 §5.4
        "irc": b"ERROR :Closing link: no server can be had now, try again later\r\n",
        "ldap": _NOTICE,
        "mysql": len(_ERROR).to_bytes(3, "little") + b"\0" + _ERROR,
    }
)
"""The last words, by protocol."""
