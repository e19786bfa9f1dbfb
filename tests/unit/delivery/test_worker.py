"""Promises of the whole delivery process: queue in, servers and mailboxes out, and what is written down."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.delivery.scripted import Behaviour, ScriptedServer

from gatepost.accounts.resolution import NOT_OURS, UNKNOWN, Found, Resolution
from gatepost.config.schema import Config
from gatepost.delivery import worker as worker_module
from gatepost.delivery.notes import Note, Notes
from gatepost.delivery.ownership import Ownership
from gatepost.delivery.worker import Worker
from gatepost.errors import StoreError
from gatepost.mailbox import mailbox_root
from gatepost.net.resolve import AddressAnswer, Exchanger, Lookup, MXAnswer
from gatepost.observe.shared import new_shared
from gatepost.queue.item import LOCAL, InlineBody, NewMessage, NewRecipient, Settlement
from gatepost.queue.outcome import Outcome, Result, deferred
from gatepost.store.sqlite.queue import SQLiteQueue
from gatepost.testing.ca import TestAuthority

CONTENT = b"From: <a@example.org>\r\nSubject: x\r\n\r\nhello\r\n.dot\r\n"
AUTHORITY = TestAuthority()


class Names:
    """A resolver out of two tables."""

    def __init__(self, mx: dict[str, MXAnswer], hosts: dict[str, str]) -> None:
        self._mx = mx
        self._hosts = hosts

    async def mx(self, domain: str) -> MXAnswer:
        return self._mx.get(domain, MXAnswer(Lookup.NO_NAME))

    async def addresses(self, host: str, *, local_names: bool = False) -> AddressAnswer:
        address = self._hosts.get(host)
        return AddressAnswer(Lookup.FOUND, (address,)) if address else AddressAnswer(Lookup.NO_NAME)


class Watched(SQLiteQueue):
    """The real queue; remembers what was settled, and can fail on command."""

    __slots__ = ("fail_next", "reports", "settled", "woken")

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.settled: list[Settlement] = []
        self.reports: list[NewMessage] = []
        self.woken: asyncio.Event = asyncio.Event()
        self.fail_next = 0

    def settle(self, settlements: Sequence[Settlement], bounces: Sequence[NewMessage] = ()) -> None:
        if self.fail_next:
            self.fail_next -= 1
            raise StoreError("the disk is full")
        super().settle(settlements, bounces)
        self.settled += settlements
        self.reports += bounces
        self.woken.set()

    def outcomes(self) -> dict[str, Outcome]:
        """The last outcome of each recipient."""
        return {one.lease.address: one.outcome for one in self.settled}


def find(local: str, domain: str) -> Resolution:
    """example.org is here, with one user."""
    if domain != "example.org":
        return NOT_OURS
    return Found((f"{local}@example.org",)) if local == "a" else UNKNOWN


class House:
    """A queue and what is needed to deliver from it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.queue = Watched(data)
        self.count = 0

    def put(self, *addresses: str, sender: str = "a@example.org", content: bytes = CONTENT, **changes: Any) -> str:
        """Queue one message; an address at example.org is a mailbox here."""
        self.count += 1
        recipients = tuple(
            NewRecipient(one, LOCAL, "local", changes.get("notify"))
            if one.endswith("@example.org")
            else NewRecipient(one, one.rpartition("@")[2], "remote", changes.get("notify"))
            for one in addresses
        )
        name = f"m{self.count:05}"
        received = changes.get("received_at", time.time())
        self.queue.enqueue([NewMessage(name, received, sender, InlineBody(content), len(content), recipients)])
        return name

    def config(self, port: int, **delivery: Any) -> Config:
        """A configuration that delivers to a port."""
        settings = {"port": port, "tls_level": "may", "resolver": ["127.0.0.1:9"], **delivery}
        listener = [{"name": "mx", "protocol": "smtp", "bind": ["127.0.0.9:25"]}]
        return Config.model_validate(
            {"hostname": "us.example.org", "data": self.data, "delivery": settings, "listener": listener}
        )

    def deliver(self, config: Config, names: Names, until: Callable[[], bool], *, reflector: str = "") -> None:
        """Run the worker until the condition holds, and drain it."""

        async def go() -> None:
            self.queue.woken = asyncio.Event()
            ownership = Ownership(self.data / "queue")
            try:
                worker = Worker(config, new_shared(), self.queue, find, ownership, reflector=reflector, resolver=names)
                running = asyncio.get_running_loop().create_task(worker.run())
                async with asyncio.timeout(20):
                    while not until():
                        self.queue.woken.clear()
                        await self.queue.woken.wait()
                    worker.drain()
                    await running
            finally:
                ownership.close()

        asyncio.run(go())

    def settle_all(self, config: Config, names: Names, count: int) -> dict[str, Outcome]:
        """Run until so many outcomes were written down."""
        self.deliver(config, names, lambda: len(self.queue.settled) >= count)
        return self.queue.outcomes()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house with an empty queue."""
    made = House(tmp_path)
    yield made
    made.queue.close()


def names(*hosts: tuple[str, str], domain: str = "example.com", **more: MXAnswer) -> Names:
    """A domain with these exchangers, in order of preference."""
    found = tuple(Exchanger(10 * (n + 1), host) for n, (host, _) in enumerate(hosts))
    return Names({domain: MXAnswer(Lookup.FOUND, found), **more}, dict(hosts))


ONE = (("mx.example.com", "127.0.0.1"),)


def test_message_arrives_octet_by_octet_and_leaves_the_queue(house: House) -> None:
    """What was queued is what the server got, dots included, and nothing is left."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour()) as server:
        outcomes = house.settle_all(house.config(server.port), names(*ONE), 1)
    assert outcomes["b@example.com"].result is Result.DELIVERED
    (message,) = server.messages
    assert (message.sender, message.recipients) == ("a@example.org", ["b@example.com"])
    assert message.content == CONTENT.replace(b"\r\n.dot", b"\r\n..dot")
    assert house.queue.counts().messages == 0
    assert server.quits == 1


