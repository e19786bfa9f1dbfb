"""Greylisting in one process: rules, memory and DNS together, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.countrydb import write_countries
from tests.unit.service.greylisting_rig import ANN, Broken, Rig, said

from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.net.confirmed import ConfirmedNames
from gatepost.service.greylisting import REST_SECONDS, Judged, check_greylisting
from gatepost.store.greylist import Totals
from gatepost.store.sqlite.greylist import SQLiteGreylist
from gatepost.testing.dns import FakeDNS


def test_stranger_is_told_how_long_to_wait(rig: Rig) -> None:
    """451 4.7.1, the time that is left, and then it gets in."""
    greylisting = rig.make()
    assert said(rig.ask(greylisting)) == "451 4.7.1 Greylisted: we do not know you yet, try again in 5m"
    rig.clock.now += 59.5
    assert said(rig.ask(greylisting)).endswith("try again in 4m 1s")
    rig.clock.now += 241
    assert rig.ask(greylisting).reply is None
    assert rig.ask(greylisting).reply is None
    assert [rig.count(result) for result in ("deferred", "passed", "known")] == [2, 1, 1]
    deferred, _, passed = rig.events()
    assert "greylist.deferred" in deferred
    assert "sender=<ann@example.com> recipient=<bob@x.test> network=192.0.2.0/24 why=new wait=300" in deferred
    assert "connection=c1 rip=192.0.2.7 listener=mx" in deferred
    assert "greylist.passed" in passed
    assert "waited=300" in passed or "waited=301" in passed


def test_rules_skip_delay_and_refuse(rig: Rig) -> None:
    """Each with its own delay and text; what is skipped or refused is not remembered."""
    greylisting = rig.make(
        rules=[
            {"senders": ["friend.example"], "action": "skip"},
            {"senders": ["slow.example"], "action": "delay", "delay": "1h"},
            {"senders": ["foe.example"], "action": "refuse", "text": "Go away"},
            {"senders": ["worse.example"], "action": "refuse"},
        ]
    )
    answers = [said(rig.ask(greylisting, ANN._replace(sender=f"x@{name}.example"))) for name in
            ("friend", "slow", "foe", "worse")]  # fmt: skip
    assert answers == [
        "", "451 4.7.1 Greylisted: we do not know you yet, try again in 1h", "550 5.7.1 Go away",
        "550 5.7.1 Your mail is not wanted here",
    ]  # fmt: skip
    assert [rig.count(result) for result in ("skipped", "deferred", "refused")] == [1, 1, 2]
    with_store = SQLiteGreylist(rig.folder / "greylist.db")
    assert with_store.totals() == Totals(1, 0, 0, 0)
    with_store.close()


def test_memory_that_fails_lets_mail_through_and_says_so(rig: Rig) -> None:
    """A full disk stops no mail; it is counted, logged once, and not asked again at once."""
    store = Broken()
    greylisting = rig.make(store=store)
    assert [rig.ask(greylisting).reply for _ in range(50)] == [None] * 50
    assert rig.count("unavailable") == 50
    assert store.asked == 1
    (line,) = rig.events()
    assert "greylist.unavailable" in line
    assert "the disk is full" in line
    assert REST_SECONDS < 10


def test_locked_memory_lets_mail_through(rig: Rig, tmp_path: Path) -> None:
    """A process that holds the lock for good does not stop the others' mail."""
    holder = SQLiteGreylist(tmp_path / "greylist.db", clock=rig.clock)
    holder.totals()
    database = holder._open()
    with database.writing("holding"):
        store = SQLiteGreylist(tmp_path / "greylist.db", clock=rig.clock, busy_seconds=0.05)
        assert rig.ask(rig.make(store=store)).reply is None
    holder.close()
    assert rig.count("unavailable") == 1


def test_unreadable_file_lets_mail_through(rig: Rig, tmp_path: Path) -> None:
    """Damage is found when it is opened; mail goes on."""
    (tmp_path / "greylist.db").write_bytes(b"this is no database" * 100)
    assert rig.ask(rig.make()).reply is None
    assert rig.count("unavailable") == 1


