"""Counters: a row a worker, totals that never go backwards, and a table that knows every name."""

from __future__ import annotations

import os

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.observe.metrics import FAMILIES, LISTENER_LIMIT, Counters


def test_totals_add_up_the_rows() -> None:
    """Each worker writes its own row; a total is their sum."""
    counters = Counters(("mx",), slots=4)
    first, second = counters.for_slot(1), counters.for_slot(2)
    index = counters.index("smtp_connections_total", listener="mx")
    first.add(index)
    second.add(index, 4)
    assert counters.total(index) == 5
    assert counters.totals() == {"smtp_connections_total{listener=mx}": 5}


def test_totals_are_seen_across_a_fork_and_survive_it() -> None:
    """What a worker counted is there when it has been killed."""
    counters = Counters(("mx",), slots=2)
    index = counters.index("smtp_connections_total", listener="mx")
    pid = os.fork()
    if not pid:
        counters.for_slot(1).add(index, 7)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert counters.total(index) == 7
    counters.for_slot(1).add(index)
    assert counters.total(index) == 8


def test_clear_gauges_keeps_counters() -> None:
    """The end of a worker closes its connections; what it counted stays."""
    counters = Counters(("mx",), slots=2).for_slot(1)
    connections = counters.index("smtp_connections_total", listener="mx")
    gauge = counters.index("smtp_connections_open", listener="mx")
    counters.add(connections, 3)
    counters.add(gauge, 2)
    counters.clear_gauges()
    assert (counters.total(connections), counters.total(gauge)) == (3, 0)


def test_listeners_keep_their_columns_when_others_come() -> None:
    """A reload that adds a listener moves nobody's numbers."""
    counters = Counters(("mx",), slots=1)
    before = counters.index("smtp_connections_total", listener="mx")
    counters.learn_listeners(("new", "mx"))
    assert counters.index("smtp_connections_total", listener="mx") == before
    assert counters.index("smtp_connections_total", listener="new") != before


def test_too_many_listeners_are_counted_as_other() -> None:
    """There is room for a number of names; the rest share one column."""
    counters = Counters([f"l{number}" for number in range(LISTENER_LIMIT + 2)], slots=1)
    counters.count("smtp_connections_total", listener=f"l{LISTENER_LIMIT}")
    counters.count("smtp_connections_total", listener=f"l{LISTENER_LIMIT + 1}")
    assert counters.totals() == {"smtp_connections_total{listener=other}": 2}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("no_such_total", {}),
        ("smtp_connections_total", {}),
        ("bounces_total", {"listener": "mx"}),
        ("queue_commits_total", {"result": "unheard-of"}),
    ],
)
def test_index_refuses_what_is_not_in_the_table(name: str, labels: dict[str, str]) -> None:
    """A name or label that nobody declared is a mistake of the caller, said at once."""
    with pytest.raises(LocalProtocolError):
        Counters(("mx",)).index(name, **labels)


def test_unknown_label_value_counts_as_other_where_there_is_one() -> None:
    """A key-exchange group that we have not met is still counted."""
    counters = Counters()
    for group in ("brainpool", "other"):
        labels = {"direction": "inbound", "version": "TLSv1.3", "group": group, "result": "full"}
        counters.add(counters.index("tls_handshakes_total", **labels))
    assert list(counters.totals().values()) == [2]


def test_histogram_puts_each_observation_into_its_bucket() -> None:
    """A value on a bound belongs to that bound's bucket (le), one above the last to +Inf."""
    counters = Counters()
    index = counters.index("queue_commit_seconds")
    for seconds in (0.0005, 0.001, 0.002, 1000.0):
        counters.observe(index, seconds)
    (sample,) = [each for each in counters.samples() if each.family.name == "queue_commit_seconds"]
    assert (sample.value, sample.buckets[0], sample.buckets[1], sample.buckets[-1]) == (4, 2, 1, 1)
    assert sample.sum_seconds == pytest.approx(1000.0035, abs=1e-5)


def test_table_follows_the_naming_rules() -> None:
    """Counters end with ``_total``, others do not; every family says what it is; no label names an address."""
    for family in FAMILIES:
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.help.endswith("."), family.name
        assert not {label for label, _ in family.labels} & {"address", "peer", "domain", "user"}, family.name
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_row_outside_the_memory_is_refused() -> None:
    """There are as many rows as were made."""
    with pytest.raises(LocalProtocolError):
        Counters(slots=2).for_slot(2)


def test_backends_and_listeners_have_names_of_their_own() -> None:
    """A backend that is called as a listener is counted as a backend, and no listener's row shows up for it."""
    counters = Counters(["mail", "mx"])
    counters.learn_backends(["mail", "pop"])
    counters.count("gate_backend_connections_total", backend="pop")
    counters.count("gate_backend_connections_total", backend="nobody")
    counters.count("gate_backend_servers", 2, backend="mail", state="up")
    shown = [
        (sample.family.name, sample.labels, sample.value)
        for sample in counters.samples()
        if sample.family.name.startswith("gate_backend_") and sample.value
    ]
    assert shown == [
        ("gate_backend_connections_total", ("pop",), 1),
        ("gate_backend_connections_total", ("other",), 1),
        ("gate_backend_servers", ("mail", "up"), 2),
    ]
    listed = {sample.labels for sample in counters.samples() if sample.family.name == "gate_backend_connections_open"}
    assert listed == {("mail",), ("pop",), ("other",)}