def test_message_that_a_clock_put_off_is_delivered_when_it_was_set_right(house: House) -> None:
    """A next attempt further away than any wait reaches was written down by a clock that was ahead."""
    house.put("b@example.com")
    (lease,) = house.queue.lease("somebody", 1, 300)
    house.queue.settle([Settlement(lease, deferred("later"), time.time() + 86400)])
    house.queue.settled.clear()
    with ScriptedServer(Behaviour()) as server:
        assert house.settle_all(house.config(server.port), names(*ONE), 1)["b@example.com"].result is Result.DELIVERED


def test_message_goes_over_verified_tls_with_the_exchangers_name(house: House, tmp_path: Path) -> None:
    """The name of the MX host is the one that the certificate must have."""
    house.put("b@example.com")
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    config = {"tls_level": "verify", "ca_file": tmp_path / "ca.pem"}
    server = ScriptedServer(Behaviour(starttls="offer"), issued=AUTHORITY.issue("mx.example.com"), folder=tmp_path)
    with server:
        outcomes = house.settle_all(house.config(server.port, **config), names(*ONE), 1)
    assert "verified" in outcomes["b@example.com"].tls
    assert server.messages[0].tls


def test_recipients_of_one_destination_share_one_transaction(house: House) -> None:
    """One copy of the content for all of them; each gets its own outcome."""
    behaviour = Behaviour(
        recipients={"no@example.com": b"550 5.1.1 unknown\r\n", "late@example.com": b"451 4.7.1 later\r\n"}
    )
    house.put("b@example.com", "no@example.com", "late@example.com", "c@example.com")
    with ScriptedServer(behaviour) as server:
        outcomes = house.settle_all(house.config(server.port), names(*ONE), 4)
    assert [message.recipients for message in server.messages] == [["b@example.com", "c@example.com"]]
    assert outcomes["b@example.com"].result is Result.DELIVERED
    assert outcomes["no@example.com"].reply == "550 5.1.1 unknown"
    assert outcomes["no@example.com"].result is Result.FAILED
    assert outcomes["late@example.com"].result is Result.DEFERRED


