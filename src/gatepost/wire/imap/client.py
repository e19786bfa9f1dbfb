"""The way to a server behind, up to where a client's commands may pass: greeting, TLS if asked for, capabilities.

What a server says in the clear before STARTTLS is heard and forgotten: its greeting and its capabilities are asked for
again inside TLS, by a conversation of its own (RFC 9051 §6.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

from gatepost.wire.dialogue import Dialogue, Send, upgrade
from gatepost.wire.imap.grammar import CAPABILITY_CODE, CAPABILITY_LINE, STATUS
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.recipe import ClientHalf, ClientTerms, PeerLeft, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import Origin

LINE_LIMIT: Final = 8192


@final
@dataclass(frozen=True, slots=True)
class Opening:
    """A server that is ready, and nobody is logged in.

    :param greeting: its greeting, CRLF included; empty where it was said before TLS, and so by nobody we know.
    :param capabilities: what it lists, as it lists it.
    :param residue: what it said beyond that, in the same security layer.
    """

    greeting: bytes
    capabilities: tuple[bytes, ...]
    residue: bytes = field(default=b"", repr=False)

    @property
    def listed(self) -> tuple[bytes, ...]:
        """The capabilities in upper case."""
        return tuple(word.upper() for word in self.capabilities)


def greeting(conversation: Conversation) -> Dialogue[bytes]:
    """Hear the greeting, and return its line (RFC 9051 §7.1).

    :raises UnexpectedWords: when it is none.
    :raises UpgradeRefused: for PREAUTH, where nobody is to be logged in yet, and for BYE.
    """
    line = yield from conversation.line("greeting")
    status = STATUS.fullmatch(line)
    word = status[2].upper() if status is not None and status[1] == b"*" else b""
    if word not in (b"OK", b"BYE", b"PREAUTH"):
        raise UnexpectedWords("that is no IMAP greeting", line)
    if word == b"PREAUTH":  # STARTTLS is not legal after a login (RFC 9051 §11.2: connections are dropped)
        raise UpgradeRefused("the server says that we are logged in already, so nothing can be upgraded", line)
    if word == b"BYE":
        raise UpgradeRefused("the server refused service", line)
    return line


def completion(conversation: Conversation, tag: bytes, step: str) -> Dialogue[tuple[bytes, ...]]:
    """Hear everything up to the tagged OK; the capabilities that were listed on the way.

    :raises UnexpectedWords: for what may not stand before a login.
    :raises UpgradeRefused: when the server refuses, or says goodbye.
    """
    listed: dict[bytes, None] = {}
    while True:
        line = yield from conversation.line(step)
        if capabilities := CAPABILITY_LINE.fullmatch(line):
            listed.update(dict.fromkeys(capabilities[2].split()))
            continue
        status = STATUS.fullmatch(line)
        word = status[2].upper() if status is not None else b""
        if status is None or word == b"PREAUTH" or status[1] not in (b"*", tag):
            raise UnexpectedWords(f"this may not stand in the {step}", line)
        if word == b"BYE":
            raise UpgradeRefused("the server closes the connection", line)
        if status[1] == tag:
            if word != b"OK":
                raise UpgradeRefused(f"the server refused in the {step}", line)
            return tuple(listed)


def open_here(seconds: float) -> Dialogue[Opening]:
    """Hear the greeting, and ask for the capabilities that it does not list.

    :param seconds: for each step.
    :raises RemoteProtocolError: when the server does not speak IMAP, refuses service, or has us logged in already: a
        client that has not logged in would be whoever we are.
    """
    conversation = Conversation(seconds, line_limit=LINE_LIMIT)
    line = yield from greeting(conversation)
    if (code := CAPABILITY_CODE.fullmatch(line)) and code[2].split():
        return Opening(line + b"\r\n", tuple(code[2].split()), conversation.residue())
    listed = yield from _capabilities(conversation)
    return Opening(line + b"\r\n", listed, conversation.residue())


def open_upgraded(origin: Origin, terms: ClientTerms, recipe: ClientHalf) -> Dialogue[Opening]:
    """Ask for STARTTLS, begin TLS, and ask for the capabilities inside it.

    :param recipe: the client's half of IMAP's (``wire.recipes.imap``).
    :raises UpgradeRefused: when the server does not offer it, or refuses.
    :raises PlaintextAfterUpgrade: when it said anything behind its go-ahead.
    """
    yield from upgrade((yield from recipe(origin, terms)))
    conversation = Conversation(terms.seconds, line_limit=LINE_LIMIT)
    listed = yield from _capabilities(conversation)
    return Opening(b"", listed, conversation.residue())


def log_out(seconds: float) -> Dialogue[None]:
    """Say LOGOUT and hear what comes of it (RFC 9051 §6.1.3)."""
    conversation = Conversation(seconds, line_limit=LINE_LIMIT)
    yield Send(b"g9 LOGOUT\r\n")
    try:
        while not (yield from conversation.line("reply to LOGOUT")).startswith(b"g9 "):
            pass
    except PeerLeft:  # servers may close at once
        return


def _capabilities(conversation: Conversation) -> Dialogue[tuple[bytes, ...]]:
    yield from conversation.ask(b"g1 CAPABILITY\r\n")
    listed = yield from completion(conversation, b"g1", "reply to CAPABILITY")
    if not listed:
        raise UnexpectedWords("the server lists no capabilities")
    return listed
