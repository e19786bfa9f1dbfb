"""The soak's books and judgements: what counts as lost, as doubled, as grown, and what explains it."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SOAK = Path(__file__).parents[2] / "soak"
TOKENS = [f"{number:016x}" for number in range(9)]
USER, FRIEND = "user0@mx.test", "friend0@elsewhere.test"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a script of soak/, which is in no package."""
    monkeypatch.syspath_prepend(str(SOAK))
    return importlib.import_module


def _text(token: str, message: str) -> str:
    return (
        f"Received: from x (unknown [127.0.0.1])\n\tby mx.test with ESMTPS id {message};\n\tnow\nX-Soak: {token}\n\nx\n"
    )


def _mail(data: Path, name: str, token: str, message: str = "a1") -> None:
    folder = data / "mail" / "mx.test" / "user0" / "new"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"Return-Path: <a@b.test>\n{_text(token, message)}")


def _bounce(data: Path, name: str, token: str, address: str) -> None:
    folder = data / "mail" / "mx.test" / "user0" / "cur"
    folder.mkdir(parents=True, exist_ok=True)
    report = f"Return-Path: <>\n\nFinal-Recipient: rfc822; {address}\n\n{_text(token, 'b2')}"
    (folder / name).write_text(report)


def _attempt(number: int, status: str, pid: int = 7, message: str = "a1", address: str = USER) -> dict[str, object]:
    return {"event": "delivery.attempt", "queue_id": message, "to": f"<{address}>", "pid": pid, "attempt": number,
            "status": status, "dsn": "2.0.0"}  # fmt: skip


BORN = {"event": "worker.started", "worker": "delivery/0", "worker_pid": 7}
DIED = {"event": "worker.died", "worker_pid": 7}


def test_books_know_where_every_acknowledged_message_is(soak: Any, tmp_path: Path) -> None:
    """Delivered, relayed, fetched, bounced and queued are five good ends; nowhere is the bad one."""
    accounting, causes = soak("accounting"), soak("causes")
    book = accounting.Book()
    delivered, relayed, fetched, bounced, queued, lost, perhaps, strange, other = TOKENS
    book.acknowledged = {
        (delivered, USER), (relayed, FRIEND), (fetched, USER), (bounced, FRIEND), (queued, FRIEND), (lost, USER),
        (perhaps, USER), (bounced, "friend1@elsewhere.test"),
    }  # fmt: skip
    _mail(tmp_path, "1", delivered)
    _bounce(tmp_path, "2", bounced, FRIEND)
    _mail(tmp_path, "3", strange)
    book.relayed[relayed, FRIEND] = ["a1"]
    book.fetched[fetched, USER] = ["a2"]
    book.perhaps_fetched = {(perhaps, USER): "a3"}
    book.unknown = {(other, USER)}
    found = accounting.balance(book, tmp_path, {(queued, FRIEND)}, causes.History())
    assert (found.delivered, found.relayed, found.bounced, found.queued) == (3, 1, 1, 1)
    assert found.lost == [(bounced, "friend1@elsewhere.test"), (lost, USER)]  # the bounce is about another recipient
    assert found.acknowledged == 8 == found.delivered + found.relayed + found.bounced + found.queued + len(found.lost)
    assert found.unasked == [(strange, USER)]
    assert not found.contradicted and not found.again_here and not found.again_there


def test_message_that_arrived_and_bounced_is_a_contradiction(soak: Any, tmp_path: Path) -> None:
    """Its sender is told what is not true."""
    accounting, causes = soak("accounting"), soak("causes")
    book = accounting.Book()
    book.acknowledged = {(TOKENS[0], FRIEND)}
    book.relayed[TOKENS[0], FRIEND] = ["a1"]
    _bounce(tmp_path, "1", TOKENS[0], FRIEND)
    assert accounting.balance(book, tmp_path, set(), causes.History()).contradicted == [(TOKENS[0], FRIEND)]


def test_copies_are_counted_with_their_causes(soak: Any, tmp_path: Path) -> None:
    """Two in a mailbox at a time; one fetched and one delivered behind a kill; one under two names."""
    accounting, causes = soak("accounting"), soak("causes")
    book, history = accounting.Book(), causes.History()
    for line in (BORN, _attempt(1, "sent"), DIED, _attempt(2, "sent", 8)):
        history.feed(line)
    book.acknowledged = {(token, USER) for token in TOKENS[:3]}
    _mail(tmp_path, "1", TOKENS[0], "c1")
    _mail(tmp_path, "2", TOKENS[0], "c1")
    _mail(tmp_path, "3", TOKENS[1])
    book.fetched[TOKENS[1], USER] = ["a1"]
    _mail(tmp_path, "4", TOKENS[2], "d1")
    book.fetched[TOKENS[2], USER] = ["d2"]
    found = accounting.balance(book, tmp_path, set(), history)
    assert not found.lost
    assert found.side_by_side == [(TOKENS[0], USER)]
    assert found.again_here == Counter({causes.UNEXPLAINED: 2, causes.KILLED_NOTED: 1})
    assert sorted(found.unexplained) == [(TOKENS[0], USER), (TOKENS[2], USER)]


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ((BORN, _attempt(1, "sent"), DIED, _attempt(2, "sent", 8)), "KILLED_NOTED"),
        ((BORN, DIED, _attempt(2, "sent", 8)), "KILLED_BEFORE"),
        ((BORN, {"event": "soak.killed", "pids": [1, 7]}, _attempt(2, "sent", 8)), "KILLED_BEFORE"),
        ((BORN, {"event": "delivery.cut-off"}, _attempt(2, "sent", 8)), "KILLED_BEFORE"),
        ((BORN, _attempt(1, "deferred"), _attempt(2, "sent")), "ANSWER_LOST"),
        ((BORN, _attempt(1, "sent"), _attempt(2, "sent")), "UNEXPLAINED"),
        ((BORN, DIED, _attempt(1, "sent"), _attempt(2, "sent")), "UNEXPLAINED"),
        ((BORN, {"event": "worker.died", "worker_pid": 9}, _attempt(2, "sent")), "UNEXPLAINED"),
        ((BORN, DIED, _attempt(1, "sent", 8)), "UNEXPLAINED"),
        ((), "UNEXPLAINED"),
    ],
)  # fmt: skip
def test_copy_is_explained_by_a_death_in_between_and_by_nothing_else(
    soak: Any, lines: tuple[dict[str, object], ...], cause: str
) -> None:
    """What the log shows between two attempts decides."""
    causes = soak("causes")
    history = causes.History()
    for line in lines:
        history.feed(line)
    assert history.explain("a1", USER, 2) == [getattr(causes, cause)]


