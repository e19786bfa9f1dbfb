"""FTP, the control connection: AUTH TLS (RFC 4217 §4, RFC 2228, RFC 2389). Inside TLS the client speaks first.

Data connections are another matter (PBSZ and PROT, inside TLS), and not one of an upgrade.
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
    Greeting,
    Recipe,
    ServerTerms,
    UnexpectedWords,
    UpgradeRefused,
)
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client

_REPLY: Final = re.compile(rb"([1-6][0-9][0-9])([ -]).*|([1-6][0-9][0-9])", re.DOTALL)  # RFC 959 §4.2
_UNKNOWN: Final = (500, 502)  # FEAT is not understood: whether there is TLS is told by the answer to AUTH (RFC 4217 §6)
_AUTH_TLS: Final = re.compile(rb" AUTH (?:[^ ]*;)?TLS(?:;.*)?", re.IGNORECASE)  # `AUTH TLS`, or a list as `SSL;TLS;`


def _reply(conversation: Conversation, step: str) -> Dialogue[tuple[int, bytes, list[bytes]]]:
    """Hear a reply, of one line or several (RFC 959 §4.2): its code, its first line, and the lines between."""
    first = yield from conversation.line(step)
    found = _REPLY.fullmatch(first)
    if found is None:
        raise UnexpectedWords(f"the {step} has no code", first)
    between: list[bytes] = []
    if found[2] == b"-":
        while not ((line := (yield from conversation.line(step))).startswith(found[1] + b" ") or line == found[1]):
            between.append(line)
    return int(found[1] or found[3]), first, between


def _refuse(code: int, line: bytes, step: str) -> None:
    """Raise what a reply means that is not the one hoped for."""
    if code in (421, *range(400, 600)):
        raise UpgradeRefused(f"the server refused in the {step}", line, temporary=code < 500)
    raise UnexpectedWords(f"the {step} makes no sense", line)


def _greeted(conversation: Conversation) -> Dialogue[None]:
    """Hear the greeting."""
    code, line, _ = yield from _reply(conversation, "greeting")
    if code == 120:  # "service ready in nnn minutes": the greeting follows
        code, line, _ = yield from _reply(conversation, "greeting")
    if code != 220:
        _refuse(code, line, "greeting")


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """Greeting, FEAT, AUTH TLS."""
    conversation = Conversation(terms.seconds)
    yield from _greeted(conversation)
    yield from conversation.ask(b"FEAT\r\n")
    code, line, features = yield from _reply(conversation, "reply to FEAT")
    if code == 211 and not any(_AUTH_TLS.fullmatch(feature) for feature in features):
        raise UpgradeRefused("the server does not list AUTH TLS")
    if code not in (211, 530, *_UNKNOWN):
        _refuse(code, line, "reply to FEAT")
    yield from conversation.ask(b"AUTH TLS\r\n")
    code, line, _ = yield from _reply(conversation, "reply to AUTH TLS")
    if code != 234:
        _refuse(code, line, "reply to AUTH TLS")
    return hand_over_client(origin, conversation.residue())


_GRANT: Final = Grant(b"234 Begin TLS negotiation\r\n", b"421 Octets stood behind AUTH TLS\r\n")
_STEPS: Final[dict[bytes, Step]] = {
    b"FEAT": Say(b"211-Features\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n"),
    b"NOOP": Say(b"200 Ok\r\n"),
    b"AUTH TLS": _GRANT,
    b"AUTH TLS-C": _GRANT,  # RFC 4217 §17: the same word
    b"QUIT": Leave(b"221 Bye\r\n"),
}
_TLS_FIRST: Final = Say(b"530 TLS first: AUTH TLS\r\n", fault=True)


def _answer(line: bytes) -> Step:
    words = b" ".join(line.upper().split())
    if words.startswith(b"AUTH ") and words not in _STEPS:
        return Say(b"504 No other mechanism than TLS\r\n", fault=True)  # RFC 2228 §3
    return _STEPS.get(words, _TLS_FIRST)


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """FEAT, NOOP, AUTH TLS and QUIT; nothing else before TLS."""
    farewell = b"421 That is enough\r\n"
    return (yield from serve_lines(origin, Conversation(terms.seconds), _say(terms.hostname), _answer, farewell))


def _hear(seconds: float) -> Dialogue[bytes]:
    conversation = Conversation(seconds)
    yield from _greeted(conversation)
    return conversation.residue()


def _say(hostname: str) -> bytes:
    return b"220 %b FTP ready\r\n" % hostname.encode("ascii")


FTP: Final = Recipe(
    "ftp", 21, 990, _client, _server, alpn=("ftp",), summary="FTP control connection, AUTH TLS (RFC 4217)",
    greeting=Greeting(_hear, _say),
)  # fmt: skip