def test_many_messages_share_few_connections(house: House) -> None:
    """Connections are used again, up to the configured number of messages."""
    for _ in range(40):
        house.put("b@example.com")
    with ScriptedServer(Behaviour()) as server:
        config = house.config(server.port, messages_per_connection=10, concurrency_per_destination=2)
        house.settle_all(config, names(*ONE), 40)
    assert len(server.messages) == 40
    assert server.connections <= 6
    per_connection = [sum(m.connection == n for m in server.messages) for n in range(1, server.connections + 1)]
    assert max(per_connection) <= 10


def test_reason_that_is_kept_is_that_of_the_server_which_was_reached(house: House) -> None:
    """A server without TLS, then one that nobody serves: the operator reads of the TLS, not of the connection."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour(), address="127.0.0.2") as server:
        hosts = names(("a.test", "127.0.0.2"), ("b.test", "127.0.0.5"))
        outcomes = house.settle_all(house.config(server.port, tls_level="encrypt"), hosts, 1)
    assert outcomes["b@example.com"].result is Result.DEFERRED
    assert "TLS" in outcomes["b@example.com"].reply and "a.test" in outcomes["b@example.com"].remote


def test_every_exchanger_is_tried_before_a_message_waits(house: House) -> None:
    """A host that nobody serves, one that refuses, one that defers: the last one takes it (RFC 5321 §5.1)."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour(final=b"250 ok\r\n"), address="127.0.0.4") as good:
        busy = ScriptedServer(Behaviour(greeting=b"554 5.3.2 no\r\n"), address="127.0.0.2", port=good.port)
        grey = ScriptedServer(Behaviour(mail=b"451 4.7.1 later\r\n"), address="127.0.0.3", port=good.port)
        with busy, grey:
            hosts = names(
                ("a.test", "127.0.0.5"), ("b.test", "127.0.0.2"), ("c.test", "127.0.0.3"), ("d.test", "127.0.0.4")
            )
            outcomes = house.settle_all(house.config(good.port), hosts, 1)
    assert outcomes["b@example.com"].result is Result.DELIVERED
    assert outcomes["b@example.com"].remote.startswith("d.test[127.0.0.4]")
    assert (busy.connections, grey.connections, len(good.messages)) == (1, 1, 1)


def test_message_is_not_sent_elsewhere_when_its_reply_is_missing(house: House) -> None:
    """The server may have taken it: trying the next one at once would make a duplicate (RFC 1047)."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour(final=b"")) as first:
        second = ScriptedServer(Behaviour(), address="127.0.0.2", port=first.port)
        with second:
            hosts = names(("a.test", "127.0.0.1"), ("b.test", "127.0.0.2"))
            outcomes = house.settle_all(house.config(first.port), hosts, 1)
    assert outcomes["b@example.com"].result is Result.DEFERRED
    assert second.connections == 0


@pytest.mark.parametrize("final", [b"250-half\r\n", b"25", b"250 2.0.0 ok", b"354 go on\r\n", b"nonsense\r\n"])
def test_success_needs_a_complete_reply(house: House, final: bytes) -> None:
    """A reply that is cut off, or none at all, is no 250: the message stays."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour(final=final, hang_up_after_final=True)) as server:
        outcomes = house.settle_all(house.config(server.port), names(*ONE), 1)
    assert outcomes["b@example.com"].result is Result.DEFERRED
    assert house.queue.counts().messages == 1


def test_a_stale_connection_costs_no_delay(house: House) -> None:
    """A server that ends the connection between two messages gets the next one over a new connection at once."""
    for _ in range(3):
        house.put("b@example.com")
    with ScriptedServer(Behaviour(messages_each=1)) as server:
        config = house.config(server.port, concurrency_per_destination=1)
        outcomes = house.settle_all(config, names(*ONE), 3)
    assert outcomes["b@example.com"].result is Result.DELIVERED
    assert len(server.messages) == 3


