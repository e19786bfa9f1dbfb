"""What every queue store promises. One suite, run over each backend; the embedded one is the test double."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gatepost.errors import StoreError
from gatepost.queue import (
    INLINE_LIMIT,
    LOCAL,
    FileBody,
    InlineBody,
    Lease,
    NewMessage,
    NewRecipient,
    RecipientState,
    Selection,
    Settlement,
)
from gatepost.queue.outcome import deferred, delivered, failed
from gatepost.store.interface import LeaseLost, QueueStore
from gatepost.store.sqlite import SQLiteQueue

Opener = Callable[[Path, "Clock"], QueueStore]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def open_sqlite(data: Path, clock: Clock) -> QueueStore:
    """The embedded backend."""
    return SQLiteQueue(data, clock=clock)


BACKENDS: dict[str, Opener] = {"sqlite": open_sqlite}


@pytest.fixture(params=BACKENDS)
def opener(request: pytest.FixtureRequest) -> Opener:
    return BACKENDS[request.param]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(opener: Opener, tmp_path: Path, clock: Clock) -> Iterator[QueueStore]:
    store = opener(tmp_path / "data", clock)
    yield store
    store.close()


def message(
    name: str, *destinations: str, hold: bool = False, octets: bytes = b"Subject: x\r\n\r\nx\r\n"
) -> NewMessage:
    """A message to one user at each destination."""
    recipients = tuple(
        NewRecipient(f"user{n}@{d}", d, "local" if d == LOCAL else "remote")
        for n, d in enumerate(destinations or ("example.com",))
    )
    return NewMessage(name, 1_000_000.0, "a@example.org", InlineBody(octets), len(octets), recipients, hold=hold)


def names(leases: list[Lease]) -> list[str]:
    return [lease.message.id for lease in leases]


def states(store: QueueStore, name: str) -> list[str]:
    status = store.show(name)
    return [] if status is None else [recipient.state for recipient in status.recipients]


def one(store: QueueStore) -> Lease:
    (lease,) = store.lease("w", 10, 60)
    return lease


def test_store_returns_every_field_that_was_enqueued(store: QueueStore) -> None:
    """Nothing of the envelope or the content changes on its way through the queue."""
    recipient = NewRecipient("b@x.example", "x.example", "remote", frozenset({"DELAY", "FAILURE"}), "rfc822;o", "c@d")
    new = NewMessage(
        id="m1",
        received_at=999_999.5,
        sender="",
        body=InlineBody(bytes(range(256))),
        size=256,
        recipients=(recipient,),
        origin='{"peer": "192.0.2.1"}',
        smtputf8=True,
        eightbit="8BITMIME",
        ret="HDRS",
        envid="e+3D",
    )
    store.enqueue([new])
    lease = one(store)
    found = lease.message
    assert (found.id, found.received_at, found.sender, found.size, found.origin) == (
        "m1",
        999_999.5,
        "",
        256,
        new.origin,
    )
    assert (found.smtputf8, found.eightbit, found.ret, found.envid) == (True, "8BITMIME", "HDRS", "e+3D")
    assert b"".join(store.open_body(found.body)) == bytes(range(256))
    assert (lease.address, lease.destination, lease.kind) == ("b@x.example", "x.example", "remote")
    assert (lease.notify, lease.orcpt, lease.original) == (recipient.notify, "rfc822;o", "c@d")
    assert (lease.attempts, lease.warned, lease.owner, lease.expires) == (1, False, "w", 1_000_060.0)


def test_store_keeps_messages_when_it_is_opened_again(opener: Opener, tmp_path: Path, clock: Clock) -> None:
    """What was enqueued is there for the next process."""
    first = opener(tmp_path, clock)
    first.enqueue([message("m1")])
    first.close()
    second = opener(tmp_path, clock)
    assert names(second.lease("w", 10, 60)) == ["m1"]
    second.close()


def test_enqueue_may_be_repeated(store: QueueStore) -> None:
    """A call whose answer was lost can be made again: an id is queued once, and the rest of the group is queued."""
    store.enqueue([message("m1")])
    store.enqueue([message("m1"), message("m2"), message("m2")])
    assert sorted(names(store.lease("w", 10, 60))) == ["m1", "m2"]


def test_enqueue_refuses_a_message_without_recipients(store: QueueStore) -> None:
    """Such a message would stay for ever; its whole group is refused."""
    with pytest.raises(ValueError, match="no recipients"):
        store.enqueue([message("m1"), replace(message("m2"), recipients=())])
    assert store.counts().messages == 0


def test_lease_is_exclusive_until_it_expires(store: QueueStore, clock: Clock) -> None:
    """Two workers never hold the same recipient; a dead worker's lease comes back when its time is over."""
    store.enqueue([message("m1")])
    assert names(store.lease("w1", 10, 60)) == ["m1"]
    clock.now += 59
    assert store.lease("w2", 10, 60) == []
    clock.now += 1
    (again,) = store.lease("w2", 10, 60)
    assert (again.owner, again.attempts) == ("w2", 2)


