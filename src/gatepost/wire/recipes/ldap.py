"""LDAP: the StartTLS extended operation (RFC 4511 §4.14). The client speaks first, in the clear and inside TLS.

Only this one message is understood. Whether a server offers StartTLS is told by its answer: ``protocolError`` if not.
"""

from __future__ import annotations

from typing import Final

from gatepost.wire.dialogue import Dialogue, Send
from gatepost.wire.recipes import ber
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import FAULTS_LIMIT, REQUEST, Grant, grant
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

STARTTLS: Final = b"1.3.6.1.4.1.1466.20037"
_DISCONNECTION: Final = b"1.3.6.1.4.1.1466.20036"  # RFC 4511 §4.4.1: the one message that a server sends unasked
_LIMIT: Final = 16384  # octets of a message

_UNBIND: Final = 0x42
_ABANDON: Final = 0x50
_EXTENDED: Final = 0x77
_EXTENDED_RESPONSE: Final = 0x78
# RFC 4511 §4.2 to §4.12: what each request is answered with
_RESPONSES: Final = {
    0x60: 0x61,  # bind
    0x63: 0x65,  # search: SearchResultDone
    0x66: 0x67,  # modify
    0x68: 0x69,  # add
    0x4A: 0x6B,  # delete
    0x6C: 0x6D,  # modify DN
    0x6E: 0x6F,  # compare
    _EXTENDED: _EXTENDED_RESPONSE,
}
_CONTROLS: Final = 0xA0
_REQUEST_NAME: Final = 0x80
_RESPONSE_NAME: Final = 0x8A
_RESPONSE_VALUE: Final = 0x8B
_REFERRAL: Final = 0xA3

# RFC 4511 §4.1.9
_SUCCESS: Final = 0
_OPERATIONS_ERROR: Final = 1
_UNAVAILABLE_CRITICAL_EXTENSION: Final = 12
_CONFIDENTIALITY_REQUIRED: Final = 13
_BUSY: Final = 51
_UNAVAILABLE: Final = 52
_RESULTS: Final = {1: "operationsError", 2: "protocolError", 10: "referral", 51: "busy", 52: "unavailable"}


def _message(conversation: Conversation, step: str) -> Dialogue[tuple[int, int, bytes, bytes]]:
    """The next LDAPMessage (RFC 4511 §4.1.1): its id, its operation as tag and content, and its controls."""
    parts = ber.elements((yield from ber.message(conversation, _LIMIT, step)))
    tags = [tag for tag, _ in parts]
    if len(parts) not in (2, 3) or tags[0] != ber.INTEGER or tags[2:] not in ([], [_CONTROLS]):
        raise UnexpectedWords(f"the {step} is no LDAP message")
    return ber.number(parts[0][1]), tags[1], parts[1][1], parts[2][1] if len(parts) == 3 else b""


def _result(content: bytes) -> tuple[int, bytes, bytes | None]:
    """Of an ExtendedResponse (RFC 4511 §4.12): result code, diagnostic message, name."""
    parts = ber.elements(content)
    tags = [tag for tag, _ in parts]
    optional = [tag for tag in (_REFERRAL, _RESPONSE_NAME, _RESPONSE_VALUE) if tag in tags]
    if tags != [ber.ENUMERATED, ber.OCTET_STRING, ber.OCTET_STRING, *optional]:
        raise UnexpectedWords("that is no extended response", content)
    return ber.number(parts[0][1]), parts[2][1], dict(parts).get(_RESPONSE_NAME)


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """StartTLS."""
    conversation = Conversation(terms.seconds)
    request = ber.element(_EXTENDED, ber.element(_REQUEST_NAME, STARTTLS))
    yield from conversation.ask(ber.element(ber.SEQUENCE, ber.integer(1), request))
    identity, operation, content, _ = yield from _message(conversation, "reply to StartTLS")
    if operation != _EXTENDED_RESPONSE:
        raise UnexpectedWords("the reply to StartTLS is of another operation")
    code, words, name = _result(content)
    if identity == 0 and name == _DISCONNECTION:
        raise UpgradeRefused("the server closes the connection", words or b"notice of disconnection")
    if identity != 1 or name not in (None, STARTTLS):
        raise UnexpectedWords("the reply to StartTLS is a reply to something else")
    if code != _SUCCESS:
        said = f"{_RESULTS.get(code, 'result')} ({code}) ".encode() + words
        raise UpgradeRefused("the server refused StartTLS", said.rstrip(), temporary=code in (_BUSY, _UNAVAILABLE))
    return hand_over_client(origin, conversation.residue())


def _response(identity: int, operation: int, code: int, words: bytes, *more: bytes) -> bytes:
    result = (ber.integer(code, ber.ENUMERATED), ber.element(ber.OCTET_STRING), ber.element(ber.OCTET_STRING, words))
    return ber.element(ber.SEQUENCE, ber.integer(identity), ber.element(operation, *result, *more))


def _critical(controls: bytes) -> bool:
    """Whether one of the controls must be understood: we know none (RFC 4511 §4.1.11)."""
    for tag, control in ber.elements(controls):
        if tag != ber.SEQUENCE:
            raise UnexpectedWords("that is no control", controls)
        if any(tag == ber.BOOLEAN and value != b"\0" for tag, value in ber.elements(control)):
            return True
    return False


def _disconnection() -> bytes:
    name = ber.element(_RESPONSE_NAME, _DISCONNECTION)
    return _response(0, _EXTENDED_RESPONSE, 2, b"That is no LDAP that may stand before TLS", name)


def _request(conversation: Conversation) -> Dialogue[tuple[int, bytes | None]]:
    """The next request: its id and None for StartTLS, or the answer to any other."""
    identity, operation, content, controls = yield from _message(conversation, REQUEST)
    if operation == _UNBIND:
        raise PeerLeft("the client left without asking for TLS")
    if operation == _ABANDON:
        return identity, b""
    response = _RESPONSES.get(operation)
    if response is None or identity == 0:
        raise UnexpectedWords("a request that LDAP does not have")
    if _critical(controls):
        return identity, _response(identity, response, _UNAVAILABLE_CRITICAL_EXTENSION, b"")
    if operation == _EXTENDED and ber.elements(content) == [(_REQUEST_NAME, STARTTLS)]:
        return identity, None
    return identity, _response(identity, response, _CONFIDENTIALITY_REQUIRED, b"TLS first: StartTLS")


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """StartTLS and unbind; all other requests are answered with confidentialityRequired."""
    conversation = Conversation(terms.seconds)
    for _ in range(FAULTS_LIMIT + 1):
        try:
            identity, answer = yield from _request(conversation)
        except UnexpectedWords:
            yield Send(_disconnection())
            raise
        if answer is None:
            name = ber.element(_RESPONSE_NAME, STARTTLS)
            behind = b"Octets stood behind StartTLS"  # RFC 4511 §4.14.2
            step = Grant(
                _response(identity, _EXTENDED_RESPONSE, _SUCCESS, b"", name),
                _response(identity, _EXTENDED_RESPONSE, _OPERATIONS_ERROR, behind, name),
            )
            return (yield from grant(origin, conversation.residue(), step))
        yield Send(answer)
    yield Send(_disconnection())
    raise UnexpectedWords("the client does not stop sending what has no place before TLS")


LDAP: Final = Recipe("ldap", 389, 636, _client, _server, summary="LDAP, StartTLS (RFC 4511)")