def test_unreachable_destination_defers_its_whole_line_at_once(house: House) -> None:
    """One attempt for all: not a connection time-out for each message."""
    for _ in range(20):
        house.put("b@example.com")
    with ScriptedServer(Behaviour(greeting=b"421 4.3.2 closed\r\n")) as server:
        config = house.config(server.port, concurrency_per_destination=1)
        house.settle_all(config, names(*ONE), 20)
        assert server.connections == 1
    assert house.queue.counts().deferred == 20
    assert {one.outcome.enhanced for one in house.queue.settled} == {"4.3.2"}


def test_deferred_message_waits_as_the_schedule_says(house: House) -> None:
    """The first retry comes after ``retry_first``, give or take a tenth."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour(mail=b"451 4.3.0 later\r\n")) as server:
        house.settle_all(house.config(server.port, retry_first=1000, retry_max=1000), names(*ONE), 1)
    (settlement,) = house.queue.settled
    assert settlement.next_attempt is not None
    assert 850 < settlement.next_attempt - time.time() < 1110


def test_failure_is_reported_to_a_sender_here(house: House) -> None:
    """A permanent refusal becomes a notification in the same transaction, and the notification is delivered."""
    house.put("no@example.com")
    behaviour = Behaviour(recipients={"no@example.com": b"550 5.1.1 unknown\r\n"})
    with ScriptedServer(behaviour) as server:
        house.settle_all(house.config(server.port), names(*ONE), 2)
    (report,) = house.queue.reports
    assert report.sender == ""
    (arrived,) = (mailbox_root(house.data, "a@example.org") / "new").iterdir()
    text = arrived.read_bytes()
    assert text.startswith(b"Return-Path: <>\n")
    assert b"Diagnostic-Code: smtp; 550 5.1.1 unknown\n" in text
    assert house.queue.counts().messages == 0


def test_failure_of_a_notification_is_dropped(house: House) -> None:
    """Never a bounce of a bounce (RFC 5321 §4.5.5): the message is gone."""
    house.put("no@example.com", sender="")
    behaviour = Behaviour(recipients={"no@example.com": b"550 5.1.1 unknown\r\n"})
    with ScriptedServer(behaviour) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert house.queue.reports == []
    assert house.queue.counts().messages == 0


def test_message_whose_lifetime_is_over_bounces_with_the_last_reason(house: House) -> None:
    """5.4.7, and what the last attempt said."""
    house.put("b@example.com", received_at=time.time() - 10)
    with ScriptedServer(Behaviour(mail=b"451 4.3.0 later\r\n")) as server:
        outcomes = house.settle_all(house.config(server.port, lifetime=5), names(*ONE), 1)
    outcome = outcomes["b@example.com"]
    assert (outcome.result, outcome.enhanced) == (Result.FAILED, "5.4.7")
    assert "451 4.3.0 later" in outcome.text
    assert len(house.queue.reports) == 1


def test_success_is_reported_where_it_was_asked_for(house: House) -> None:
    """NOTIFY=SUCCESS: the server lists no DSN, so the report comes from here (RFC 3461 §5.2.2)."""
    house.put("b@example.com", notify=frozenset({"SUCCESS"}))
    with ScriptedServer(Behaviour()) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    (report,) = house.queue.reports
    assert isinstance(report.body, InlineBody)
    assert b"Action: relayed\r\n" in report.body.octets


def test_success_report_is_left_to_a_server_that_promises_it(house: House) -> None:
    """Where DSN is listed, NOTIFY is handed on and nothing is reported here."""
    house.put("b@example.com", notify=frozenset({"SUCCESS"}))
    with ScriptedServer(Behaviour(keywords=("DSN",))) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert house.queue.reports == []
    assert any("NOTIFY=SUCCESS" in command for command in server.commands)


def test_missing_domain_bounces_and_a_dns_failure_waits(house: House) -> None:
    """NXDOMAIN is permanent; SERVFAIL never is."""
    house.put("b@gone.test")
    house.put("b@broken.test")
    answers = Names({"broken.test": MXAnswer(Lookup.FAILED, (), "SERVFAIL")}, {})
    outcomes = house.settle_all(house.config(25), answers, 2)
    assert (outcomes["b@gone.test"].result, outcomes["b@gone.test"].enhanced) == (Result.FAILED, "5.1.2")
    assert (outcomes["b@broken.test"].result, outcomes["b@broken.test"].enhanced) == (Result.DEFERRED, "4.4.3")


def test_exchanger_with_our_own_address_is_a_loop(house: House) -> None:
    """What we listen on ourselves is never connected to as somebody's mail exchanger."""
    house.put("b@example.com")
    outcomes = house.settle_all(house.config(25), names(("mx.example.com", "127.0.0.9")), 1)
    assert (outcomes["b@example.com"].result, outcomes["b@example.com"].enhanced) == (Result.FAILED, "5.4.6")


