"""IRC: STARTTLS (IRCv3 tls extension), seen in CAP LS as ``tls``. Inside TLS the client speaks first.

A server may send NOTICE lines and PING while it looks the client up; both are heard, and PING is answered.
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.wire.dialogue import Dialogue, Send
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.granting import Grant, Leave, Say, Step, serve_lines
from gatepost.wire.recipes.recipe import ClientTerms, Granted, Recipe, ServerTerms, UnexpectedWords, UpgradeRefused
from gatepost.wire.upgrade import Origin, UpgradeReady, hand_over_client

# RFC 2812 §2.3.1: message = [ ":" prefix SPACE ] command [ params ]
_MESSAGE: Final = re.compile(rb"(?::[^ ]+ +)?([A-Za-z]+|[0-9]{3})((?: +[^: ][^ ]*)*)(?: +:(.*))? *", re.DOTALL)
_LINE_LIMIT: Final = 1024  # RFC 2812 §2.3 says 510; some servers add to their own
_TOKEN_LIMIT: Final = 400  # of a PING, so that our answer fits a line


def _message(line: bytes) -> tuple[bytes, list[bytes]]:
    """The command and its parameters; an empty command for what is no message."""
    found = _MESSAGE.fullmatch(line)
    if found is None:
        return b"", []
    return found[1].upper(), [*found[2].split(), *([] if found[3] is None else [found[3]])]


def _taken(line: bytes, step: str) -> Dialogue[tuple[bytes, list[bytes]]]:
    """The command and parameters of a line; an empty command when it was one that may come at any time."""
    command, parameters = _message(line)
    if command == b"ERROR":
        raise UpgradeRefused("the server closes the connection", line)
    if command == b"PING":
        if len(parameters) != 1 or len(parameters[0]) > _TOKEN_LIMIT or b"\0" in parameters[0]:
            raise UnexpectedWords(f"a PING that cannot be answered in the {step}", line)
        yield Send(b"PONG :%b\r\n" % parameters[0])
    elif not command:
        raise UnexpectedWords(f"that is no message, in the {step}", line)
    elif command != b"NOTICE":
        return command, parameters
    return b"", []


def _heard(conversation: Conversation, step: str) -> Dialogue[tuple[bytes, list[bytes], bytes]]:
    """The next message that is more than NOTICE or PING: command, parameters, and the line."""
    while True:
        line = yield from conversation.line(step)
        command, parameters = yield from _taken(line, step)
        if command:
            return command, parameters, line


def _ask(conversation: Conversation, words: bytes) -> Dialogue[None]:
    """Say something that will be answered. What came before may be NOTICE or PING, and no answer."""
    step = "time before a question"
    while (line := conversation.read_line(step)) is not None:
        if (yield from _taken(line, step))[0]:
            raise UnexpectedWords("the server spoke before it was asked", line)
    yield Send(words)


def _client(origin: Origin, terms: ClientTerms) -> Dialogue[UpgradeReady]:
    """CAP LS, STARTTLS."""
    conversation = Conversation(terms.seconds, line_limit=_LINE_LIMIT)
    yield from _ask(conversation, b"CAP LS\r\n")
    command, parameters, line = yield from _heard(conversation, "reply to CAP LS")
    if command == b"421":  # ERR_UNKNOWNCOMMAND: a server without CAP
        raise UpgradeRefused("the server does not know CAP", line)
    if command != b"CAP" or len(parameters) != 3 or parameters[1].upper() != b"LS":
        raise UnexpectedWords("that is no answer to CAP LS", line)
    if b"tls" not in parameters[2].split():
        raise UpgradeRefused("the server does not list tls")
    yield from _ask(conversation, b"STARTTLS\r\n")
    command, _, line = yield from _heard(conversation, "reply to STARTTLS")
    if command in (b"691", b"421", b"451"):  # ERR_STARTTLS, ERR_UNKNOWNCOMMAND, ERR_NOTREGISTERED
        raise UpgradeRefused("the server refused STARTTLS", line)
    if command != b"670":  # RPL_STARTTLS
        raise UnexpectedWords("the reply to STARTTLS makes no sense", line)
    return hand_over_client(origin, conversation.residue())


def _server(origin: Origin, terms: ServerTerms) -> Dialogue[Granted]:
    """CAP LS, CAP LIST, CAP END, PING, STARTTLS and QUIT; nothing else before TLS."""
    name = terms.hostname.encode("ascii")

    def answer(line: bytes) -> Step:
        command, parameters = _message(line)
        words = [word.upper() for word in parameters]
        if command == b"STARTTLS":
            refusal = b":%b 691 * :Octets stood behind STARTTLS\r\nERROR :Closing link\r\n" % name
            return Grant(b":%b 670 * :STARTTLS successful, go ahead with TLS handshake\r\n" % name, refusal)
        if command == b"CAP" and words[:1] == [b"LS"]:
            return Say(b":%b CAP * LS :tls\r\n" % name)
        if command == b"CAP" and words == [b"LIST"]:
            return Say(b":%b CAP * LIST :\r\n" % name)
        if command == b"CAP" and words == [b"END"]:
            return Say(b"")
        if command == b"PING" and parameters and len(parameters[0]) <= _TOKEN_LIMIT:
            return Say(b":%b PONG %b :%b\r\n" % (name, name, parameters[0]))
        if command == b"QUIT":
            return Leave(b"ERROR :Closing link\r\n")
        return Say(b":%b 451 * :TLS first: STARTTLS\r\n" % name, fault=True)  # ERR_NOTREGISTERED

    farewell = b"ERROR :That is enough\r\n"
    conversation = Conversation(terms.seconds, line_limit=_LINE_LIMIT)
    return (yield from serve_lines(origin, conversation, b"", answer, farewell))


IRC: Final = Recipe(
    "irc", 6667, 6697, _client, _server, alpn=("irc",), summary="IRC, STARTTLS (IRCv3 tls)",
    # Since CAP LS the server waits with the registration (IRCv3 capability negotiation).
    settled=b"CAP END\r\n",
)  # fmt: skip