def test_one_death_explains_one_copy(soak: Any) -> None:
    """A third copy needs a second cause."""
    causes = soak("causes")
    history = causes.History()
    for line in (BORN, DIED, _attempt(2, "sent", 8)):
        history.feed(line)
    assert history.explain("a1", USER, 3) == [causes.KILLED_BEFORE, causes.UNEXPLAINED]


@pytest.mark.parametrize(
    ("values", "growth"),
    [
        ([100.0] * 100, 0.0),
        ([100.0 + 50 * (number % 10 == 0) for number in range(100)], 0.0),  # a wild one now and then
        ([0.0] * 20 + [100.0] * 80, 0.0),  # while it warms up
        ([100.0 + number for number in range(100)], 74.0),
        ([1.0, 2.0], 0.0),
        ([], 0.0),
    ],
)
def test_line_shows_growth_and_no_outliers(soak: Any, values: list[float], growth: float) -> None:
    """What grows all the time is seen; what was high for a moment is not."""
    assert soak("flat").line(list(enumerate(values))).growth == pytest.approx(growth)


def _result(soak: Any, **changes: Any) -> Any:
    """A run in which nothing was wrong."""
    verdict, traffic, peers = soak("verdict"), soak("traffic"), soak("peers")
    world = traffic.World({}, Path("ca.pem"), 0.0, None)
    world.waits["mx"] = [0.1] * 100
    use = verdict.Use([(float(each), 1e8) for each in range(60)], [(float(each), 100.0) for each in range(60)])
    parts = {"world": world, "seen": peers.Seen(), "happened": {}, "balance": soak("accounting").Balance(10, 10),
             "history": soak("causes").History(), "use": use, "absences": [], "left": 0}  # fmt: skip
    return verdict.Result(**{**parts, **changes})


def test_good_run_breaks_no_promise(soak: Any) -> None:
    """And its report can be written."""
    result = _result(soak)
    assert soak("verdict").broken(result) == []
    assert "delivered      10" in soak("verdict").report(result)


def test_every_broken_promise_is_told(soak: Any) -> None:
    """Each by itself makes the run fail."""
    verdict, accounting, peers = soak("verdict"), soak("accounting"), soak("peers")
    for name in ("lost", "contradicted", "side_by_side", "unasked", "unexplained"):
        (told,) = verdict.broken(_result(soak, balance=accounting.Balance(**{name: [("t", USER)]})))
        assert told.startswith("1 messages are ")
    seen = peers.Seen()
    seen.forgotten["after MAIL"] = 1
    grows = [(float(each), 1e8 * (1 + each)) for each in range(60)]
    for changes, words in (
        ({"left": 2}, "left in the queue"),
        ({"secrets": ["records/1"]}, "a password stands in records/1"),
        ({"seen": seen}, "were still connected"),
        ({"happened": {"the disk was full": 1}}, "nothing shows that the disk was full"),
        ({"use": verdict.Use(grows, [])}, "memory grew"),
        ({"use": verdict.Use([], grows)}, "descriptors grew"),
    ):
        (told,) = verdict.broken(_result(soak, **changes))
        assert words in told


def test_clients_that_were_not_served_break_a_promise(soak: Any) -> None:
    """A few may find their process killed; many may not, and nobody may wait for ever."""
    result = _result(soak)
    result.world.failures["mx"]["ConnectionResetError"] = 3
    assert soak("verdict").broken(result) == []
    result.world.failures["mx"]["ConnectionResetError"] = 30
    result.world.waits["pop3"] = [99.0]
    assert len(soak("verdict").broken(result)) == 2


def test_fault_is_seen_where_it_bites(soak: Any) -> None:
    """By what was logged, or by what clients were told."""
    faults = {each.name: each for each in (*soak("faults").KILLING, *soak("faults").FAULTS)}
    full = faults["the disk was full"]
    assert full.bit(Counter(), Counter({"452 4.3.1": 1})) and not full.bit(Counter(), Counter({"451 4.7.1": 1}))
    clock = faults["the clock jumped an hour ahead, and back"]
    assert clock.bit(Counter({"delivery.clock": 1}), Counter()) and not clock.bit(Counter(), Counter())