def test_smarthost_takes_everything_without_asking_for_mx(house: House) -> None:
    """Two destinations, one connection, no MX look-up."""
    house.put("b@one.test", "c@two.test")
    with ScriptedServer(Behaviour()) as server:
        config = house.config(25, smarthost=f"127.0.0.1:{server.port}")
        house.settle_all(config, Names({}, {}), 2)
    assert server.connections == 1
    assert sorted(one for m in server.messages for one in m.recipients) == ["b@one.test", "c@two.test"]


def test_hold_delivers_nothing(house: House) -> None:
    """``[delivery] hold``: the mail stays where it is."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour()) as server:
        house.deliver(house.config(server.port, hold=True), names(*ONE), lambda: True)
    assert server.connections == 0
    assert house.queue.counts().queued == 1


def test_outcomes_survive_a_failing_store(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that fails is tried again; the message is sent once."""
    monkeypatch.setattr("gatepost.delivery.ledger._RETRY", 0.01)
    house.queue.fail_next = 2
    house.put("b@example.com")
    with ScriptedServer(Behaviour()) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert len(server.messages) == 1
    assert house.queue.counts().messages == 0


def test_drain_gives_back_what_was_not_begun(house: House) -> None:
    """SIGTERM: the message under way ends, the others are due at once for the next worker."""
    for _ in range(30):
        house.put("b@example.com")
    with ScriptedServer(Behaviour()) as server:
        config = house.config(server.port, concurrency_per_destination=1)
        house.deliver(config, names(*ONE), lambda: len(house.queue.settled) >= 1)
    counts = house.queue.counts()
    assert counts.leased == 0
    assert counts.messages == 30 - len(server.messages)


def test_drain_does_not_wait_for_a_silent_server(house: House) -> None:
    """Who has no job yet stops waiting for a greeting; the mail goes back into the queue."""
    house.put("b@example.com")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        async def go() -> None:
            ownership = Ownership(house.data / "queue")
            worker = Worker(house.config(port), new_shared(), house.queue, find, ownership, resolver=names(*ONE))
            running = asyncio.get_running_loop().create_task(worker.run())
            silent.setblocking(False)
            accepted, _ = await asyncio.get_running_loop().sock_accept(silent)
            async with asyncio.timeout(10):
                worker.drain()
                await running
            accepted.close()
            ownership.close()

        asyncio.run(go())
    assert house.queue.counts().queued == 1


def test_leases_of_a_dead_worker_come_back_at_once(house: House) -> None:
    """No waiting for their expiry: the lock that its process held is free."""
    house.put("b@example.com")
    dead = Ownership(house.data / "queue")
    assert house.queue.lease(dead.name, 10, 3600)
    dead.close()
    with ScriptedServer(Behaviour()) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert len(server.messages) == 1