def test_lease_takes_the_oldest_first(store: QueueStore, clock: Clock) -> None:
    """Mail that became due earlier is delivered earlier."""
    for name in ("m1", "m2", "m3"):
        store.enqueue([message(name)])
        clock.now += 1
    assert names(store.lease("w", 2, 60)) == ["m1", "m2"]


def test_lease_passes_by_excluded_and_full_destinations(store: QueueStore) -> None:
    """A busy destination takes nothing from the others."""
    store.enqueue([message(f"a{n}", "a.example") for n in range(5)])
    store.enqueue([message(f"b{n}", "b.example") for n in range(5)])
    leases = store.lease("w", 10, 60, exclude={"a.example"}, per_destination=2)
    assert [lease.destination for lease in leases] == ["b.example"] * 2
    assert [lease.destination for lease in store.lease("w", 10, 60, destination="a.example")] == ["a.example"] * 5


def test_lease_reaches_others_behind_a_great_backlog(store: QueueStore, clock: Clock) -> None:
    """A destination with thousands of older messages does not stand at the head of the line."""
    store.enqueue([message(f"dead{n}", "dead.example") for n in range(3000)])
    clock.now += 1
    store.enqueue([message(f"{c}{n}", f"{c}.example") for c in "xyz" for n in range(20)])
    leases = store.lease("w", 9, 60, exclude=["dead.example"], per_destination=3)
    assert sorted(lease.destination for lease in leases) == ["x.example"] * 3 + ["y.example"] * 3 + ["z.example"] * 3
    leases = store.lease("w", 12, 60, per_destination=5)
    assert {lease.destination for lease in leases} >= {"dead.example", "x.example", "y.example"}


def test_lease_goes_round_the_destinations(store: QueueStore, clock: Clock) -> None:
    """Behind a backlog every destination has its turn, also with room for only one at a time."""
    store.enqueue([message(f"dead{n}", "dead.example") for n in range(1000)])
    clock.now += 1
    store.enqueue([message(f"{c}{n}", f"{c}.example") for c in "bxy" for n in range(2)])
    seen = [store.lease("w", 1, 60, exclude=["dead.example"])[0].destination for _ in range(6)]
    assert seen == ["b.example", "x.example", "y.example"] * 2


def test_lease_does_not_tear_apart_a_message_for_one_destination(store: QueueStore) -> None:
    """Recipients that can go in one transaction are leased together, beyond the limit if need be."""
    store.enqueue([message("m1", *["a.example"] * 10), message("m2", "a.example")])
    leases = store.lease("w", 3, 60, per_destination=2)
    assert names(leases) == ["m1"] * 10
    assert len({id(lease.message) for lease in leases}) == 1


def test_lease_renewed_lives_longer(store: QueueStore, clock: Clock) -> None:
    """A slow delivery can keep its lease; a lost one cannot be renewed."""
    store.enqueue([message("m1")])
    lease = one(store)
    clock.now += 50
    assert store.renew([lease], 60) == 1
    clock.now += 50
    assert store.lease("w2", 10, 60) == []
    clock.now += 10
    assert len(store.lease("w2", 10, 60)) == 1
    assert store.renew([lease], 60) == 0


