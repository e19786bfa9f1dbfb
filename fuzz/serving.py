"""An engine of a server and what its service does with it: octets in, events answered as a plan says."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from fuzz.measure import held
from fuzz.origins import Plan, cut

from gatepost.wire.upgrade import PlaintextAfterUpgrade

LINE: Final = 12288  # octets: the longest line of a login
HELD: Final = 3 * LINE  # such a line, a piece, and what is being said


class Engine(Protocol):
    """What every engine of a server has."""

    @property
    def profile(self) -> object: ...
    @property
    def state(self) -> Enum: ...
    @property
    def backlog(self) -> int: ...
    @property
    def waiting(self) -> bool: ...
    def receive(self, data: bytes, /) -> None: ...
    def receive_eof(self) -> None: ...
    def next_event(self) -> Any: ...
    def outgoing(self) -> bytes: ...


class Granting(Engine, Protocol):
    """An engine in the clear, which a handshake ends."""

    def grant_upgrade(self) -> object: ...


E = TypeVar("E", bound=Engine)


class Service(ABC, Generic[E]):
    """Answers an engine as the plan says, and writes down what happens."""

    ANSWERS: ClassVar[re.Pattern[bytes]]  # the lines that it may say
    END: ClassVar[type]  # the event behind which there is none

    def __init__(self, engine: E, plan: Plan) -> None:
        self.engine: Final = engine
        self.plan: Final = plan
        self.said = b""
        self.asked = 0
        self.upgraded = self.ended = False

    @abstractmethod
    def note(self, event: Any) -> None:
        """Write down an event."""

    @abstractmethod
    def answer(self, event: Any, yes: bool) -> None:
        """Answer an event that the engine waits at."""

    @abstractmethod
    def outcome(self) -> object:
        """All that happened, for a comparison."""

    def hear(self, pieces: Iterable[bytes]) -> None:
        """Everything up to an upgrade."""
        before, longest = held(self.engine, self.engine.profile), 0
        for piece in pieces:
            longest = max(longest, len(piece))
            self.engine.receive(piece)
            self.run()
            if self.upgraded:
                return
            assert self.engine.backlog <= LINE + len(piece)
        assert held(self.engine, self.engine.profile) - before <= HELD + longest
        self.engine.receive_eof()
        self.run()
        assert self.upgraded or self.ended

    def run(self) -> None:
        """Everything that is there."""
        while not self.upgraded and (event := self.engine.next_event()) is not None:
            assert not self.ended
            self.ended = isinstance(event, self.END)
            self.note(event)
            if self.engine.waiting:
                self.asked += 1
                self.answer(event, self.plan.yes(self.asked - 1))
        said = self.engine.outgoing()
        assert self.ANSWERS.fullmatch(said)
        if not self.upgraded:
            self.said += said

    def upgrade(self, engine: Granting) -> None:
        """Grant it; where plaintext stands behind the request, that is the end."""
        self.said += engine.outgoing()
        self.upgraded = True
        try:
            engine.grant_upgrade()
        except PlaintextAfterUpgrade:
            assert engine.state.name == "ENDED"


def serve(service: Callable[[], Service[Any]], words: bytes, step: int) -> None:
    """Hear it in pieces, and whole: both come to the same."""
    outcomes = []
    for pieces in (cut(words, step), cut(words, max(1, len(words)))):
        each = service()
        each.hear(pieces)
        outcomes.append(each.outcome())
    assert outcomes[0] == outcomes[1]
