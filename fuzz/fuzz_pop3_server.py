"""Invariant: whatever comes, nothing escapes, answers are well-formed, memory is bounded, an end is an end, and events
and answers do not depend on how the octets are cut."""

from __future__ import annotations

import re

from fuzz import serving
from fuzz.origins import EVIDENCE, ORIGIN, Plan, plan, seeds
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
from gatepost.wire.pop3.unprotected import UnprotectedServer

Server = PlainServer | SecureServer | UnprotectedServer

ENGINES = 4
NO = Reply(False, "No")
PROFILE = ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN", "LOGIN"), max_errors=50)
GATE = ServerProfile(hostname="mx.example.org", auth_mechanisms=("PLAIN",), listed=("TOP", "UIDL"), relayed=True)
LOGIN = b"USER alice\r\nPASS secret\r\n"
WORDS = POP3 + ENDS
SEEDS = seeds(
    b"CAPA\r\nSTLS\r\n\x16\x03\x01\x00\x05\x01",
    b"USER alice\r\nPASS secret\r\nSTAT\r\nLIST\r\nUIDL 1\r\nRETR 1\r\nTOP 1 5\r\nDELE 1\r\nRSET\r\nNOOP\r\nQUIT\r\n",
    b"AUTH PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\nUTF8\r\nLIST 2\r\nRETR 99999999999\r\nCAPA\r\n",
    b"AUTH LOGIN =\r\nYWxpY2U=\r\n*\r\nAPOP a b\r\nXTND x\r\n",
    choices=ENGINES,
)


class Service(serving.Service[Server]):
    """What a maildrop does, with one message in it."""

    ANSWERS = re.compile(rb"(?:(?:\+OK|-ERR|\+)(?: [ -~]*)?\r\n|[ -~]*\r\n)*")
    END = Ended

    def __init__(self, engine: Server, told: Plan) -> None:
        super().__init__(engine, told)
        self.events: list[str] = []  # as they print: secrets are compared by what is done with them

    def outcome(self) -> object:
        return self.events, self.said

    def note(self, event: Event) -> None:
        self.events.append(repr(event))

    def answer(self, event: Event, yes: bool) -> None:
        engine = self.engine
        if isinstance(engine, PlainServer):
            assert isinstance(event, StartTLSRequested)
            self.upgrade(engine)
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
    serving.serve(lambda: Service(engine_of(told.choice), told), words, told.step)
