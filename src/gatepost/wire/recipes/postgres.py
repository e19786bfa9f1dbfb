"""PostgreSQL: SSLRequest (PostgreSQL manual, §54.2.10 and §54.7). The client speaks first, in the clear and inside TLS.

The go-ahead is one octet, ``S``. What stands behind the request or behind that octet was once taken for what came
through TLS (CVE-2021-23214 in a server, CVE-2021-23222 in a client): here it goes through the one door and is refused.
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

_SSL: Final = (80877103).to_bytes(4)
_GSSENC: Final = (80877104).to_bytes(4)
_CANCEL: Final = (80877102).to_bytes(4)
SSL_REQUEST: Final = (8).to_bytes(4) + _SSL
_GSSENC_REQUEST: Final = (8).to_bytes(4) + _GSSENC


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """SSLRequest; ``S``."""
    conversation = Conversation(terms.seconds)
    yield from conversation.ask(SSL_REQUEST)
    answer = yield from conversation.octets(1, "reply to SSLRequest")
    if answer == b"N":
        raise UpgradeRefused("the server does not do TLS", answer)
    if answer == b"E":  # an ErrorResponse: nobody vouches for its text, so it is not shown (CVE-2024-10977)
        raise UpgradeRefused("the server answered SSLRequest with an error")
    if answer != b"S":
        raise UnexpectedWords("the reply to SSLRequest is neither S nor N", answer)
    return hand_over_client(origin, conversation.residue())


def _error(code: bytes, text: bytes) -> bytes:
    """An ErrorResponse: severity, SQLSTATE, message (PostgreSQL manual, §54.8)."""
    fields = b"SFATAL\0VFATAL\0C%b\0M%b\0\0" % (code, text)
    return b"E" + (len(fields) + 4).to_bytes(4) + fields


_GRANT: Final = Grant(b"S", _error(b"08P01", b"received unencrypted data after SSL request"))
_TLS_FIRST: Final = _error(b"28000", b"TLS first: send an SSLRequest")


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """SSLRequest is granted, GSSENCRequest answered with ``N``, once; anything else ends the connection."""
    conversation = Conversation(terms.seconds)
    request = yield from conversation.octets(8, REQUEST)
    if request == _GSSENC_REQUEST:  # psql asks for it first where it has Kerberos credentials
        yield Send(b"N")
        request = yield from conversation.octets(8, REQUEST)
    if request == SSL_REQUEST:
        return (yield from grant(origin, conversation.residue(), _GRANT))
    if request[4:] == _CANCEL:  # a cancel request is never answered
        raise PeerLeft("the client asks in the clear to cancel something")
    if request[4:6] == b"\0\3":  # a startup message: version 3
        yield Send(_TLS_FIRST)
        raise PeerLeft("the client did not ask for TLS")
    raise UnexpectedWords("that is no message of PostgreSQL", request)


POSTGRES: Final = Recipe(
    "postgres", 5432, None, _client, _server, alpn=("postgresql",), summary="PostgreSQL, SSLRequest"
)
