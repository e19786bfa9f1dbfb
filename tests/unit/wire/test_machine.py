"""Transition tables as data."""

from __future__ import annotations

from enum import Enum

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.machine import Table, mermaid


class Lamp(Enum):
    OFF = "off"
    ON = "on"
    BROKEN = "broken"


class Press(Enum):
    SWITCH = "switch"
    DROP = "drop"


TABLE = Table(
    Lamp.OFF,
    {Lamp.OFF: {Press.SWITCH: Lamp.ON}, Lamp.ON: {Press.SWITCH: Lamp.OFF, Press.DROP: Lamp.BROKEN}, Lamp.BROKEN: {}},
)


def test_table_leads_where_its_edges_lead() -> None:
    """A legal trigger has a target, another has none."""
    assert TABLE.next(Lamp.OFF, Press.SWITCH) is Lamp.ON
    assert TABLE.next(Lamp.OFF, Press.DROP) is None


def test_table_knows_its_ends() -> None:
    """A state without outgoing edges is an end."""
    assert [lamp for lamp in Lamp if TABLE.terminal(lamp)] == [Lamp.BROKEN]


def test_table_lists_every_edge() -> None:
    """The transitions are those that were stated."""
    assert list(TABLE.transitions()) == [
        (Lamp.OFF, Press.SWITCH, Lamp.ON),
        (Lamp.ON, Press.SWITCH, Lamp.OFF),
        (Lamp.ON, Press.DROP, Lamp.BROKEN),
    ]


def test_table_refuses_an_edge_to_nowhere() -> None:
    """A target that is not listed is a mistake in the table, found when it is made."""
    with pytest.raises(LocalProtocolError):
        Table(Lamp.OFF, {Lamp.OFF: {Press.SWITCH: Lamp.ON}})


def test_table_refuses_an_initial_state_that_is_not_listed() -> None:
    """So is a beginning outside of the table."""
    with pytest.raises(LocalProtocolError):
        Table(Lamp.OFF, {Lamp.ON: {}})


def test_diagram_is_drawn_from_the_table() -> None:
    """Edges between the same states are joined, ends are marked."""
    drawing = mermaid(TABLE)
    assert drawing.startswith("stateDiagram-v2\n    [*] --> OFF\n")
    assert "    ON --> BROKEN: DROP\n" in drawing
    assert drawing.endswith("    BROKEN --> [*]\n")
