"""MySQL and MariaDB: the SSLRequest packet (MySQL internals, handshake v10). Inside TLS the client speaks first.

There is no go-ahead. The server greets; the client answers with an SSLRequest packet and at once with its ClientHello.
So a client refuses whatever stands behind the greeting, before it says a word; and a server takes behind the SSLRequest
the beginning of a ClientHello, and nothing else.

The greeting carries a challenge for the login. It came in the clear, and nothing that came in the clear crosses: a
client inside TLS names an authentication plugin and lets the server begin anew (AuthSwitchRequest), or uses one that
sends the password as it is. A server that wants to know its own challenge chooses it: ``ServerTerms.challenge``.
"""

from __future__ import annotations

from typing import Final

from gatepost.wire.dialogue import Dialogue, Send
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import REQUEST, Grant, grant
from gatepost.wire.recipes.recipe import (
    ClientTerms,
    Granted,
    PeerLeft,
    Recipe,
    ServerTerms,
    UnexpectedWords,
    UpgradeRefused,
)
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client

CLIENT_LONG_PASSWORD: Final = 0x1
CLIENT_PROTOCOL_41: Final = 0x200
CLIENT_SSL: Final = 0x800
CLIENT_TRANSACTIONS: Final = 0x2000
CLIENT_SECURE_CONNECTION: Final = 0x8000
CLIENT_PLUGIN_AUTH: Final = 0x80000
_CAPABILITIES: Final = (
    CLIENT_LONG_PASSWORD
    | CLIENT_PROTOCOL_41
    | CLIENT_SSL
    | CLIENT_TRANSACTIONS
    | CLIENT_SECURE_CONNECTION
    | CLIENT_PLUGIN_AUTH
)
_PACKET_LIMIT: Final = 1024  # octets of a greeting, or of an answer to one
_VERSION_LIMIT: Final = 256
_REQUEST_LENGTH: Final = 32
_UTF8MB4: Final = 45


def _packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((sequence,)) + payload


def _heard(conversation: Conversation, sequence: int, step: str) -> Dialogue[bytes]:
    """The payload of the next packet."""
    header = yield from conversation.octets(4, step)
    length = int.from_bytes(header[:3], "little")
    if header[3] != sequence or not 0 < length <= _PACKET_LIMIT:
        raise UnexpectedWords(f"the {step} is no packet that may stand there", header)
    return (yield from conversation.octets(length, step))


def _offers_tls(greeting: bytes) -> bool:
    """Read protocol::HandshakeV10; whether CLIENT_SSL is among the capabilities.

    :raises UnexpectedWords: when it is none.
    """
    end = greeting.find(b"\0", 1, 1 + _VERSION_LIMIT)
    # Behind the version: thread id 4, challenge 8, filler 1, capabilities 2; since version 4.1 there is more.
    if end < 0 or len(greeting) < end + 1 + 4 + 8 + 1 + 2 or greeting[end + 13] != 0:
        raise UnexpectedWords("the greeting is cut short", greeting)
    low = int.from_bytes(greeting[end + 14 : end + 16], "little")
    return bool(low & CLIENT_SSL and low & CLIENT_PROTOCOL_41)


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Greeting; SSLRequest, and at once the handshake."""
    conversation = Conversation(terms.seconds)
    greeting = yield from _heard(conversation, 0, "greeting")
    if greeting[0] == 0xFF:  # an error in place of a greeting: a code of two octets, and words
        raise UpgradeRefused("the server refused service", greeting[3:])
    if greeting[0] != 10:
        raise UnexpectedWords("the greeting is of another protocol version", greeting)
    if not _offers_tls(greeting):
        raise UpgradeRefused("the server does not list TLS among its capabilities")
    ready = hand_over_client(origin, conversation.residue())
    request = _CAPABILITIES.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + bytes((_UTF8MB4,)) + bytes(23)
    yield Send(_packet(1, request))
    return ready


def _greeting(challenge: bytes) -> bytes:
    """protocol::HandshakeV10 (MySQL internals)."""
    return (
        b"\x0a8.0.0-gatepost\0"
        + (1).to_bytes(4, "little")
        + challenge[:8]
        + b"\0"
        + (_CAPABILITIES & 0xFFFF).to_bytes(2, "little")
        + bytes((_UTF8MB4,))
        + (2).to_bytes(2, "little")  # status: autocommit
        + (_CAPABILITIES >> 16).to_bytes(2, "little")
        + bytes((21,))
        + bytes(10)
        + challenge[8:]
        + b"\0mysql_native_password\0"
    )


def _error(sequence: int, number: int, state: bytes, text: bytes) -> bytes:
    return _packet(sequence, b"\xff" + number.to_bytes(2, "little") + b"#" + state + text)


_GRANT: Final = Grant(b"", _error(2, 1043, b"08S01", b"Octets stood behind the SSLRequest"))
_TLS_FIRST: Final = _error(2, 3159, b"HY000", b"TLS first")  # ER_SECURE_TRANSPORT_REQUIRED
_NO_CHALLENGE: Final = b"gatepost-has-none!!!"


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """Greet; an SSLRequest is granted, any other answer is refused."""
    conversation = Conversation(terms.seconds)
    yield Send(_packet(0, _greeting(terms.challenge or _NO_CHALLENGE)))
    request = yield from _heard(conversation, 1, REQUEST)
    capabilities = int.from_bytes(request[:4], "little")
    if len(request) == _REQUEST_LENGTH and capabilities & CLIENT_SSL and capabilities & CLIENT_PROTOCOL_41:
        return (yield from grant(origin, conversation.residue(), _GRANT))
    yield Send(_TLS_FIRST)
    raise PeerLeft("the client did not ask for TLS")


MYSQL: Final = Recipe("mysql", 3306, None, _client, _server, summary="MySQL and MariaDB, SSLRequest packet")
