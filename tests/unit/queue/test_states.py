"""The queue's state table."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.queue.states import COMMITTED, RECIPIENT, SETTLED, WAITING, Moment, RecipientState, Step
from gatepost.queue.status import Selection
from gatepost.wire.machine import mermaid


def test_only_the_commit_leads_into_the_queue() -> None:
    """Acceptance has one commit point: no other step leads out of RECEIVING but to the end."""
    out = {step: to for state, step, to in RECIPIENT.transitions() if state is RecipientState.RECEIVING}
    assert {step for step, to in out.items() if to is not RecipientState.GONE} == COMMITTED


def test_a_leased_recipient_leaves_the_queue_only_when_settled_or_dropped() -> None:
    """A crash, an expiry or a lost worker never ends a recipient."""
    ends = {
        step
        for state, step, to in RECIPIENT.transitions()
        if to is RecipientState.GONE and state is RecipientState.LEASED
    }
    assert ends <= SETTLED | {Step.DROPPED}


def test_gone_is_the_only_end() -> None:
    """Every other state has a way on, so nothing is stuck."""
    assert [state for state in RecipientState if RECIPIENT.terminal(state)] == [RecipientState.GONE]


def test_only_waiting_recipients_can_be_leased() -> None:
    """Nothing held, and nothing that another worker has."""
    assert {state for state, step, _ in RECIPIENT.transitions() if step is Step.LEASED} == WAITING


def test_every_state_can_be_reached_and_every_step_is_used() -> None:
    """The table has no dead rows."""
    reached = {to for _, _, to in RECIPIENT.transitions()} | {RECIPIENT.initial}
    assert reached == set(RecipientState)
    assert {step for _, step, _ in RECIPIENT.transitions()} == set(Step)


def test_diagram_in_the_documentation_is_the_table() -> None:
    """docs/queue.md shows the generated diagram, and names every moment at which the crash tests kill."""
    text = (Path(__file__).parents[3] / "docs" / "queue.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid(RECIPIENT)}```" in text
    for moment in Moment:
        assert f"`{moment.name}`" in text


@pytest.mark.parametrize("right", [{"ids": ("a", "b")}, {"destination": "example.com"}, {"everything": True}])
def test_selection_takes_one_of_the_three(right: dict[str, object]) -> None:
    """Each of them alone says what is meant."""
    assert Selection(**right)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{}, {"ids": ("a",), "everything": True}, {"destination": "x", "everything": True}, {"ids": ()}]
)
def test_selection_refuses_to_guess(wrong: dict[str, object]) -> None:
    """A command that drops mail says which: ids, a destination, or everything."""
    with pytest.raises(ValueError, match="exactly one"):
        Selection(**wrong)  # type: ignore[arg-type]
