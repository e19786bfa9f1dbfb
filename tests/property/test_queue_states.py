"""The store obeys the queue's state table: every state with every step, and random lives of several messages."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gatepost.queue import (
    RECIPIENT,
    InlineBody,
    Lease,
    NewMessage,
    NewRecipient,
    RecipientState,
    Selection,
    Settlement,
    Step,
)
from gatepost.queue.outcome import deferred, delivered, failed
from gatepost.store.interface import LeaseLost
from gatepost.store.sqlite import SQLiteQueue

_ON_HOLD = {Step.DEFERRED: Step.DEFERRED_ON_HOLD, Step.RETURNED: Step.RETURNED_ON_HOLD}
INPUTS = tuple(step for step in Step if step not in {Step.ABANDONED, *_ON_HOLD.values()})


class Life:
    """One message with one recipient: what the table says of it, and the lease that was last had of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = RECIPIENT.initial
        self.hold = False
        self.lease: Lease | None = None

    def step(self, step: Step) -> None:
        """Follow the table; what is not legal changes nothing."""
        if self.hold:
            step = _ON_HOLD.get(step, step)
        following = RECIPIENT.next(self.state, step)
        if following is not None:
            self.state = following
            if step in (Step.HELD, Step.COMMITTED_ON_HOLD):
                self.hold = True
            elif step is Step.RELEASED:
                self.hold = False


class Lives:
    """A store beside what the table says of its messages."""

    def __init__(self, folder: str) -> None:
        self.now = 1_000_000.0
        self.store = SQLiteQueue(Path(folder), clock=lambda: self.now)
        self.lives: dict[str, Life] = {}

    def apply(self, name: str, step: Step) -> None:
        """Do to the store what the step means, and to the life what the table says."""
        life = self.lives.setdefault(name, Life(name))
        self.now += 1
        selection = Selection((name,))
        if step in (Step.COMMITTED, Step.COMMITTED_ON_HOLD):
            if life.state is not RecipientState.GONE:  # an id is for one message, for ever
                self._enqueue(name, hold=step is Step.COMMITTED_ON_HOLD)
        elif step is Step.LEASED:
            self._lease(name)
        elif step is Step.RETURNED:
            self.store.release_owner(name)
        elif step in (Step.DELIVERED, Step.FAILED, Step.DEFERRED):
            if life.lease is None:
                return
            self._settle(life.lease, step)
        elif step is Step.HELD:
            self.store.hold(selection)
        elif step is Step.RELEASED:
            self.store.release(selection)
        elif step is Step.RETRIED:
            self.store.retry(selection)
        else:
            self.store.drop(selection)
        life.step(step)

    def _enqueue(self, name: str, *, hold: bool) -> None:
        recipient = NewRecipient(f"b@{name}", name, "remote")
        self.store.enqueue([NewMessage(name, self.now, "", InlineBody(b"x"), 1, (recipient,), hold=hold)])

    def _lease(self, name: str) -> None:
        for lease in self.store.lease(name, 1, 10**9, destination=name):
            self.lives[name].lease = lease

    def _settle(self, lease: Lease, step: Step) -> None:
        if step is Step.DELIVERED:
            settlement = Settlement(lease, delivered())
        elif step is Step.FAILED:
            settlement = Settlement(lease, failed("no"))
        else:
            settlement = Settlement(lease, deferred("later"), self.now)
        with suppress(LeaseLost):
            self.store.settle([settlement])

    def verify(self) -> None:
        """The store holds exactly what the table says."""
        stored = {m.id: m.recipients[0].state for m in self.store.list(limit=1000)}
        rowless = (RecipientState.GONE, RecipientState.RECEIVING)
        assert stored == {name: life.state.value for name, life in self.lives.items() if life.state not in rowless}


_PATHS: dict[RecipientState, tuple[tuple[Step, ...], ...]] = {
    RecipientState.RECEIVING: ((),),
    RecipientState.QUEUED: (
        (Step.COMMITTED,),
        (Step.COMMITTED, Step.LEASED, Step.RETURNED),
        (Step.COMMITTED_ON_HOLD, Step.RELEASED),
    ),
    RecipientState.LEASED: (
        (Step.COMMITTED, Step.LEASED),
        (Step.COMMITTED, Step.LEASED, Step.HELD),
        (Step.COMMITTED, Step.LEASED, Step.RETURNED, Step.LEASED),
    ),
    RecipientState.DEFERRED: ((Step.COMMITTED, Step.LEASED, Step.DEFERRED),),
    RecipientState.HELD: (
        (Step.COMMITTED_ON_HOLD,),
        (Step.COMMITTED, Step.LEASED, Step.HELD, Step.DEFERRED),
        (Step.COMMITTED, Step.LEASED, Step.HELD, Step.RETURNED),
    ),
    RecipientState.GONE: (
        (Step.COMMITTED, Step.LEASED, Step.DELIVERED),
        (Step.COMMITTED, Step.LEASED, Step.FAILED),
        (Step.COMMITTED, Step.LEASED, Step.DROPPED),
    ),
}


@pytest.mark.parametrize("state", RecipientState, ids=lambda state: state.name)
@pytest.mark.parametrize("step", INPUTS, ids=lambda step: step.name)
def test_every_step_in_every_state_does_what_the_table_says(state: RecipientState, step: Step, tmp_path: Path) -> None:
    """States × inputs: a legal step leads where the table says, an illegal one changes nothing."""
    lives = Lives(str(tmp_path))
    for n, path in enumerate(_PATHS[state]):
        name = f"m{n}"
        lives.lives[name] = Life(name)
        for earlier in path:
            lives.apply(name, earlier)
        lives.verify()
        assert lives.lives[name].state is state
        lives.apply(name, step)
        lives.verify()
    lives.store.close()


class RandomLives(RuleBasedStateMachine):
    """Several messages, any steps in any order."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.lives = Lives(self.folder.name)

    @rule(name=st.sampled_from(["m1", "m2", "m3"]), step=st.sampled_from(INPUTS))
    def step(self, name: str, step: Step) -> None:
        self.lives.apply(name, step)

    @invariant()
    def store_and_table_agree(self) -> None:
        if hasattr(self, "lives"):
            self.lives.verify()

    def teardown(self) -> None:
        if hasattr(self, "lives"):
            assert self.lives.store.check() == []
            self.lives.store.close()
            self.folder.cleanup()


RandomLives.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestRandomLives = RandomLives.TestCase
