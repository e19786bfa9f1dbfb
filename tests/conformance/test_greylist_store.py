"""What every backend of ``GreylistStore`` promises. Add a backend by adding a row to ``BACKENDS``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from gatepost.greylist.memory import Memory, Timing, Verdict, refresh_after
from gatepost.greylist.triplet import TEXT_LIMIT, Triplet
from gatepost.store.greylist import Bounds, GreylistFull, GreylistStore, Network, Totals
from gatepost.store.sqlite.greylist import SQLiteGreylist

TIMING = Timing(delay=300.0, window=86400.0, lifetime=3_000_000.0)
BOUNDS = Bounds(auto_allow=3, size=1000)
T = 1_700_000_000.0
ANN = Triplet("192.0.2.0/24", "ann@example.com", "bob@x.test")


class Opener(Protocol):
    """Opens the same store again, as another process would."""

    def __call__(self) -> GreylistStore: ...


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = T

    def __call__(self) -> float:
        return self.now


def sqlite(folder: Path, clock: Clock) -> GreylistStore:
    return SQLiteGreylist(folder / "greylist.db", clock=clock, busy_seconds=30.0)


BACKENDS: dict[str, Callable[[Path, Clock], GreylistStore]] = {"sqlite": sqlite}


@pytest.fixture
def clock() -> Clock:
    """The time of the store."""
    return Clock()


@pytest.fixture(params=list(BACKENDS))
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    """Opens the backend's store, as often as asked."""
    opened: list[GreylistStore] = []

    def open_again() -> GreylistStore:
        opened.append(BACKENDS[request.param](tmp_path, clock))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> GreylistStore:
    """An empty memory."""
    return opener()


def _ask(store: GreylistStore, triplet: Triplet = ANN, bounds: Bounds = BOUNDS) -> Verdict:
    return store.decide(triplet, TIMING, bounds).verdict


def _pass(store: GreylistStore, clock: Clock, *triplets: Triplet) -> None:
    for triplet in triplets:
        _ask(store, triplet)
    clock.now += TIMING.delay
    for triplet in triplets:
        assert _ask(store, triplet) is Verdict.PASSED


def _others(count: int, network: str = ANN.network) -> list[Triplet]:
    return [Triplet(network, f"s{number}@example.com", "bob@x.test") for number in range(count)]


def test_sender_that_comes_again_in_time_gets_in_and_stays_in(store: GreylistStore, clock: Clock) -> None:
    """The whole way: stranger, too early, passed, known."""
    assert _ask(store) is Verdict.NEW
    clock.now += 10
    assert _ask(store) is Verdict.EARLY
    clock.now += 300
    step = store.decide(ANN, TIMING, BOUNDS)
    assert (step.verdict, step.waited) == (Verdict.PASSED, 310.0)
    assert _ask(store) is Verdict.KNOWN


def test_sender_that_comes_too_late_begins_anew(store: GreylistStore, clock: Clock) -> None:
    """And gets in at the next retry."""
    _ask(store)
    clock.now += TIMING.window + 1
    assert _ask(store) is Verdict.LATE
    clock.now += TIMING.delay
    assert _ask(store) is Verdict.PASSED


def test_memory_survives_a_restart(opener: Opener, clock: Clock) -> None:
    """What one process learned another knows, after the first has gone."""
    first = opener()
    _ask(first)
    first.close()
    clock.now += TIMING.delay
    second = opener()
    assert _ask(second) is Verdict.PASSED
    second.close()
    assert _ask(opener()) is Verdict.KNOWN


def test_two_that_ask_share_one_memory(opener: Opener, clock: Clock) -> None:
    """It does not matter which process a retry comes to."""
    one, two = opener(), opener()
    assert (_ask(one), _ask(two)) == (Verdict.NEW, Verdict.EARLY)
    clock.now += TIMING.delay
    assert (_ask(two), _ask(one)) == (Verdict.PASSED, Verdict.KNOWN)


