"""The lines that a client writes in a SASL exchange, in SMTP as in POP3 (RFC 4954 §4, RFC 5034 §4)."""

from __future__ import annotations

import binascii
import re
from typing import Final

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.exchange import command

MECHANISM: Final = re.compile(r"[A-Z0-9_-]{1,20}")
"""The name of a mechanism (RFC 4422 §3.1)."""

AUTH_LINE_LIMIT: Final = 12288  # octets; RFC 4954 §4


def auth_command(mechanism: str, initial: bytes | None) -> bytes:
    """AUTH, with or without an initial response.

    :param initial: decoded; None when there is none.
    :raises LocalProtocolError: for a name that no mechanism has, or a response that is too long for a line.
    """
    if not MECHANISM.fullmatch(mechanism):
        raise LocalProtocolError("no mechanism has such a name")
    if initial is None:
        return command(f"AUTH {mechanism}")
    encoded = binascii.b2a_base64(initial, newline=False).decode("ascii")
    return command(f"AUTH {mechanism} {encoded or '='}", limit=AUTH_LINE_LIMIT)  # "=" is the empty initial response


def response_line(response: bytes) -> bytes:
    """The answer to a challenge.

    :raises LocalProtocolError: when it is too long for a line.
    """
    line = binascii.b2a_base64(response, newline=False) + b"\r\n"
    if len(line) > AUTH_LINE_LIMIT:
        raise LocalProtocolError("a SASL response is longer than a line may be (RFC 4954 §4)")
    return line
