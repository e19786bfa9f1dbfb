"""Invariant: whatever comes, nothing escapes, answers are well-formed, memory is bounded, an end is an end, and events
and answers do not depend on how the octets are cut."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fuzz.measure import held
from fuzz.origins import EVIDENCE, ORIGIN, Plan, cut, plan, seeds
from fuzz.words import ENDS, POP3

from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import (
    AuthRequested,
    AuthResponse,
    Ended,
    Event,
    ListAsked,
    LoginRequested,
    Retrieve,
    StartTLSRequested,
    Top,
    UidlAsked,
)
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.states import State
from gatepost.wire.pop3.unprotected import UnprotectedServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade

Server = PlainServer | SecureServer | UnprotectedServer

ENGINES = 4
HELD = 3 * 12288
NO = Reply(False, "No")
PROFILE = ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN", "LOGIN"), max_errors=50)
GATE = ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN",), listed=("TOP", "UIDL"), relayed=True)
LOGIN = b"USER alice\r\nPASS secret\r\n"
ANSWERS = re.compile(rb"(?:(?:\+OK|-ERR|\+)(?: [ -~]*)?\r\n|[ -~]*\r\n)*")
WORDS = POP3 + ENDS
SEEDS = seeds(
    b"CAPA\r\nSTLS\r\n\x16\x03\x01\x00\x05\x01",
    b"USER alice\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL 1\r\nRETR 1\r\nTOP 1 5\r\nDELE 1\r\nRSET\r\nNOOP\r\nQUIT\r\n",
    b"AUTH PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\nUTF8\r\nLIST 2\r\nRETR 99999999999\r\nCAPA\r\n",
    b"AUTH LOGIN =\r\nYWxpY2U=\r\n*\r\nAPOP a b\r\nXTND x\r\n",
    choices=ENGINES,
)


class Service:
    """Answers an engine as the plan says, and writes down what happens."""

    def __init__(self, engine: Server, told: Plan) -> None:
        self.engine = engine
        self.plan = told
        self.events: list[str] = []  # as they print: secrets are compared by what is done with them
        self.said = b""
        self.asked = 0
        self.upgraded = self.ended = False

    def hear(self, pieces: Iterable[bytes]) -> None:
        """Everything up to an upgrade."""
        before, longest = held(self.engine, self.engine.profile), 0
        for piece in pieces:
            longest = max(longest, len(piece))
            self.engine.receive(piece)
            self.run()
            if self.upgraded:
                return
            assert self.engine.backlog <= 12288 + len(piece)
        assert held(self.engine, self.engine.profile) - before <= HELD + longest
        self.engine.receive_eof()
        self.run()
        assert self.upgraded or self.ended

    def run(self) -> None:
        while not self.upgraded and (event := self.engine.next_event()) is not None:
            assert not self.ended
            self.ended = isinstance(event, Ended)
            self.events.append(repr(event))
            if self.engine.waiting:
                self.answer(event)
        said = self.engine.outgoing()
        assert ANSWERS.fullmatch(said)
        if not self.upgraded:
            self.said += said

    def answer(self, event: Event) -> None:
        engine, yes = self.engine, self.plan.yes(self.asked)
        self.asked += 1
        if isinstance(engine, PlainServer):
            assert isinstance(event, StartTLSRequested)
            self.said += engine.outgoing()
            self.upgraded = True
            try:
                engine.grant_upgrade()
            except PlaintextAfterUpgrade:
                assert engine.state is State.ENDED
        elif isinstance(event, AuthRequested) and event.initial is None:
            engine.challenge(b"?")
        elif not yes:
            engine.answer(NO)
        elif isinstance(event, LoginRequested | AuthRequested | AuthResponse):
            assert engine.identity is None
            engine.authenticated("alice")
        else:
            assert engine.identity == "alice"
            if isinstance(event, Retrieve | Top) or event in (ListAsked(None), UidlAsked(None)):
                engine.begin_multiline()
                engine.multiline(b".\n")
                engine.end_multiline()
            else:
                engine.answer(reply.OK)


def engine_of(choice: int) -> Server:
    """One of the engines, which has greeted."""
    engines: tuple[type[Server], ...] = (PlainServer, SecureServer, SecureServer, UnprotectedServer)
    profile = GATE if choice == 3 else PROFILE
    kind = engines[choice]
    engine = SecureServer(ORIGIN, EVIDENCE, profile) if kind is SecureServer else kind(ORIGIN, profile)
    engine.greet()
    return engine


def target(data: bytes) -> None:
    """The engine in the clear, inside TLS, where somebody is logged in, and at a gate: in pieces, and whole."""
    told = plan(data, ENGINES)
    words = LOGIN + told.words if told.choice == 2 else told.words
    heard = []
    for pieces in (cut(words, told.step), cut(words, max(1, len(words)))):
        service = Service(engine_of(told.choice), told)
        service.hear(pieces)
        heard.append((service.events, service.said))
    assert heard[0] == heard[1]
