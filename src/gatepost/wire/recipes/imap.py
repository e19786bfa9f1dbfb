"""IMAP: STARTTLS (RFC 9051 §6.2.1, RFC 3501 §6.2.1). Inside TLS the client speaks first; there is no second greeting.

A server may speak unasked, in untagged lines. Before a login those are status lines and capabilities, and all of them
are forgotten: the capabilities that count are asked for, in the clear only to see whether STARTTLS is among them.
"""

from __future__ import annotations

from typing import Final

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.imap.client import completion, greeting
from gatepost.wire.imap.grammar import COMMAND, NotALiteral, announced
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import Grant, Leave, Say, Step, serve_lines
from gatepost.wire.recipes.recipe import (
    ClientTerms,
    Granted,
    Recipe,
    ServerTerms,
    UpgradeRefused,
)
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Greeting, CAPABILITY, STARTTLS."""
    conversation = Conversation(terms.seconds, line_limit=8192)
    yield from greeting(conversation)
    yield from conversation.ask(b"a1 CAPABILITY\r\n")
    listed = yield from completion(conversation, b"a1", "reply to CAPABILITY")
    if b"STARTTLS" not in {word.upper() for word in listed}:
        raise UpgradeRefused("the server does not list STARTTLS")
    yield from conversation.ask(b"a2 STARTTLS\r\n")
    yield from completion(conversation, b"a2", "reply to STARTTLS")
    return hand_over_client(origin, conversation.residue())


_CAPABILITY: Final = b"IMAP4rev1 STARTTLS LOGINDISABLED"


def _announces(line: bytes) -> bool:
    try:
        return announced(line) is not None
    except NotALiteral:
        return True


def _answer(line: bytes) -> Step:
    found = COMMAND.fullmatch(line)
    if found is None or _announces(line):  # the octets of a literal must never be read as commands
        return Leave(b"* BYE TLS first: STARTTLS\r\n")
    tag, verb, arguments = found[1], found[2].upper(), found[3]
    if arguments is None:
        if verb == b"CAPABILITY":
            return Say(b"* CAPABILITY %b\r\n%b OK Capability completed\r\n" % (_CAPABILITY, tag))
        if verb == b"NOOP":
            return Say(b"%b OK Noop completed\r\n" % tag)
        if verb == b"LOGOUT":
            return Leave(b"* BYE Logging out\r\n%b OK Logout completed\r\n" % tag)
        if verb == b"STARTTLS":
            refusal = b"%b BAD Octets stood behind STARTTLS\r\n* BYE Closing\r\n" % tag
            return Grant(b"%b OK Begin TLS negotiation now\r\n" % tag, refusal)
    if verb == b"ID":  # RFC 2971: says who one is, and is said first by many
        return Say(b"* ID NIL\r\n%b OK Id completed\r\n" % tag)
    return Say(b"%b BAD TLS first: STARTTLS\r\n" % tag, fault=True)


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """CAPABILITY, NOOP, ID, LOGOUT and STARTTLS; nothing else before TLS."""
    name = terms.hostname.encode("ascii")
    greeting = b"* OK [CAPABILITY %b] %b IMAP ready\r\n" % (_CAPABILITY, name)
    farewell = b"* BYE That is enough\r\n"
    return (yield from serve_lines(origin, Conversation(terms.seconds, line_limit=8192), greeting, _answer, farewell))


IMAP: Final = Recipe("imap", 143, 993, _client, _server, alpn=("imap",), summary="IMAP, STARTTLS (RFC 9051)")