def test_network_that_passed_often_enough_is_no_stranger(store: GreylistStore, clock: Clock) -> None:
    """Its triplets that passed are counted, not its mails."""
    known, other = _others(2), Triplet(ANN.network, "new@example.org", "eve@x.test")
    _pass(store, clock, *known)
    for _ in range(5):
        assert _ask(store, known[0]) is Verdict.KNOWN
    assert _ask(store, other) is Verdict.NEW
    clock.now += TIMING.delay
    assert _ask(store, other) is Verdict.PASSED
    assert _ask(store, Triplet(ANN.network, "newer@example.org", "eve@x.test")) is Verdict.ALLOWED
    assert _ask(store, Triplet("198.51.100.0/24", "newer@example.org", "eve@x.test")) is Verdict.NEW


def test_nothing_is_allowed_by_itself_where_that_is_off(store: GreylistStore, clock: Clock) -> None:
    """``auto_allow = 0``: each triplet has to pass."""
    off = BOUNDS._replace(auto_allow=0)
    for triplet in _others(5):
        _ask(store, triplet, off)
    clock.now += TIMING.delay
    assert {_ask(store, triplet, off) for triplet in _others(5)} == {Verdict.PASSED}
    assert _ask(store, ANN, off) is Verdict.NEW
    assert store.networks(limit=9) == []


def test_allowed_network_that_is_quiet_for_a_lifetime_is_a_stranger_again(store: GreylistStore, clock: Clock) -> None:
    """While it sends it stays; whether the batch has run by then does not matter."""
    _pass(store, clock, *_others(3))
    clock.now += TIMING.lifetime - 1
    assert _ask(store) is Verdict.ALLOWED
    clock.now += TIMING.lifetime - 1
    assert _ask(store) is Verdict.ALLOWED
    clock.now += TIMING.lifetime + 1
    assert _ask(store) is Verdict.NEW
    clock.now += TIMING.delay
    assert _ask(store) is Verdict.PASSED
    assert store.networks(limit=9)[0].passes == 1  # it begins anew, too


def test_operator_allows_a_network_for_good(store: GreylistStore, clock: Clock) -> None:
    """However quiet it is; until it is forgotten."""
    store.allow([ANN.network])
    clock.now += 10 * TIMING.lifetime
    store.expire(TIMING, 100)
    assert _ask(store) is Verdict.ALLOWED
    assert store.networks(limit=9) == [Network(ANN.network, 0, True, T)]
    assert store.forget(network=ANN.network) == 1
    assert _ask(store) is Verdict.NEW


def test_known_triplet_costs_no_write(opener: Opener, clock: Clock, tmp_path: Path) -> None:
    """Neither does hammering, nor a network that is allowed: no file of the store changes."""
    store = opener()
    _pass(store, clock, ANN)
    waiting = ANN._replace(sender="other@example.com")
    _ask(store, waiting)
    store.allow(["198.51.100.0/24"])
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for _ in range(10):
        assert _ask(store) is Verdict.KNOWN
        assert _ask(store, waiting) is Verdict.EARLY
        assert _ask(store, ANN._replace(network="198.51.100.0/24")) is Verdict.ALLOWED
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if not file.name.endswith("-shm")} == {
        name: content for name, content in before.items() if not name.endswith("-shm")
    }


def test_life_of_a_known_triplet_is_prolonged_by_its_mail(store: GreylistStore, clock: Clock) -> None:
    """Not at each mail, but long before it would be forgotten."""
    _pass(store, clock, ANN)
    for _ in range(50):
        clock.now += refresh_after(TIMING) + 1
        assert _ask(store) is Verdict.KNOWN
        store.expire(TIMING, 100)


def test_expiry_takes_a_batch_at_a_time(store: GreylistStore, clock: Clock) -> None:
    """The oldest first, no more than asked, and nothing that still counts."""
    for triplet in _others(7):
        _ask(store, triplet)
    clock.now += TIMING.window / 2
    _ask(store)
    assert store.expire(TIMING, 100) == 0
    clock.now += TIMING.window / 2 + 1
    assert [store.expire(TIMING, 3) for _ in range(4)] == [3, 3, 1, 0]
    assert store.totals() == Totals(1, 0, 0, 0)
    assert store.look(ANN)[0] is not None


def test_what_a_clock_ahead_has_written_is_forgotten(store: GreylistStore, clock: Clock) -> None:
    """A year that never was must not fill the file for good."""
    clock.now += 100 * TIMING.lifetime
    _ask(store)
    clock.now = T
    assert store.expire(TIMING, 100) == 1