def test_lease_given_back_is_due_at_once_and_not_counted(store: QueueStore) -> None:
    """A worker that stops returns what it did not try."""
    store.enqueue([message("m1")])
    assert store.give_back([one(store)]) == 1
    assert one(store).attempts == 1


def test_leases_of_a_dead_owner_come_back_at_once(store: QueueStore) -> None:
    """At a restart nothing waits for the expiry of the dead worker's leases."""
    store.enqueue([message("m1"), message("m2")])
    store.lease("dead", 1, 3600)
    store.lease("alive", 1, 3600)
    assert store.release_owner("dead") == 1
    assert names(store.lease("new", 10, 60)) == ["m1"]


def test_what_a_clock_that_was_ahead_put_off_is_due_now(store: QueueStore, clock: Clock) -> None:
    """An hour ahead, and back: a deferred recipient and a lease do not wait for that hour; what waits rightly does."""
    store.enqueue([message("m1"), message("m2"), message("m3")])
    clock.now += 3600
    late, lost = store.lease("a", 2, 300)
    store.settle([Settlement(late, deferred("later"), clock.now + 60)])
    clock.now -= 3600
    (rightly,) = store.lease("a", 1, 300)
    store.settle([Settlement(rightly, deferred("later"), clock.now + 100)])
    assert store.lease("b", 10, 300) == []
    assert store.bring_forward(120, 300) == 2
    assert {lease.message.id for lease in store.lease("b", 10, 300)} == {late.message.id, lost.message.id}
    assert store.bring_forward(120, 300) == 0


def test_next_due_is_the_first_attempt_or_expiry(store: QueueStore, clock: Clock) -> None:
    """A worker knows how long it may sleep."""
    assert store.next_due() is None
    store.enqueue([message("m1"), message("m2")])
    assert store.next_due() == clock.now
    first = store.lease("w", 1, 500)
    second = store.lease("w", 1, 700)
    assert store.next_due() == clock.now + 500
    store.settle([Settlement(second[0], deferred("later"), clock.now + 300)])
    assert store.next_due() == clock.now + 300
    store.settle([Settlement(first[0], delivered())])
    assert store.next_due() == clock.now + 300


def test_settle_removes_a_message_when_all_are_final(store: QueueStore) -> None:
    """A message goes with its last recipient, not before."""
    store.enqueue([message("m1", "a.example", "b.example")])
    first, second = store.lease("w", 10, 60)
    store.settle([Settlement(first, delivered())])
    status = store.show("m1")
    assert status is not None
    assert [recipient.address for recipient in status.recipients] == [second.address]
    store.settle([Settlement(second, failed("no such user", code=550, enhanced="5.1.1"))])
    assert store.show("m1") is None
    assert store.counts().messages == 0


def test_settle_removes_the_body_with_the_message(store: QueueStore) -> None:
    """Delivered mail takes no room: its body's file goes too, with its last recipient and not before."""
    writer = store.body_writer("m1")
    writer.write(b"x" * (INLINE_LIMIT + 1))
    store.enqueue([replace(message("m1", "a.example", "b.example"), body=writer.finish())])
    first, second = store.lease("w", 10, 60)
    store.settle([Settlement(first, delivered())])
    assert sum(map(len, store.open_body(second.message.body))) == INLINE_LIMIT + 1
    store.settle([Settlement(second, failed("no"))])
    with pytest.raises(StoreError):
        store.open_body(second.message.body)
    assert store.sweep() == 0


def test_settle_defers_to_the_given_time_with_the_last_reply(store: QueueStore, clock: Clock) -> None:
    """A deferred recipient waits, and shows the operator why."""
    store.enqueue([message("m1")])
    outcome = deferred("try later", code=451, enhanced="4.7.1", remote="mx[192.0.2.1]:25", tls="TLSv1.3")
    store.settle([Settlement(one(store), outcome, clock.now + 300, warned=True)])
    status = store.show("m1")
    assert status is not None
    (recipient,) = status.recipients
    assert (recipient.state, recipient.next_attempt, recipient.attempts) == ("deferred", clock.now + 300, 1)
    assert (recipient.reply, recipient.remote, recipient.tls) == ("451 4.7.1 try later", "mx[192.0.2.1]:25", "TLSv1.3")
    clock.now += 299
    assert store.lease("w", 10, 60) == []
    clock.now += 1
    lease = one(store)
    assert (lease.attempts, lease.warned) == (2, True)