def test_what_a_killed_worker_delivered_is_not_delivered_again(house: House) -> None:
    """Not even to a mailbox from which its reader has taken it already; what it had not delivered is."""
    served, waiting = house.put("a@example.org"), house.put("a@example.org")
    dead = Ownership(house.data / "queue")
    assert dead.return_leases(house.queue.release_owner, house.queue.settle_noted) == (0, 0)
    (lease, _) = house.queue.lease(dead.name, 10, 3600)
    assert (lease.message.id, lease.position) == (served, 0)
    dead.notes.add(served, 0)
    dead.close()
    house.settle_all(house.config(1), names(), 1)
    (settled,) = house.queue.settled
    assert settled.lease.message.id == waiting
    assert len(list((mailbox_root(house.data, "a@example.org") / "new").iterdir())) == 1
    assert house.queue.counts().messages == 0


def noted_at_settling(house: House, monkeypatch: pytest.MonkeyPatch) -> list[list[Note]]:
    """What stands in the first worker's notes each time before outcomes are recorded."""
    found: list[list[Note]] = []
    settle = Watched.settle

    def look(self: Watched, settlements: Sequence[Settlement], bounces: Sequence[NewMessage] = ()) -> None:
        found.append(notes_of(house))
        settle(self, settlements, bounces)

    monkeypatch.setattr(Watched, "settle", look)
    return found


def notes_of(house: House) -> list[Note]:
    """What stands in the first worker's notes."""
    with (house.data / "queue" / "delivery-0.lock").open("rb") as file:
        return Notes(file.fileno()).read()


@pytest.mark.parametrize("address", ["a@example.org", "b@example.com"])
def test_delivery_is_noted_before_it_is_recorded(house: House, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed before the transaction leaves a note, and one that goes on forgets it behind it."""
    name = house.put(address)
    noted = noted_at_settling(house, monkeypatch)
    with ScriptedServer(Behaviour()) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert noted == [[(name, 0)]]
    assert notes_of(house) == []


@pytest.mark.parametrize("address", ["a@example.org", "b@example.com"])
def test_delivery_whose_sender_wants_to_know_is_not_noted(
    house: House, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note is recorded without a word to anybody."""
    house.put(address, notify="SUCCESS", sender="c@example.com")
    noted = noted_at_settling(house, monkeypatch)
    with ScriptedServer(Behaviour()) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert noted[0] == []


def test_nothing_is_delivered_before_the_notes_were_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that cannot be written at the start is waited for."""
    monkeypatch.setattr(worker_module, "_STORE_RETRY", 0.01)
    house.put("a@example.org")
    settle_noted, failures = Watched.settle_noted, [StoreError("the disk is full")] * 2

    def failing(self: Watched, notes: Sequence[tuple[str, int]]) -> int:
        if failures:
            assert not house.queue.settled
            raise failures.pop()
        return settle_noted(self, notes)

    monkeypatch.setattr(Watched, "settle_noted", failing)
    assert house.settle_all(house.config(1), names(), 1)["a@example.org"].result is Result.DELIVERED
    assert not failures


def test_what_dead_processes_left_is_swept_at_the_start(house: House) -> None:
    """A body that no message names, and an old file in a mailbox's tmp/; what is young or named stays."""
    orphan = house.data / "queue" / "bodies" / "0123456789abcdef"
    orphan.write_bytes(b"x")
    folder = mailbox_root(house.data, "a@example.org") / "tmp"
    folder.mkdir(parents=True)
    for name, age in (("old", 40 * 3600), ("young", 60)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - age,) * 2)
    house.put("b@example.com")
    with ScriptedServer(Behaviour()) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert not orphan.exists()
    assert [path.name for path in folder.iterdir()] == ["young"]


