"""Which server a connection goes to, and in which order the others are tried."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gatepost.service.gate.choice import Health, Standing, order

UP, UNKNOWN, DOWN = Health.UP, Health.UNKNOWN, Health.DOWN
STANDINGS = st.lists(st.builds(Standing, st.sampled_from(Health), st.integers(0, 12)), min_size=1, max_size=12)


def test_fewest_connections_come_first() -> None:
    """Among servers that are well."""
    assert order([Standing(UP, 3), Standing(UP, 1), Standing(UP, 2)], 10, 0) == [1, 2, 0]


def test_equals_take_turns() -> None:
    """Servers without connections get one each, then the next one each."""
    idle = [Standing(UP, 0)] * 3
    firsts = Counter(order(idle, 10, turn)[0] for turn in range(30))
    assert firsts == {0: 10, 1: 10, 2: 10}


def test_server_that_was_not_asked_yet_comes_behind_those_that_are_well() -> None:
    """Whatever it has to do."""
    assert order([Standing(UNKNOWN, 0), Standing(UP, 9), Standing(DOWN, 0)], 10, 0) == [1, 0]


@given(STANDINGS, st.integers(1, 12), st.integers(0, 1 << 40))
def test_every_server_that_may_be_tried_is_and_no_other(standings: list[Standing], most: int, turn: int) -> None:
    """Each once; none that is down, none that has as many connections as it may."""
    found = order(standings, most, turn)
    assert sorted(found) == [
        at for at, each in enumerate(standings) if each.health is not DOWN and each.connections < most
    ]  # fmt: skip


@given(STANDINGS, st.integers(1, 12), st.integers(0, 1 << 40))
def test_nobody_is_tried_before_a_better_one(standings: list[Standing], most: int, turn: int) -> None:
    """Better is: well before unknown, then fewer connections."""
    ranks = [(-standings[at].health, standings[at].connections) for at in order(standings, most, turn)]
    assert ranks == sorted(ranks)


@given(st.integers(1, 8), st.integers(1, 60))
def test_connections_are_spread_evenly(servers: int, connections: int) -> None:
    """Of those that are all well, none ever has two more than another."""
    taken = [0] * servers
    for turn in range(connections):
        taken[order([Standing(UP, each) for each in taken], 100, turn)[0]] += 1
        assert max(taken) - min(taken) <= 1