def test_settle_queues_the_bounce_with_the_failure(store: QueueStore) -> None:
    """The failed message goes and its report comes in the same transaction; repeating the bounce's id adds nothing."""
    store.enqueue([message("m1")])
    store.settle([Settlement(one(store), failed("no"))], [message("m1-bounce", "example.org")])
    assert names(store.lease("w", 10, 60)) == ["m1-bounce"]
    store.enqueue([message("m2")])
    store.settle([Settlement(one(store), failed("no"))], [message("m1-bounce", "example.org")])
    assert store.counts().messages == 1


def test_settle_refuses_a_failure_whose_lease_is_lost(store: QueueStore, clock: Clock) -> None:
    """A worker that came too late bounces nothing: nothing of its call is recorded."""
    store.enqueue([message("m1"), message("m2")])
    lost, kept = store.lease("slow", 1, 10) + store.lease("slow", 1, 1000)
    clock.now += 10
    (taken,) = store.lease("other", 1, 60)
    assert taken.message.id == lost.message.id
    with pytest.raises(LeaseLost) as caught:
        store.settle([Settlement(lost, failed("no")), Settlement(kept, failed("no"))], [message("bounce")])
    assert [s.lease for s in caught.value.settlements] == [lost]
    assert store.counts().messages == 2
    store.settle([Settlement(kept, failed("no"))])
    assert store.counts().messages == 1


def test_settle_knows_an_earlier_lease_of_the_same_owner(store: QueueStore, clock: Clock) -> None:
    """A worker's late deferral does not end the lease that the same worker took since."""
    store.enqueue([message("m1")])
    old = one(store)
    clock.now += 60
    new = one(store)
    with pytest.raises(LeaseLost):
        store.settle([Settlement(old, deferred("x"), clock.now + 1)])
    store.settle([Settlement(new, deferred("x"), clock.now + 1)])


def test_settle_records_a_delivery_whoever_holds_the_lease(store: QueueStore, clock: Clock) -> None:
    """The peer has the message: keeping the recipient would only repeat it."""
    store.enqueue([message("m1")])
    late = one(store)
    clock.now += 60
    store.lease("other", 10, 60)
    store.settle([Settlement(late, delivered())])
    assert store.counts().messages == 0
    store.settle([Settlement(late, delivered())])


def test_settle_noted_records_what_a_dead_worker_delivered(store: QueueStore) -> None:
    """A recipient of it is gone, and the message with the last one; notes about what is gone do nothing."""
    store.enqueue([message("one", "a.example", "b.example"), message("two", "c.example")])
    assert store.settle_noted([("one", 1), ("two", 0), ("gone", 0), ("one", 7)]) == 2
    assert store.show("two") is None
    assert one(store).destination == "a.example"
    assert store.settle_noted([("one", 0), ("one", 0), ("one", 1)]) == 1
    assert store.counts().messages == 0
    assert store.settle_noted([]) == 0


def test_settle_noted_removes_the_body_with_the_message(store: QueueStore) -> None:
    """A body in a file goes as it does with an outcome."""
    writer = store.body_writer("m1")
    writer.write(b"x" * (INLINE_LIMIT + 1))
    store.enqueue([replace(message("m1", "a.example", "b.example"), body=writer.finish())])
    lease, *_ = store.lease("w", 10, 60)
    assert store.settle_noted([("m1", 1)]) == 1
    assert sum(map(len, store.open_body(lease.message.body))) == INLINE_LIMIT + 1
    assert store.settle_noted([("m1", 0)]) == 1
    with pytest.raises(StoreError):
        store.open_body(lease.message.body)


