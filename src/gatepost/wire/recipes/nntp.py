"""NNTP: STARTTLS (RFC 4642, RFC 3977). Inside TLS the client speaks first; the greeting is not repeated."""

from __future__ import annotations

import re
from typing import Final

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import Grant, Leave, Say, Step, serve_lines
from gatepost.wire.recipes.recipe import (
    ClientTerms,
    Granted,
    Greeting,
    Recipe,
    ServerTerms,
    UnexpectedWords,
    UpgradeRefused,
)
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client

_RESPONSE: Final = re.compile(rb"([1-5][0-9][0-9])(?: .*)?", re.DOTALL)  # RFC 3977 §9.4.1: initial-response-line


def _code(conversation: Conversation, step: str, *expected: int) -> Dialogue[None]:
    """Hear one of the expected codes."""
    line = yield from conversation.line(step)
    found = _RESPONSE.fullmatch(line)
    if found is None:
        raise UnexpectedWords(f"the {step} has no code", line)
    code = int(found[1])
    if code >= 400:
        raise UpgradeRefused(f"the server refused in the {step}", line, temporary=code < 500)
    if code not in expected:
        raise UnexpectedWords(f"the {step} makes no sense", line)


def _capabilities(conversation: Conversation) -> Dialogue[set[bytes]]:
    """CAPABILITIES: the first word of each line (RFC 3977 §5.2)."""
    yield from conversation.ask(b"CAPABILITIES\r\n")
    yield from _code(conversation, "reply to CAPABILITIES", 101)
    listed: set[bytes] = set()
    while (line := (yield from conversation.line("reply to CAPABILITIES"))) != b".":
        listed.add(line.split(b" ", 1)[0].upper())
    return listed


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Greeting, CAPABILITIES, STARTTLS. A server for news transit is asked for its reader side (RFC 3977 §5.3)."""
    conversation = Conversation(terms.seconds)
    yield from _code(conversation, "greeting", 200, 201)
    listed = yield from _capabilities(conversation)
    if b"STARTTLS" not in listed and b"MODE-READER" in listed:
        yield from conversation.ask(b"MODE READER\r\n")
        yield from _code(conversation, "reply to MODE READER", 200, 201)
        listed = yield from _capabilities(conversation)
    if b"STARTTLS" not in listed:
        raise UpgradeRefused("the server does not list STARTTLS")
    yield from conversation.ask(b"STARTTLS\r\n")
    yield from _code(conversation, "reply to STARTTLS", 382)
    return hand_over_client(origin, conversation.residue())


_STEPS: Final[dict[bytes, Step]] = {
    b"CAPABILITIES": Say(b"101 Capabilities follow\r\nVERSION 2\r\nIMPLEMENTATION gatepost\r\nSTARTTLS\r\n.\r\n"),
    b"MODE READER": Say(b"201 Reader, posting prohibited\r\n"),  # many readers say it before anything else
    b"STARTTLS": Grant(b"382 Continue with TLS negotiation\r\n", b"400 Octets stood behind STARTTLS\r\n"),
    b"QUIT": Leave(b"205 Bye\r\n"),
}
_TLS_FIRST: Final = Say(b"483 TLS first: STARTTLS\r\n", fault=True)  # RFC 4642 §2.2.2


def _answer(line: bytes) -> Step:
    return _STEPS.get(b" ".join(line.upper().split()), _TLS_FIRST)


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """CAPABILITIES, MODE READER, STARTTLS and QUIT; nothing else before TLS."""
    greeting = b"201 %b NNTP ready, posting prohibited\r\n" % terms.hostname.encode("ascii")
    farewell = b"400 That is enough\r\n"
    return (yield from serve_lines(origin, Conversation(terms.seconds), greeting, _answer, farewell))


def _hear(seconds: float) -> Dialogue[bytes]:
    conversation = Conversation(seconds)
    yield from _code(conversation, "greeting", 200, 201)
    return conversation.residue()


def _say(hostname: str) -> bytes:
    return b"200 %b NNTP ready\r\n" % hostname.encode("ascii")


NNTP: Final = Recipe(
    "nntp", 119, 563, _client, _server, alpn=("nntp",), summary="NNTP, STARTTLS (RFC 4642)",
    greeting=Greeting(_hear, _say),
)  # fmt: skip
