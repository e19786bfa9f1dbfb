"""An SMTP server engine and what its service does with it, for the targets of both dialects."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from fuzz import serving
from fuzz.origins import EVIDENCE, ORIGIN, Plan

from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import (
    AuthRequested,
    AuthResponse,
    Content,
    ContentAborted,
    ContentBegins,
    ContentEnds,
    Ended,
    Event,
    Hello,
    StartTLSRequested,
)
from gatepost.wire.smtp.extensions import Extensions
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.unprotected import UnprotectedServer

ENGINES: Final = 4
NO: Final = Reply(451, "4.3.0", "No")

Server: TypeAlias = PlainServer | SecureServer | UnprotectedServer


def profiles(settings: dict[str, object]) -> tuple[ServerProfile, ServerProfile]:
    """Our own listener's, and a gate's."""
    common = {"hostname": "mx.example.org", "auth_mechanisms": ("PLAIN", "LOGIN"), "max_size": 1000, **settings}
    more = Extensions(("XCLIENT ADDR",), frozenset({"XCLIENT"}), frozenset({"X"}), frozenset({"Y"}))
    gate = {"relays": True, "asks_hello": True, "allow_nul": True, "plain_extensions": more, "secure_extensions": more}
    return ServerProfile(**common, max_errors=50), ServerProfile(**common, **gate, max_errors=50)  # type: ignore[arg-type]


def engine_of(choice: int, ours: ServerProfile, gate: ServerProfile) -> Server:
    """One of the engines, which has greeted."""
    engine: Server
    match choice:
        case 0:
            engine = PlainServer(ORIGIN, ours)
        case 1:
            engine = SecureServer(ORIGIN, EVIDENCE, ours)
        case 2:
            engine = SecureServer(ORIGIN, EVIDENCE, gate)
        case _:
            engine = UnprotectedServer(ORIGIN, gate)
    engine.greet()
    return engine


class Service(serving.Service[Server]):
    """What a listener does: messages are kept, logins and everything else as the plan says."""

    ANSWERS = re.compile(rb"(?:[2345][0-9]{2}[ -][ -~]*\r\n)*")
    END = Ended

    def __init__(self, engine: Server, plan: Plan) -> None:
        super().__init__(engine, plan)
        self.events: list[Event] = []
        self.content = b""
        self.kept: list[bytes] = []

    def outcome(self) -> object:
        return self.events, self.said, self.kept

    def note(self, event: Event) -> None:
        if isinstance(event, Content):
            self.content += event.data
            return
        self.events.append(event)
        if isinstance(event, ContentAborted) or (isinstance(event, ContentEnds) and event.refusal):
            self.content = b""  # nobody keeps it, so how much of it was reported does not matter
        elif isinstance(event, ContentEnds):
            self.kept, self.content = [*self.kept, self.content], b""

    def answer(self, event: Event, yes: bool) -> None:
        engine = self.engine
        if isinstance(event, StartTLSRequested):
            assert isinstance(engine, PlainServer)
            if yes:
                self.upgrade(engine)
            else:
                engine.answer(reply.TLS_UNAVAILABLE)
        elif isinstance(event, AuthRequested | AuthResponse):
            assert not isinstance(engine, PlainServer)
            if isinstance(event, AuthRequested) and event.initial is None:
                engine.challenge(b"?")
            elif yes:
                engine.authenticated("alice")
            else:
                engine.answer(reply.AUTH_FAILED)
        elif isinstance(event, Hello) and yes:
            engine.accept_hello()
        elif not yes:
            engine.answer(NO)
        elif isinstance(event, ContentEnds) and engine.profile.words.per_recipient:
            engine.answer_each([reply.OK if self.plan.yes(n) else NO for n in range(engine.recipients)])
        else:
            engine.answer(reply.DATA_GO_AHEAD if isinstance(event, ContentBegins) else reply.OK)


def serve(plan: Plan, ours: ServerProfile, gate: ServerProfile) -> None:
    """One session with one of the engines, in pieces, and whole."""
    serving.serve(lambda: Service(engine_of(plan.choice, ours, gate), plan), plan.words, plan.step)