def test_mailboxes_are_swept_again_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server runs for months."""
    monkeypatch.setattr(worker_module, "_SWEEP_SECONDS", 0.01)
    seen: list[float] = []
    told: list[Callable[[], object]] = []

    def sweep(data: Path, *, now: float) -> int:
        seen.append(now)
        told[0]()
        return 0

    async def go() -> None:
        loop, enough = asyncio.get_running_loop(), asyncio.Event()
        told.append(lambda: loop.call_soon_threadsafe(enough.set))
        ownership = Ownership(house.data / "queue")
        worker = Worker(house.config(1), new_shared(), house.queue, find, ownership, resolver=names())
        running = loop.create_task(worker.run())
        async with asyncio.timeout(10):
            while len(seen) < 3:
                enough.clear()
                await enough.wait()
            worker.drain()
            await running
        ownership.close()

    monkeypatch.setattr(worker_module, "sweep", sweep)
    asyncio.run(go())
    assert seen == sorted(seen)


def test_drain_is_bounded(house: House) -> None:
    """A server that took a message and says nothing: after ``drain_seconds`` the lease is left to the next worker."""
    house.put("b@example.com")
    with ScriptedServer(Behaviour(final=b"250-wait\r\n")) as server:
        config = house.config(server.port).model_copy(update={"drain_seconds": 0.2})

        async def go() -> None:
            ownership = Ownership(house.data / "queue")
            worker = Worker(config, new_shared(), house.queue, find, ownership, resolver=names(*ONE))
            running = asyncio.get_running_loop().create_task(worker.run())
            async with asyncio.timeout(10):
                while not server.messages:
                    await asyncio.sleep(0.01)
                worker.drain()
                await running
            ownership.close()

        asyncio.run(go())
    assert house.queue.counts().leased == 1


def test_leases_of_a_living_worker_are_left_alone(house: House) -> None:
    """After a reload the old worker drains beside the new one: nothing is delivered twice."""
    house.put("b@example.com")
    living = Ownership(house.data / "queue")
    assert house.queue.lease(living.name, 10, 3600)
    second = Ownership(house.data / "queue")
    assert second.name != living.name
    assert second.return_leases(house.queue.release_owner, house.queue.settle_noted) == (0, 0)
    second.close()
    living.close()


def test_leases_of_a_worker_that_ended_later_come_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that drained beside us and could not give back what it held, on a full disk: nobody waits for the expiry."""
    monkeypatch.setattr(worker_module, "LEASE_SECONDS", 0.3)
    house.put("a@example.org")
    draining = Ownership(house.data / "queue")
    assert house.queue.lease(draining.name, 10, 3600)

    async def go() -> None:
        house.queue.woken = asyncio.Event()
        ownership = Ownership(house.data / "queue")
        worker = Worker(house.config(1), new_shared(), house.queue, find, ownership, resolver=names())
        running = asyncio.get_running_loop().create_task(worker.run())
        await asyncio.sleep(0)
        draining.close()
        async with asyncio.timeout(20):
            while not house.queue.settled:
                worker._wake.set()
                await asyncio.sleep(0.01)
            worker.drain()
            await running
        ownership.close()

    asyncio.run(go())
    assert house.queue.outcomes()["a@example.org"].result is Result.DELIVERED


def test_lease_is_renewed_while_it_is_held(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow server does not make the message due again while it is under way."""
    monkeypatch.setattr(worker_module, "LEASE_SECONDS", 0.3)
    renewed: list[int] = []
    house.put("b@example.com")

    def slow(_: int) -> bytes:
        deadline = time.monotonic() + 10
        while len(renewed) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)  # holds the reply back until the lease was renewed often enough
        return b"250 ok\r\n"

    original = SQLiteQueue.renew

    def renew(self: SQLiteQueue, leases: Any, seconds: float) -> int:
        count = original(self, leases, seconds)
        renewed.append(count)
        return count

    monkeypatch.setattr(SQLiteQueue, "renew", renew)
    with ScriptedServer(Behaviour(final=slow)) as server:
        house.settle_all(house.config(server.port), names(*ONE), 1)
    assert renewed[:4] == [1, 1, 1, 1]
    assert len(server.messages) == 1


def test_local_and_remote_recipients_of_one_message_both_arrive(house: House) -> None:
    """The mailbox here and the server there each get their copy; the message leaves when both are done."""
    house.put("a@example.org", "b@example.com")
    with ScriptedServer(Behaviour()) as server:
        house.settle_all(house.config(server.port), names(*ONE), 2)
    assert len(server.messages) == 1
    assert len(list((mailbox_root(house.data, "a@example.org") / "new").iterdir())) == 1
    assert house.queue.counts().messages == 0
