"""How many connections lead to each server, over all processes."""

from __future__ import annotations

from gatepost.observe.shared import new_shared
from gatepost.service.gate.places import Places, clear, region


def test_connections_of_all_processes_are_counted() -> None:
    """Each writes its own row and sees the sum."""
    memory = region(new_shared())
    one, other = Places(memory, 3), Places(memory, 7)
    column = one.column("mail", "127.0.0.1:25")
    assert column == other.column("mail", "127.0.0.1:25")
    one.take(column)
    other.take(column)
    other.take(column)
    assert (one.taken(column), other.taken(column)) == (3, 3)
    other.leave(column)
    assert one.taken(column) == 2


def test_servers_and_backends_are_told_apart() -> None:
    """The same server of another backend has its own bound."""
    places = Places(region(new_shared()), 1)
    columns = {places.column(*name) for name in (("mail", "a:25"), ("mail", "b:25"), ("pop", "a:25"))}
    assert len(columns) == 3


def test_process_that_has_ended_holds_nothing() -> None:
    """Whether the supervisor finds out, or a successor takes its row."""
    memory = region(new_shared())
    dead, alive = Places(memory, 1), Places(memory, 2)
    column = dead.column("mail", "a:25")
    dead.take(column)
    alive.take(column)
    clear(memory, 1)
    assert alive.taken(column) == 1
    Places(memory, 2)
    assert dead.taken(column) == 0


def test_count_never_goes_below_zero() -> None:
    """A connection that a predecessor of the same row had is given back to nobody."""
    places = Places(region(new_shared()), 1)
    places.leave(5)
    assert places.taken(5) == 0