def test_flood_of_strangers_is_bounded_and_stops_no_mail(store: GreylistStore, clock: Clock) -> None:
    """A full memory says so, keeps what it has, and has room again when some of it is forgotten."""
    bounds = BOUNDS._replace(size=20)
    for triplet in _others(19):
        assert _ask(store, triplet, bounds) is Verdict.NEW
    with pytest.raises(GreylistFull):
        _ask(store, ANN, bounds)
    assert store.totals().waiting == 19
    clock.now += TIMING.delay
    assert _ask(store, _others(1)[0], bounds) is Verdict.PASSED
    clock.now += TIMING.window + 1
    assert _ask(store, ANN, bounds) is Verdict.NEW
    assert store.totals().waiting == 1


def test_long_addresses_are_told_apart_and_cut(store: GreylistStore, clock: Clock) -> None:
    """A sender cannot make the file grow by what it writes into an address."""
    long = [ANN._replace(sender=f"{'x' * 5000}{number}@example.com") for number in range(2)]
    assert [_ask(store, triplet) for triplet in long] == [Verdict.NEW, Verdict.NEW]
    assert _ask(store, long[0]) is Verdict.EARLY
    assert {len(each.triplet.sender) for each in store.triplets(limit=9)} == {TEXT_LIMIT}
    strange = ANN._replace(sender="\udc80\x00\x1b[31m@example.com")
    assert [_ask(store, strange), _ask(store, strange)] == [Verdict.NEW, Verdict.EARLY]


def test_listing_filters_and_shows_the_newest_first(store: GreylistStore, clock: Clock) -> None:
    """By what is written, and by whether it has passed."""
    first, second = _others(2)
    _pass(store, clock, first)
    clock.now += 1
    _ask(store, second)
    elsewhere = Triplet("2001:db8::/64", "", "eve@x.test")
    clock.now += 1
    _ask(store, elsewhere)
    assert [each.triplet for each in store.triplets(limit=9)] == [elsewhere, second, first]
    assert [each.triplet for each in store.triplets(limit=1)] == [elsewhere]
    assert [each.triplet for each in store.triplets(limit=9, state="passed")] == [first]
    assert [each.triplet for each in store.triplets(limit=9, state="waiting")] == [elsewhere, second]
    assert [each.triplet for each in store.triplets(limit=9, network="2001:db8::/64")] == [elsewhere]
    assert [each.triplet for each in store.triplets(limit=9, sender="s1@example.com")] == [second]
    assert [each.triplet for each in store.triplets(limit=9, recipient="eve@x.test")] == [elsewhere]
    (shown,) = store.triplets(limit=9, state="passed")
    assert (shown.key, shown.memory) == (first.key.hex(), Memory(T, T + 300, T + 300))


def test_forgetting_takes_what_matches_and_nothing_else(store: GreylistStore, clock: Clock) -> None:
    """Nothing given forgets nothing; everything has to be said."""
    _pass(store, clock, *_others(3))
    _ask(store, Triplet("2001:db8::/64", "s1@example.com", "bob@x.test"))
    assert store.forget() == 0
    assert store.forget(sender="s1@example.com", network="2001:db8::/64") == 1
    assert store.forget(sender="s1@example.com") == 1
    assert store.totals() == Totals(0, 2, 1, 0)
    assert store.forget(everything=True) == 3
    assert store.totals() == Totals(0, 0, 0, 0)


def test_totals_count_each_kind(store: GreylistStore, clock: Clock) -> None:
    """What statistics show."""
    _pass(store, clock, *_others(2))
    _ask(store, ANN)
    store.allow(["198.51.100.0/24"])
    assert store.totals() == Totals(waiting=1, passed=2, networks=2, allowed=1)


def test_copy_is_whole_and_made_in_use(opener: Opener, clock: Clock, tmp_path: Path) -> None:
    """A backup restored knows what was known."""
    store = opener()
    _pass(store, clock, ANN)
    (tmp_path / "copy").mkdir()
    store.backup_to(tmp_path / "copy" / "greylist.db")
    copy = SQLiteGreylist(tmp_path / "copy" / "greylist.db", clock=clock)
    assert _ask(copy) is Verdict.KNOWN
    copy.close()
