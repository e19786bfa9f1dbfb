"""Reading what pyOpenSSL does not tell from the server's own plaintext flight: resumed or not, extended master secret.

The bytes are authenticated only by the Finished messages behind them, so nobody may act on this before the handshake is
complete; ``tls.evidence`` reads it afterwards.

* TLS 1.3 (RFC 8446 §4.1.3): resumed when the ServerHello selects a pre-shared key. A HelloRetryRequest is passed over.
* TLS 1.2 (RFC 5246 §7.3, RFC 5077 §3.1): resumed when no Certificate follows, but a ticket or ChangeCipherSpec.
* Extended master secret: RFC 7627 §5.1.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

_CHANGE_CIPHER_SPEC: Final = 20
_HANDSHAKE_RECORD: Final = 22
_SERVER_HELLO: Final = 2
_NEW_SESSION_TICKET: Final = 4
_EXTENDED_MASTER_SECRET: Final = 23
_PRE_SHARED_KEY: Final = 41
_SUPPORTED_VERSIONS: Final = 43
# RFC 8446 §4.1.3: SHA-256 of "HelloRetryRequest", in place of the server's random
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_MESSAGE_HEADER: Final = 4
_SHORTEST_BODY: Final = 38  # version, random, an empty session id, cipher suite, compression
_two_numbers = Struct(">HH").unpack_from


class ServerHello(NamedTuple):
    """What the server answered.

    :param resumed: whether it resumed a session.
    :param extended_master_secret: whether RFC 7627 is in force; TLS 1.3 always binds its secrets so.
    :param tls13: whether it chose TLS 1.3.
    :param retried: whether a HelloRetryRequest stood before it.
    """

    resumed: bool
    extended_master_secret: bool
    tls13: bool
    retried: bool


def read_server_hello(flight: bytes | bytearray) -> ServerHello | None:
    """Read the server's plaintext flight from its beginning; None while it does not tell yet, or is not one at all."""
    messages: bytes | bytearray = b""
    at = 0
    while at + 5 <= len(flight):
        kind = flight[at]
        end = at + 5 + (flight[at + 3] << 8 | flight[at + 4])
        if kind == _HANDSHAKE_RECORD:
            messages = messages + flight[at + 5 : end] if messages else flight[at + 5 : end]
        elif kind != _CHANGE_CIPHER_SPEC:
            return None
        answer = _read(messages, changed=kind == _CHANGE_CIPHER_SPEC)
        if answer is not None:
            return answer
        at = end
    return None


def _read(messages: bytes | bytearray, *, changed: bool) -> ServerHello | None:
    """Read handshake messages; ``changed`` says that a ChangeCipherSpec follows them."""
    at = 0
    retried = False
    while at + _MESSAGE_HEADER <= len(messages) and messages[at] == _SERVER_HELLO:
        end = at + _MESSAGE_HEADER + (messages[at + 1] << 16 | messages[at + 2] << 8 | messages[at + 3])
        if end > len(messages) or end - at < _MESSAGE_HEADER + _SHORTEST_BODY:
            return None
        if messages[at + 6 : at + 38] == _RETRY:
            at, retried = end, True
            continue
        hello = _fields(messages, at + 38, end, retried=retried)
        if hello.tls13:
            return hello
        if end < len(messages):
            return hello._replace(resumed=messages[end] == _NEW_SESSION_TICKET)
        return hello._replace(resumed=True) if changed else None
    return None


def _fields(messages: bytes | bytearray, at: int, end: int, *, retried: bool) -> ServerHello:
    """Read what stands behind the random: session id, suite, compression, extensions."""
    resumed = master = tls13 = False
    at += 1 + messages[at] + 5
    while at + 4 <= end:
        kind, length = _two_numbers(messages, at)
        if kind == _SUPPORTED_VERSIONS:
            tls13 = master = True
        elif kind == _PRE_SHARED_KEY:
            resumed = True
        elif kind == _EXTENDED_MASTER_SECRET:
            master = True
        at += 4 + length
    return ServerHello(resumed, master, tls13, retried)