def test_full_memory_lets_strangers_in_and_knows_the_others(rig: Rig) -> None:
    """A flood of triplets that never come again turns greylisting off for strangers, and nothing else."""
    greylisting = rig.make(size=1000, auto_allow=0)
    assert rig.ask(greylisting).reply is not None
    for number in range(1100):
        rig.ask(greylisting, ANN._replace(sender=f"s{number}@flood.example"))
    assert rig.count("full") == 1100 - 998
    rig.clock.now += 300
    assert rig.ask(greylisting).reply is None
    assert rig.count("passed") == 1
    assert sum("greylist.unavailable" in line for line in rig.events()) == 1


def test_after_content_the_message_is_judged_once(rig: Rig) -> None:
    """At RCPT nothing is said; after DATA the first recipient's triplet stands for the message."""
    greylisting = rig.make(at="data")
    judged = [rig.ask(greylisting, ANN._replace(recipient=f"r{n}@x.test")) for n in range(3)]
    assert [each.reply for each in judged] == [None] * 3
    assert greylisting.at_content(judged, "c1") is not None
    rig.clock.now += 300
    assert greylisting.at_content(judged[1:], "c1") is not None
    assert greylisting.at_content(judged, "c1") is None
    assert greylisting.at_content([], "c1") is None


def test_recipient_that_a_rule_spares_spares_the_message(rig: Rig) -> None:
    """Its mail is not held up by who else gets it; and who is refused is refused at RCPT all the same."""
    greylisting = rig.make(
        at="data",
        rules=[
            {"recipients": ["postmaster@"], "action": "skip"},
            {"recipients": ["eve@x.test"], "action": "refuse"},
        ],
    )
    spared = rig.ask(greylisting, ANN._replace(recipient="postmaster@x.test"))
    assert greylisting.at_content([rig.ask(greylisting), spared], "c1") is None
    assert rig.ask(greylisting, ANN._replace(recipient="eve@x.test")).reply is not None


def test_country_decides(rig: Rig) -> None:
    """Skip one, refuse another, delay the unknown for longer; the database may be replaced."""
    path = write_countries(rig.folder / "c.mmdb", {"192.0.2.0/24": "DE", "198.51.100.0/24": "FR"})
    greylisting = rig.make(
        country_database=path,
        rules=[
            {"countries": ["de"], "action": "skip"},
            {"countries": ["FR"], "action": "refuse", "text": "Not from there"},
            {"countries": ["unknown"], "action": "delay", "delay": "2h"},
        ],
    )
    facts = [ANN, ANN._replace(address="198.51.100.1"), ANN._replace(address="203.0.113.1")]
    assert [said(rig.ask(greylisting, each)) for each in facts] == [
        "", "550 5.7.1 Not from there", "451 4.7.1 Greylisted: we do not know you yet, try again in 2h",
    ]  # fmt: skip
    write_countries(path, {"192.0.2.0/24": "FR"})
    greylisting.look()
    assert said(rig.ask(greylisting)) == "550 5.7.1 Not from there"


def test_name_in_dns_decides_and_is_asked_for_once(rig: Rig) -> None:
    """Only where a rule goes by it: the answer comes later, once, and is kept."""
    with FakeDNS() as dns:
        dns.add("7.2.0.192.in-addr.arpa", "PTR", "out3.big.example.")
        dns.add("out3.big.example", "A", "192.0.2.7")
        dns.add("9.2.0.192.in-addr.arpa", "PTR", "out3.big.example.")
        rules = [{"client_names": [".big.example"], "recipients": ["x.test"], "action": "skip"}]
        greylisting = rig.make(rules=rules, dns=dns)
        later: list[Judged] = []
        elsewhere = ANN._replace(recipient="bob@y.test")
        assert greylisting.at_recipient(elsewhere, "c1", later.append) is not None
        assert dns.questions == []
        assert greylisting.at_recipient(ANN, "c1", later.append) is None
        assert rig.ask(greylisting).reply is None
        assert greylisting.at_recipient(ANN, "c1", later.append) is not None
        assert rig.ask(greylisting, ANN._replace(address="192.0.2.9")).reply is not None