def test_late_delivery_never_touches_another_message(store: QueueStore) -> None:
    """Numbers of messages are not used again, so a stale report cannot remove a newer message."""
    store.enqueue([message("m1")])
    stale = one(store)
    store.drop(Selection(("m1",)))
    store.enqueue([message("m2")])
    store.settle([Settlement(stale, delivered())])
    assert states(store, "m2") == ["queued"]


def test_settle_refuses_a_deferral_without_a_time(store: QueueStore) -> None:
    """A recipient that is never due would be lost in silence."""
    store.enqueue([message("m1")])
    with pytest.raises(ValueError, match="next attempt"):
        store.settle([Settlement(one(store), deferred("x"))])
    assert states(store, "m1") == ["leased"]


def test_held_message_waits_for_the_operator(store: QueueStore) -> None:
    """A message queued on hold is durable and is not delivered until it is released."""
    store.enqueue([message("m1", hold=True), message("m2")])
    assert names(store.lease("w", 10, 60)) == ["m2"]
    assert store.next_due() is not None
    assert (states(store, "m1"), store.release(Selection(("m1",)))) == (["held"], 1)
    assert names(store.lease("w", 10, 60)) == ["m1"]


def test_hold_during_an_attempt_takes_effect_after_it(store: QueueStore, clock: Clock) -> None:
    """The attempt that runs is finished; a deferral or an expired lease then ends in hold."""
    store.enqueue([message("m1"), message("m2")])
    first, _ = store.lease("w", 10, 60)
    assert store.hold(Selection(everything=True)) == 2
    assert states(store, "m1") == ["leased"]
    store.settle([Settlement(first, deferred("x"), clock.now + 5)])
    clock.now += 60
    assert store.lease("w", 10, 60) == []
    assert (states(store, "m1"), states(store, "m2")) == (["held"], ["held"])
    assert store.hold(Selection(everything=True)) == 0


def test_retry_makes_deferred_mail_due_now(store: QueueStore, clock: Clock) -> None:
    """Held mail stays held: that takes a release."""
    store.enqueue([message("m1", "a.example"), message("m2", "b.example"), message("m3", "a.example", hold=True)])
    for lease in store.lease("w", 10, 60):
        store.settle([Settlement(lease, deferred("x"), clock.now + 1000)])
    assert store.retry(Selection(destination="a.example")) == 1
    assert names(store.lease("w", 10, 60)) == ["m1"]


def test_drop_removes_messages_and_bodies(store: QueueStore, tmp_path: Path) -> None:
    """A dropped message leaves nothing, and an attempt that runs meanwhile cannot bring it back."""
    writer = store.body_writer("m1")
    writer.write(b"x" * (INLINE_LIMIT + 1))
    store.enqueue([replace(message("m1"), body=writer.finish()), message("m2"), message("m3")])
    leases = store.lease("w", 10, 60)
    assert store.drop(Selection(("m1", "m3", "nobody"))) == 2
    assert [status.id for status in store.list()] == ["m2"]
    with pytest.raises(StoreError):
        list(store.open_body(leases[0].message.body))
    with pytest.raises(LeaseLost):
        store.settle([Settlement(leases[0], failed("x"))])
    assert store.check() == []


def test_operator_commands_reach_every_message(store: QueueStore) -> None:
    """Commands over everything work in slices and miss none."""
    store.enqueue([message(f"m{n:04}", f"{'ab'[n % 2]}.example") for n in range(1201)])
    assert store.hold(Selection(destination="a.example")) == 601
    assert store.counts().held == 601
    assert store.hold(Selection(everything=True)) == 600
    assert store.release(Selection(everything=True)) == 1201
    assert store.drop(Selection(everything=True)) == 1201
    assert store.counts().messages == 0


def test_list_pages_in_order_and_filters(store: QueueStore) -> None:
    """A listing can be continued where it stopped, by state or by destination."""
    store.enqueue([message(f"m{n}", f"{'ab'[n % 2]}.example", hold=n >= 4) for n in range(6)])
    first = store.list(limit=2)
    assert [m.id for m in first] == ["m0", "m1"]
    assert [m.id for m in store.list(limit=9, after=first[-1].sequence)] == ["m2", "m3", "m4", "m5"]
    assert [m.id for m in store.list(state="held")] == ["m4", "m5"]
    assert [m.id for m in store.list(state="held", destination="b.example")] == ["m5"]
    assert store.show("m9") is None


