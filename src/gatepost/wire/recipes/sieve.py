"""ManageSieve: STARTTLS (RFC 5804 §2.2). Inside TLS the **server** speaks first: it lists its capabilities again.

What a server says is lines whose last word may be a literal: ``{5}``, CRLF, five octets (RFC 5804 §4: literal-s2c).
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import Grant, Leave, Say, Step, serve_lines
from gatepost.wire.recipes.recipe import ClientTerms, Granted, Recipe, ServerTerms, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client

_LITERAL: Final = re.compile(rb"(?:.*[ (])?\{([0-9]+)\+?\}")
_LITERAL_LIMIT: Final = 4096  # octets
_NOOP: Final = re.compile(rb'NOOP ("[ !#-\[\]-~]{0,64}")', re.IGNORECASE)
_LITERALS: Final = 64  # of one response
# RFC 5804 §4: response-capability = *( string [SP string] CRLF ) response-oknobye
_STATUS: Final = re.compile(rb"(OK|NO|BYE)(?: .*)?", re.IGNORECASE | re.DOTALL)
_CAPABILITY: Final = re.compile(rb'"([^"\\]*)"(?: .*)?', re.DOTALL)


def _response(conversation: Conversation, step: str) -> Dialogue[set[bytes]]:
    """Hear capabilities up to ``OK``; their names. A literal is heard to its end, and what it says dropped."""
    listed: set[bytes] = set()
    literals = 0
    while True:
        line = whole = yield from conversation.line(step)
        while literal := _LITERAL.fullmatch(line):
            literals += 1
            if literals > _LITERALS or int(literal[1]) > _LITERAL_LIMIT:
                raise UnexpectedWords(f"too many or too long literals in the {step}", line)
            yield from conversation.octets(int(literal[1]), step)
            line = yield from conversation.line(step)
        if status := _STATUS.fullmatch(whole):
            if status[1].upper() == b"OK":
                return listed
            raise UpgradeRefused(f"the server refused in the {step}", whole)
        capability = _CAPABILITY.fullmatch(whole)
        if capability is None:
            raise UnexpectedWords(f"this may not stand in the {step}", whole)
        listed.add(capability[1].upper())


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Capabilities, STARTTLS."""
    conversation = Conversation(terms.seconds)
    listed = yield from _response(conversation, "greeting")
    if b"STARTTLS" not in listed:
        raise UpgradeRefused("the server does not list STARTTLS")
    yield from conversation.ask(b"STARTTLS\r\n")
    if (yield from _response(conversation, "reply to STARTTLS")):
        raise UnexpectedWords("the reply to STARTTLS lists capabilities, which belong inside TLS")
    return hand_over_client(origin, conversation.residue())


_CAPABILITIES: Final = (
    b'"IMPLEMENTATION" "gatepost"\r\n"SIEVE" ""\r\n"SASL" ""\r\n"STARTTLS"\r\n"VERSION" "1.0"\r\nOK "TLS first"\r\n'
)
_STEPS: Final[dict[bytes, Step]] = {
    b"CAPABILITY": Say(_CAPABILITIES),
    b"NOOP": Say(b'OK "Done"\r\n'),  # RFC 5804 §2.13, and with a tag below
    b"STARTTLS": Grant(b'OK "Begin TLS negotiation now"\r\n', b'BYE "Octets stood behind STARTTLS"\r\n'),
    b"LOGOUT": Leave(b'OK "Bye"\r\n'),
}
_TLS_FIRST: Final = Say(b'NO (ENCRYPT-NEEDED) "TLS first: STARTTLS"\r\n', fault=True)  # RFC 5804 §1.3


def _answer(line: bytes) -> Step:
    if line.endswith(b"}"):  # the octets of a literal must never be read as commands
        return Leave(b'BYE "TLS first: STARTTLS"\r\n')
    if tagged := _NOOP.fullmatch(line):
        return Say(b'OK (TAG %b) "Done"\r\n' % tagged[1])
    return _STEPS.get(line.upper(), _TLS_FIRST)


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """CAPABILITY, NOOP, LOGOUT and STARTTLS; nothing else before TLS."""
    farewell = b'BYE "That is enough"\r\n'
    return (yield from serve_lines(origin, Conversation(terms.seconds), _CAPABILITIES, _answer, farewell))


SIEVE: Final = Recipe(
    "sieve", 4190, None, _client, _server, alpn=("managesieve",),
    summary="ManageSieve, STARTTLS (RFC 5804); inside TLS the server speaks first",
)  # fmt: skip
