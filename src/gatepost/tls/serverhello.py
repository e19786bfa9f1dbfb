"""Reading what pyOpenSSL does not tell from the server's own plaintext flight: resumed or not, extended master secret.

The bytes are authenticated only by the Finished messages behind them, so nobody may act on this before the handshake is
complete; ``tls.evidence`` reads it afterwards.

* TLS 1.3 (RFC 8446 §4.1.3): resumed when the ServerHello selects a pre-shared key. A HelloRetryRequest is passed over.
* TLS 1.2 (RFC 5246 §7.3, RFC 5077 §3.1): resumed when no Certificate follows, but a ticket or ChangeCipherSpec.
* Extended master secret: RFC 7627 §5.1.
"""

from __future__ import annotations

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


class ServerHello(NamedTuple):
    """What the server answered: whether it resumed a session, and whether RFC 7627 is in force."""

    resumed: bool
    extended_master_secret: bool


def read_server_hello(flight: bytes | bytearray) -> ServerHello | None:
    """Read the server's plaintext flight from its beginning; None while it does not tell yet, or is not one at all."""
    messages = b""
    at = 0
    while at + 5 <= len(flight):
        kind = flight[at]
        end = at + 5 + (flight[at + 3] << 8 | flight[at + 4])
        if kind == _HANDSHAKE_RECORD:
            messages += flight[at + 5 : end]
            answer = _read(messages, changed=False)
        elif kind == _CHANGE_CIPHER_SPEC:
            answer = _read(messages, changed=True)
        else:
            return None
        if answer is not None:
            return answer
        at = end
    return None


def _read(messages: bytes, *, changed: bool) -> ServerHello | None:
    """Read handshake messages; ``changed`` says that a ChangeCipherSpec follows them."""
    at = 0
    while at + 4 <= len(messages) and messages[at] == _SERVER_HELLO:
        end = at + 4 + int.from_bytes(messages[at + 1 : at + 4])
        if end > len(messages) or end - at < 4 + 38:
            return None
        if messages[at + 6 : at + 38] == _RETRY:
            at = end
            continue
        extensions = _extensions(messages[at + 38 : end])
        if _SUPPORTED_VERSIONS in extensions:
            return ServerHello(_PRE_SHARED_KEY in extensions, True)
        master = _EXTENDED_MASTER_SECRET in extensions
        if end < len(messages):
            return ServerHello(messages[end] == _NEW_SESSION_TICKET, master)
        return ServerHello(True, master) if changed else None
    return None


def _extensions(rest: bytes) -> frozenset[int]:
    """The extension types behind a ServerHello's random: session id, suite and compression are passed over."""
    at = 1 + rest[0] + 3 + 2
    found: set[int] = set()
    while at + 4 <= len(rest):
        found.add(rest[at] << 8 | rest[at + 1])
        at += 4 + (rest[at + 2] << 8 | rest[at + 3])
    return frozenset(found)
