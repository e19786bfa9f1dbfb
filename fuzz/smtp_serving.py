"""An SMTP server engine and what its service does with it, for the targets of both dialects."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fuzz.measure import held
from fuzz.origins import EVIDENCE, ORIGIN, Plan, cut

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
from gatepost.wire.smtp.states import State
from gatepost.wire.smtp.unprotected import UnprotectedServer
from gatepost.wire.upgrade import PlaintextAfterUpgrade

ENGINES = 4
HELD = 3 * 12288  # the longest line of a login, a piece, and what is being said
REPLIES = re.compile(rb"(?:[2345][0-9]{2}[ -][ -~]*\r\n)*")
NO = Reply(451, "4.3.0", "No")

Server = PlainServer | SecureServer | UnprotectedServer


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


class Service:
    """Answers an engine as the plan says, and writes down what happens."""

    def __init__(self, engine: Server, plan: Plan) -> None:
        self.engine = engine
        self.plan = plan
        self.events: list[Event] = []
        self.content = b""
        self.kept: list[bytes] = []
        self.said = b""
        self.asked = 0
        self.upgraded = False

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
        assert self.upgraded or isinstance(self.events[-1], Ended)

    def run(self) -> None:
        while not self.upgraded and (event := self.engine.next_event()) is not None:
            assert not self.events or not isinstance(self.events[-1], Ended)
            if isinstance(event, Content):
                self.content += event.data
            else:
                self.events.append(event)
                if isinstance(event, ContentAborted) or (isinstance(event, ContentEnds) and event.refusal):
                    self.content = b""  # nobody keeps it, so how much of it was reported does not matter
                elif isinstance(event, ContentEnds):
                    self.kept, self.content = [*self.kept, self.content], b""
            if self.engine.waiting:
                self.answer(event)
        said = self.engine.outgoing()
        assert REPLIES.fullmatch(said)
        if not self.upgraded:
            self.said += said

    def answer(self, event: Event) -> None:
        engine, yes = self.engine, self.plan.yes(self.asked)
        self.asked += 1
        if isinstance(event, StartTLSRequested):
            assert isinstance(engine, PlainServer)
            if yes:
                self.said += engine.outgoing()
                self.upgraded = True
                try:
                    engine.grant_upgrade()
                except PlaintextAfterUpgrade:
                    assert engine.state is State.ENDED
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
    """Hear it in pieces, and whole: both come to the same."""
    heard = []
    for pieces in (plan.pieces(), cut(plan.words, max(1, len(plan.words)))):
        service = Service(engine_of(plan.choice, ours, gate), plan)
        service.hear(pieces)
        heard.append((service.events, service.said, service.kept))
    assert heard[0] == heard[1]