def test_list_file_is_read_again(rig: Rig) -> None:
    """Addresses of friends may stand in a file."""
    file = rig.folder / "friends"
    file.write_text("10.0.0.1\n")
    greylisting = rig.make(rules=[{"from": f"file:{file}", "action": "skip"}])
    assert rig.ask(greylisting).reply is not None
    file.write_text("10.0.0.1\n192.0.2.0/24\n")
    greylisting.look()
    assert rig.ask(greylisting).reply is None


def test_what_is_over_is_forgotten_in_batches_without_being_asked(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again soon while there is more, later when there is not; a failure is logged and does not end it."""
    monkeypatch.setattr("gatepost.service.greylisting.EXPIRE_SECONDS", 0.01)
    monkeypatch.setattr("gatepost.service.greylisting.EXPIRE_AGAIN", 0.0)
    monkeypatch.setattr("gatepost.service.greylisting.EXPIRE_ROWS", 3)
    greylisting = rig.make()
    for number in range(10):
        rig.ask(greylisting, ANN._replace(sender=f"s{number}@example.com"))
    rig.clock.now += 90000
    watch = SQLiteGreylist(tmp_path / "greylist.db", clock=rig.clock)

    async def empty() -> None:
        while watch.totals().waiting:
            await asyncio.sleep(0.005)

    rig.loop.run_until_complete(asyncio.wait_for(empty(), 60))
    watch.close()


def test_forgetting_that_fails_is_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """And said in the log."""
    monkeypatch.setattr("gatepost.service.greylisting.EXPIRE_SECONDS", 0.01)
    rig.make(store=Broken())

    async def told() -> None:
        while sum("store.failed" in line for line in rig.events()) < 2:
            await asyncio.sleep(0.005)

    rig.loop.run_until_complete(asyncio.wait_for(told(), 60))


def test_look_up_that_breaks_leaves_no_session_without_an_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong: the client goes without a name."""

    async def breaks(names: ConfirmedNames, address: str) -> tuple[str, ...]:
        raise RuntimeError("no idea")

    with FakeDNS() as dns:
        greylisting = rig.make(rules=[{"client_names": [".big.example"], "action": "skip"}], dns=dns)
        monkeypatch.setattr(ConfirmedNames, "find", breaks)
        assert rig.ask(greylisting).reply is not None
        assert any("greylist.failed" in line and "no idea" in line for line in rig.events())


def test_end_while_dns_is_asked_leaves_nothing_behind(rig: Rig) -> None:
    """The question is given up, and nobody is answered any more."""
    with FakeDNS() as dns:
        dns.silence("7.2.0.192.in-addr.arpa")
        greylisting = rig.make(rules=[{"client_names": [".big.example"], "action": "skip"}], dns=dns)
        later: list[Judged] = []
        assert greylisting.at_recipient(ANN, "c1", later.append) is None
        rig.loop.run_until_complete(asyncio.sleep(0))
        greylisting.close()
        rig.loop.run_until_complete(asyncio.sleep(0))
        assert asyncio.all_tasks(rig.loop) == set()
        assert later == []


def test_list_file_that_breaks_keeps_what_it_said(rig: Rig) -> None:
    """A mistake in a list opens no door and closes none."""
    file = rig.folder / "friends"
    file.write_text("192.0.2.0/24\n")
    greylisting = rig.make(rules=[{"from": f"file:{file}", "action": "skip"}])
    file.write_text("192.0.2.0/24 and more\n")
    greylisting.look()
    assert rig.ask(greylisting).reply is None
    assert any("policy.list-kept" in line for line in rig.events())


@pytest.mark.parametrize("case", ["countries", "names", "spf", "off"])
def test_what_cannot_be_used_is_found_before_the_start(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is not there; name servers that nobody named. What is off is not looked at."""
    import dns.resolver

    def no_servers(*_: object, **__: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr("dns.asyncresolver.Resolver", no_servers)
    rules: dict[str, dict[str, Any]] = {
        "countries": {"countries": ["DE"], "action": "skip"}, "names": {"client_names": ["a.b"], "action": "skip"},
        "spf": {"spf": ["pass"], "action": "delay"},
    }  # fmt: skip
    greylist = {"enabled": case != "off", "country_database": tmp_path / "c.mmdb"}
    config = Config.model_validate({"greylist": greylist, "greylist_rule": [rules.get(case, rules["countries"])]})
    check: Callable[[], None] = lambda: check_greylisting(config)  # noqa: E731
    if case == "off":
        check()
        return
    words = {"countries": "c.mmdb", "names": "client_names: the system names no", "spf": "spf: the system names no"}
    with pytest.raises(ConfigError, match=words[case]):
        check()


def test_addresses_of_one_ipv6_network_are_one_stranger(rig: Rig) -> None:
    """Who changes his address at each attempt writes one row, and gets in as one who does not."""
    greylisting = rig.make()
    churning = [ANN._replace(address=f"2001:db8:0:7:{number:x}::1") for number in range(500)]
    assert all(rig.ask(greylisting, each).reply is not None for each in churning)
    assert _rows(rig) == 1
    rig.clock.now += 300
    assert rig.ask(greylisting, ANN._replace(address="2001:db8:0:7:ffff::2")).reply is None


def test_churn_over_ipv6_networks_is_bounded_and_turns_nobody_away(rig: Rig) -> None:
    """A /48 has 65,536 networks: they fill the room there is and no more, and what waited before still gets in."""
    greylisting = rig.make(size=1000, auto_allow=0)
    assert rig.ask(greylisting).reply is not None
    for number in range(1500):
        rig.ask(greylisting, ANN._replace(address=f"2001:db8:0:{number:x}::1"))
    assert _rows(rig) <= 1000
    rig.clock.now += 300
    assert rig.ask(greylisting).reply is None
    rig.clock.now += 86400
    assert rig.ask(greylisting, ANN._replace(sender="late@far.example")).reply is not None


@pytest.mark.parametrize("jump", [-1e8, -86400.0, -301.0, -61.0, 3600.0, 86401.0, 1e8])
def test_clock_that_is_set_while_a_sender_waits_locks_it_out_of_nothing(rig: Rig, jump: float) -> None:
    """Set back or ahead by the system, in a process that also forgets: retries get in as a stranger's do, at last."""
    greylisting = rig.make(delay="5m")
    assert rig.ask(greylisting).reply is not None
    rig.clock.now += jump
    greylisting._expire()
    waited = 0.0
    while rig.ask(greylisting).reply is not None:
        assert waited <= 300.0 + 60.0
        rig.clock.now += 120.0
        waited += 120.0
        greylisting._expire()
    assert rig.ask(greylisting).reply is None


def test_restart_in_between_is_not_noticed(rig: Rig) -> None:
    """Another process takes up what the first one remembered: waiting, passed, and networks that are no strangers."""
    first = rig.make(auto_allow=2)
    waiting = ANN._replace(sender="waiting@far.example")
    assert all(rig.ask(first, ANN._replace(recipient=f"r{n}@x.test")).reply is not None for n in range(2))
    rig.clock.now += 300
    assert rig.ask(first, ANN._replace(recipient="r0@x.test")).reply is None
    assert rig.ask(first, waiting).reply is not None
    second = rig.make(auto_allow=2)
    assert rig.ask(second, ANN._replace(recipient="r0@x.test")).reply is None
    assert rig.ask(second, waiting).reply is not None
    assert rig.ask(second, ANN._replace(recipient="r1@x.test")).reply is None
    assert rig.ask(second, waiting).reply is None
    assert [rig.count(result) for result in ("passed", "known", "allowed")] == [2, 1, 1]


def _rows(rig: Rig) -> int:
    store = SQLiteGreylist(rig.folder / "greylist.db", clock=rig.clock)
    try:
        totals = store.totals()
        return totals.waiting + totals.passed + totals.networks
    finally:
        store.close()
