"""State transition tables as data.

A protocol states its rules as one table: for each state, which triggers are legal and where each leads. Nothing else
changes a state, a state without outgoing edges is an end, and the diagrams in ``docs/`` are generated from the tables
themselves. (The idea is h11's: https://h11.readthedocs.io, "state machines".)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, Generic, TypeVar

from gatepost.errors import LocalProtocolError

S = TypeVar("S", bound=Enum)
T = TypeVar("T", bound=Enum)


class Table(Generic[S, T]):
    """A checked transition table.

    :param initial: the state in which an engine is born.
    :param edges: for each state the legal triggers and the state each leads to. Every state must be listed.
    :raises LocalProtocolError: when an edge leads to a state that is not listed.
    """

    __slots__ = ("edges", "initial")

    def __init__(self, initial: S, edges: Mapping[S, Mapping[T, S]]) -> None:
        for state, row in edges.items():
            for trigger, target in row.items():
                if target not in edges:
                    raise LocalProtocolError(f"{state.name} --{trigger.name}--> {target.name}: no such state")
        if initial not in edges:
            raise LocalProtocolError(f"the initial state {initial.name} is not in the table")
        self.initial: Final = initial
        self.edges: Final = edges

    def next(self, state: S, trigger: T) -> S | None:
        """Where ``trigger`` leads from ``state``, or None when it is not legal there."""
        return self.edges[state].get(trigger)

    def terminal(self, state: S) -> bool:
        """Whether a state has no outgoing edges."""
        return not self.edges[state]

    def transitions(self) -> Iterator[tuple[S, T, S]]:
        """Every edge, in the order of the table."""
        for state, row in self.edges.items():
            for trigger, target in row.items():
                yield state, trigger, target


def mermaid(table: Table[S, T]) -> str:
    """Draw a table as a Mermaid state diagram, edges between the same two states joined."""
    joined: dict[tuple[S, S], list[str]] = {}
    for state, trigger, target in table.transitions():
        joined.setdefault((state, target), []).append(trigger.name)
    lines = ["stateDiagram-v2", f"    [*] --> {table.initial.name}"]
    lines += [f"    {a.name} --> {b.name}: {', '.join(names)}" for (a, b), names in joined.items()]
    lines += [f"    {state.name} --> [*]" for state in table.edges if table.terminal(state)]
    return "\n".join(lines) + "\n"
