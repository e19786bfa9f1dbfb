"""IMAP: STARTTLS (RFC 9051 §6.2.1, RFC 3501 §6.2.1). Inside TLS the client speaks first; there is no second greeting.

A server may speak unasked, in untagged lines. Before a login those are status lines and capabilities, and all of them
are forgotten: the capabilities that count are asked for, in the clear only to see whether STARTTLS is among them.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import Grant, Leave, Say, Step, serve_lines
from gatepost.wire.recipes.recipe import (
    ClientTerms,
    Granted,
    Recipe,
    ServerTerms,
    UnexpectedWords,
    UpgradeRefused,
)
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client

# RFC 9051 §9: response-tagged, and of response-data what may come before a login: resp-cond-state, capability-data.
_STATUS: Final = re.compile(rb"(\*|[A-Za-z0-9]+) (OK|NO|BAD|BYE|PREAUTH)(?: .*)?", re.IGNORECASE | re.DOTALL)
_CAPABILITIES: Final = re.compile(rb"\* CAPABILITY((?: [!-~]+)+) ?", re.IGNORECASE)
# RFC 9051 §9: tag = 1*<any ASTRING-CHAR except "+">
_COMMAND: Final = re.compile(rb"([!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]{1,64}) ([A-Za-z]+)( .*)?", re.DOTALL)
_LITERAL: Final = re.compile(rb".*\{[0-9]+\+?\}", re.DOTALL)


def _greeting(conversation: Conversation) -> Dialogue[None]:
    line = yield from conversation.line("greeting")
    status = _STATUS.fullmatch(line)
    if status is None or status[1] != b"*" or status[2].upper() not in (b"OK", b"BYE", b"PREAUTH"):
        raise UnexpectedWords("that is no IMAP greeting", line)
    if status[2].upper() == b"PREAUTH":  # STARTTLS is not legal after a login (RFC 9051 §11.2: connections are dropped)
        raise UpgradeRefused("the server says that we are logged in already, so nothing can be upgraded", line)
    if status[2].upper() == b"BYE":
        raise UpgradeRefused("the server refused service", line)


def _completion(conversation: Conversation, tag: bytes, step: str) -> Dialogue[set[bytes]]:
    """Hear everything up to the tagged OK; the capabilities that were listed on the way."""
    listed: set[bytes] = set()
    while True:
        line = yield from conversation.line(step)
        if capabilities := _CAPABILITIES.fullmatch(line):
            listed.update(capabilities[1].upper().split())
            continue
        status = _STATUS.fullmatch(line)
        word = status[2].upper() if status is not None else b""
        if status is None or word == b"PREAUTH" or status[1] not in (b"*", tag):
            raise UnexpectedWords(f"this may not stand in the {step}", line)
        if word == b"BYE":
            raise UpgradeRefused("the server closes the connection", line)
        if status[1] == tag:
            if word != b"OK":
                raise UpgradeRefused(f"the server refused in the {step}", line)
            return listed


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Greeting, CAPABILITY, STARTTLS."""
    conversation = Conversation(terms.seconds, line_limit=8192)
    yield from _greeting(conversation)
    yield from conversation.ask(b"a1 CAPABILITY\r\n")
    listed = yield from _completion(conversation, b"a1", "reply to CAPABILITY")
    if b"STARTTLS" not in listed:
        raise UpgradeRefused("the server does not list STARTTLS")
    yield from conversation.ask(b"a2 STARTTLS\r\n")
    yield from _completion(conversation, b"a2", "reply to STARTTLS")
    return hand_over_client(origin, conversation.residue())


_CAPABILITY: Final = b"IMAP4rev1 STARTTLS LOGINDISABLED"


def _answer(line: bytes) -> Step:
    found = _COMMAND.fullmatch(line)
    if found is None or _LITERAL.fullmatch(line):  # the octets of a literal must never be read as commands
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