def test_counts_tell_every_state(store: QueueStore, clock: Clock) -> None:
    """The counts are of recipients, by state, and of messages."""
    assert store.counts().oldest is None
    store.enqueue([message("m0"), message("m1"), message("m2", "a.example", "b.example"), message("m3", hold=True)])
    first, _ = store.lease("w", 2, 60)
    store.settle([Settlement(first, deferred("x"), clock.now + 9)])
    counts = store.counts()
    assert (counts.messages, counts.queued, counts.leased, counts.deferred, counts.held) == (4, 2, 1, 1, 1)
    assert counts.oldest == 1_000_000.0


def test_every_stored_state_is_of_the_table(store: QueueStore, clock: Clock) -> None:
    """What stands in the store is what the state table names."""
    store.enqueue([message("m0"), message("m1"), message("m2"), message("m3", hold=True)])
    first, _ = store.lease("w", 2, 60)
    store.settle([Settlement(first, deferred("x"), clock.now + 9)])
    found = {r.state for m in store.list() for r in m.recipients}
    assert found == {s.value for s in RecipientState} - {"receiving", "gone"}


@pytest.mark.parametrize("length", [0, 1, INLINE_LIMIT, INLINE_LIMIT + 1, 3 * 1024 * 1024 + 7])
@pytest.mark.parametrize("piece", [1000, 70_001])
def test_body_comes_back_as_written(store: QueueStore, length: int, piece: int) -> None:
    """However it was cut, a body is returned octet for octet; short ones stay in the row."""
    octets = bytes(n * n % 251 for n in range(1000)) * (length // 1000 + 1)
    octets = octets[:length]
    writer = store.body_writer("m1")
    for start in range(0, length, piece):
        writer.write(octets[start : start + piece])
    assert writer.length == length
    body = writer.finish()
    assert isinstance(body, InlineBody if length <= INLINE_LIMIT else FileBody)
    store.enqueue([replace(message("m1"), body=body)])
    lease = one(store)
    assert lease.message.body == body == store.body_of("m1")
    assert b"".join(store.open_body(lease.message.body)) == octets


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "-x", ".x", "x" * 65, "a\n", "ä", "a\x00"])
def test_body_writer_refuses_names_that_are_no_ids(store: QueueStore, name: str) -> None:
    """A message id never becomes a path."""
    with pytest.raises(ValueError, match="no message id"):
        store.body_writer(name)


def test_backup_while_in_use_can_be_restored(store: QueueStore, opener: Opener, tmp_path: Path, clock: Clock) -> None:
    """The documented restore: the backup's files in an empty data directory are the queue of that moment, unleased."""
    for name in ("big1", "big2"):
        writer = store.body_writer(name)
        writer.write(name.encode() * INLINE_LIMIT)
        store.enqueue([replace(message(name), body=writer.finish())])
    store.enqueue([message("small"), message("held", hold=True)])
    store.lease("w", 1, 60)
    report = store.backup(tmp_path / "backup")
    assert (report.messages, report.bodies, report.finished) == (4, 2, 0)
    store.settle([Settlement(lease, delivered()) for lease in store.lease("w", 10, 60)])
    shutil.copytree(tmp_path / "backup", tmp_path / "restored")
    restored = opener(tmp_path / "restored", clock)
    assert restored.check() == []
    assert restored.counts().held == 1
    bodies = {lease.message.id: b"".join(restored.open_body(lease.message.body)) for lease in restored.lease("w", 9, 9)}
    assert sorted(bodies) == ["big1", "big2", "small"]
    assert bodies["big2"] == b"big2" * INLINE_LIMIT
    restored.close()


def test_backup_refuses_a_folder_that_holds_one(store: QueueStore, tmp_path: Path) -> None:
    """A backup never writes over another."""
    store.backup(tmp_path / "backup")
    with pytest.raises(StoreError, match="holds a backup already"):
        store.backup(tmp_path / "backup")
