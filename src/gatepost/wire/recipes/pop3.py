"""POP3: STLS (RFC 2595 §4, RFC 2449). Inside TLS the client speaks first; the greeting is not repeated."""

from __future__ import annotations

from typing import Final

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import Grant, Leave, Say, Step, serve_lines
from gatepost.wire.recipes.recipe import ClientTerms, Granted, Recipe, ServerTerms, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client


def _status(conversation: Conversation, step: str) -> Dialogue[None]:
    """Hear ``+OK`` (RFC 1939 §3)."""
    line = yield from conversation.line(step)
    word = line.split(b" ", 1)[0]
    if word == b"-ERR":
        raise UpgradeRefused(f"the server refused in the {step}", line)
    if word != b"+OK":
        raise UnexpectedWords(f"the {step} is neither +OK nor -ERR", line)


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Greeting, CAPA, STLS."""
    conversation = Conversation(terms.seconds)
    yield from _status(conversation, "greeting")
    yield from conversation.ask(b"CAPA\r\n")
    yield from _status(conversation, "reply to CAPA")
    offered = False
    while (line := (yield from conversation.line("reply to CAPA"))) != b".":
        offered |= line.upper() == b"STLS"
    if not offered:
        raise UpgradeRefused("the server does not list STLS")
    yield from conversation.ask(b"STLS\r\n")
    yield from _status(conversation, "reply to STLS")
    return hand_over_client(origin, conversation.residue())


_STEPS: Final[dict[bytes, Step]] = {
    b"CAPA": Say(b"+OK Capabilities follow\r\nSTLS\r\nIMPLEMENTATION gatepost\r\n.\r\n"),
    b"STLS": Grant(b"+OK Begin TLS\r\n", b"-ERR [SYS/PERM] Octets stood behind STLS\r\n"),
    b"QUIT": Leave(b"+OK Bye\r\n"),
}
_TLS_FIRST: Final = Say(b"-ERR [SYS/PERM] TLS first: STLS\r\n", fault=True)


def _answer(line: bytes) -> Step:
    return _STEPS.get(line.rstrip(b" ").upper(), _TLS_FIRST)


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """CAPA, STLS and QUIT; nothing else before TLS."""
    greeting = b"+OK %b POP3 ready\r\n" % terms.hostname.encode("ascii")
    farewell = b"-ERR [SYS/PERM] That is enough\r\n"
    return (yield from serve_lines(origin, Conversation(terms.seconds), greeting, _answer, farewell))


POP3: Final = Recipe("pop3", 110, 995, _client, _server, alpn=("pop3",), summary="POP3, STLS (RFC 2595)")
