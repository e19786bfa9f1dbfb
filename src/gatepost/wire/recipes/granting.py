"""How a server half hears a client out until it asks for TLS, and what it does then.

A server of lines is a function: a line in, a ``Step`` out. Everything else is the same for all of them: the limits, the
end, and the door. What stands behind the request is judged by ``wire.upgrade``, and refused in the protocol's words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from gatepost.wire.dialogue import Dialogue, Send
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.recipe import Granted, PeerLeft, UnexpectedWords
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, hand_over_server

REQUEST: Final = "request for TLS"  # one name for all that is waited for: one deadline for it all
FAULTS_LIMIT: Final = 10  # commands that are answered with "TLS first"


@final
@dataclass(frozen=True, slots=True)
class Say:
    """Answer, and go on. ``fault`` counts: the client said what has no place before TLS."""

    words: bytes
    fault: bool = False


@final
@dataclass(frozen=True, slots=True)
class Leave:
    """Answer, and close: the client said goodbye, or what cannot be answered."""

    words: bytes


@final
@dataclass(frozen=True, slots=True)
class Grant:
    """The client asked for TLS: say ``go_ahead``, or ``refusal`` when plaintext stood behind the request."""

    go_ahead: bytes
    refusal: bytes


Step: TypeAlias = Say | Leave | Grant


def grant(origin: Origin, residue: bytes, answer: Grant) -> Dialogue[Granted]:
    """Hand over, or say the refusal.

    :param residue: everything that was read behind the request.
    :raises PlaintextAfterUpgrade: when it is anything but the beginning of a ClientHello; the refusal was said.
    """
    try:
        ready, early = hand_over_server(origin, residue)
    except PlaintextAfterUpgrade:
        yield Send(answer.refusal)
        raise
    return Granted(ready, early, answer.go_ahead)


def serve_lines(
    origin: Origin,
    conversation: Conversation,
    greeting: bytes,
    answer: Callable[[bytes], Step],
    farewell: bytes,
) -> Dialogue[Granted]:
    """Serve a protocol of lines up to its upgrade.

    :param greeting: what is said first; empty where the client speaks first.
    :param answer: what to do about a line.
    :param farewell: what is said to a client that sends what is no line, or too much.
    :raises PlaintextAfterUpgrade: see ``grant``.
    :raises UnexpectedWords: when a limit was broken; the farewell was said.
    :raises PeerLeft: when the client went away.
    """
    faults = 0
    if greeting:
        yield Send(greeting)
    while True:
        try:
            line = yield from conversation.line(REQUEST)
        except UnexpectedWords:
            yield Send(farewell)
            raise
        step = answer(line)
        if isinstance(step, Grant):
            return (yield from grant(origin, conversation.residue(), step))
        faults += isinstance(step, Say) and step.fault
        if faults > FAULTS_LIMIT:
            yield Send(farewell)
            raise UnexpectedWords("the client does not stop sending what has no place before TLS", line)
        yield Send(step.words)
        if isinstance(step, Leave):
            raise PeerLeft("the client left without asking for TLS")
