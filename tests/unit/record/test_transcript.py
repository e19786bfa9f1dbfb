"""What a session's transcript says, and that it never says too much nor fails aloud."""

from __future__ import annotations

import hashlib
import json

import pytest
from tests.unit.record.recording import ORIGIN, recorded

from gatepost.policy.addresses import AddressList
from gatepost.record.events import Blind, Closed, Data, Decision, Line, Opened, Upgraded, from_json, to_line
from gatepost.record.rules import RecordRule, rule_for
from gatepost.record.transcript import CONTENT_LIMIT, HEADERS_LIMIT, LINE_LIMIT, WAITING_LIMIT
from gatepost.testing.tls import evidence

MESSAGE = b"Subject: \x1b[2J\r\nTo: b\r\n\r\n" + b"\0body\r\n" * 10


def test_session_is_told_in_its_order() -> None:
    """Open, lines of both sides, the upgrade, what is private behind it, decisions, the end: numbered without gap."""
    witness, shelved = recorded()
    witness.said(b"220 mx\r\n", b"334 ")
    witness.heard(b"STARTTLS")
    witness.upgrade("client", evidence())
    witness.heard(b"AUTH PLAIN abc", 10)
    witness.said(b"334 abc\r\n", b"334 ")
    witness.decision("login", "refuse", "PLAIN", "wrong", "alice")
    witness.blind("gone", "server:25")
    witness.close("quit")
    found = shelved.events
    assert [event.serial for event in found] == list(range(1, len(found) + 1))
    assert [type(event) for event in found] == [Opened, Line, Line, Upgraded, Line, Line, Decision, Blind, Closed]
    assert [event.private for event in found] == [False] * 4 + [True] * 5
    assert isinstance(found[4], Line)
    assert (found[4].data, found[4].masked) == (b"AUTH PLAIN ***", True)
    assert isinstance(found[5], Line)
    assert (found[5].data, found[5].masked) == (b"334 ***", True)
    assert isinstance(found[3], Upgraded)
    assert found[3].version == "TLSv1.3"
    assert {event.session for event in found} == {ORIGIN.connection}
    assert shelved.kept == [True]


ODD = (b"", b"\0\r\n", b"\xff\x7f\x1b", '"\\ü\x7f'.encode(), b"x" * (LINE_LIMIT + 5))


@pytest.mark.parametrize("data", ODD, ids=("empty", "nul", "controls", "text", "long"))
def test_line_is_written_as_events_are(data: bytes) -> None:
    """The line that is written by hand is the one that the event would make of itself."""
    witness, shelved = recorded()
    witness.heard(data)
    line = shelved.events[-1]
    assert isinstance(line, Line)
    assert json.loads(to_line(line)) == json.loads(shelved.lines[-1])
    assert all(32 <= ord(character) < 127 for character in shelved.lines[-1][:-1])
    assert line.data + b"x" * line.cut == data


def test_content_is_measured_and_not_kept() -> None:
    """Without being asked a transcript has size and SHA-256 of a message, and no octet of it."""
    witness, shelved = recorded()
    witness.passed("client", MESSAGE[:9])
    witness.passed("client", MESSAGE[9:])
    witness.passed_all()
    (data,) = [event for event in shelved.events if isinstance(event, Data)]
    assert (data.octets, data.sha256) == (len(MESSAGE), hashlib.sha256(MESSAGE).hexdigest())
    assert data.headers is data.content is None
    assert b"Subject" not in shelved.text


@pytest.mark.parametrize("cut", range(len(MESSAGE)))
def test_headers_are_kept_where_they_are_wanted(cut: int) -> None:
    """``content = "headers"`` keeps the header, wherever the pieces are cut, and nothing of the body."""
    witness, shelved = recorded(content="headers")
    witness.passed("client", MESSAGE[:cut])
    witness.passed("client", MESSAGE[cut:])
    witness.passed_all()
    (data,) = [event for event in shelved.events if isinstance(event, Data)]
    assert (data.headers, data.content, data.cut) == (MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 2], None, 0)


def test_content_is_kept_up_to_a_limit() -> None:
    """``content = "full"`` keeps the message, and says how much of a large one is left out; so it is with headers."""
    witness, shelved = recorded(content="full")
    witness.passed("client", MESSAGE)
    witness.passed_all()
    witness.passed("client", b"x" * (CONTENT_LIMIT + 3))
    witness.passed_all(whole=False)
    witness.passed("server", b"1 2\r\n", message=False)
    witness.passed_all()
    small, large, listing = [event for event in shelved.events if isinstance(event, Data)]
    assert (small.content, small.cut, small.whole) == (MESSAGE, 0, True)
    assert (len(large.content or b""), large.cut, large.whole) == (CONTENT_LIMIT, 3, False)
    assert (listing.what, listing.octets, listing.content, listing.sha256) == ("listing", 5, None, "")
    witness, shelved = recorded(content="headers")
    witness.passed("client", b"x" * (HEADERS_LIMIT + 2))
    witness.passed_all()
    (data,) = [event for event in shelved.events if isinstance(event, Data)]
    assert data.cut == 2


@pytest.mark.parametrize("outcome", ["quit", "logout", "closed"])
def test_session_that_goes_well_is_not_kept_where_failures_are_wanted(outcome: str) -> None:
    """``only_failures`` forgets a session in which nothing was refused, whatever a good end is called."""
    witness, shelved = recorded(only_failures=True)
    witness.said(b"250 Ok\r\n", b"334 ")
    witness.close(outcome)
    assert (shelved.lines, shelved.kept) == ([], [False])


@pytest.mark.parametrize("how", ["reply", "pop3", "outcome", "handshake"])
def test_failure_is_kept_from_its_beginning(how: str) -> None:
    """What was refused, lost or could not become private is kept whole."""
    witness, shelved = recorded(only_failures=True, protocol="pop3" if how == "pop3" else "smtp")
    witness.heard(b"NOOP")
    if how == "handshake":
        witness.upgrade_failed("client", "no shared cipher")
    elif how != "outcome":
        witness.said(b"550 No\r\n" if how == "reply" else b"-ERR No\r\n", b"334 ")
    witness.close("lost" if how == "outcome" else "quit")
    found = shelved.events
    assert isinstance(found[0], Opened)
    assert isinstance(found[-1], Closed)
    assert [event.serial for event in found] == list(range(1, len(found) + 1))


def test_what_waits_for_its_outcome_is_bounded() -> None:
    """A session that says much before anything fails loses what is too much, and says so."""
    witness, shelved = recorded(only_failures=True)
    for _ in range(200):
        witness.heard(b"x" * LINE_LIMIT)
    witness.close("lost")
    closed = shelved.events[-1]
    assert isinstance(closed, Closed)
    assert 0 < closed.dropped == shelved.lost_events < 200
    assert len(shelved.text) < WAITING_LIMIT + 1000


def test_dropped_events_leave_a_gap_and_are_told() -> None:
    """What the queue does not take is missing, its numbers are, and the end says how many."""
    witness, shelved = recorded()
    shelved.full = True
    witness.heard(b"NOOP")
    witness.heard(b"NOOP")
    shelved.full = False
    witness.close("quit")
    closed = shelved.events[-1]
    assert isinstance(closed, Closed)
    assert (closed.serial, closed.dropped) == (4, 2)


def test_trouble_in_a_transcript_stays_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with the transcript, whoever tells it something hears nothing of that."""
    witness, shelved = recorded()
    broken: list[Exception] = []
    monkeypatch.setattr(shelved, "broke", broken.append)
    monkeypatch.setattr(shelved, "put", None)
    witness.heard(b"NOOP")
    witness.said(b"250 Ok\r\n", b"334 ")
    witness.passed("client", b"x")
    witness.passed_all()
    witness.decision("relay", "accept")
    witness.close("quit")
    assert broken


def test_close_ends_what_is_open_and_happens_once() -> None:
    """Content whose end never came is told as such; octets that nobody reads are counted."""
    witness, shelved = recorded()
    witness.passed("client", b"half")
    witness.octets("client", 3)
    witness.octets("client", 4)
    witness.close("connection lost")
    witness.close("quit")
    _, half, octets, closed = shelved.events
    assert isinstance(half, Data)
    assert (half.octets, half.whole) == (4, False)
    assert isinstance(octets, Data)
    assert (octets.what, octets.octets, octets.speaker) == ("octets", 7, "client")
    assert isinstance(closed, Closed)
    assert closed.outcome == "connection lost"


def test_first_rule_that_matches_decides() -> None:
    """Listener and address choose the rule; a session that its fraction leaves out is not given to the next one."""
    mx = frozenset({"mx"})
    rules = (
        RecordRule("0", listeners=mx, addresses=AddressList(["192.0.2.0/24"]), content="full"),
        RecordRule("1", listeners=mx, fraction=0.25),
        RecordRule("2", addresses=AddressList(["203.0.113.1"])),
    )

    def chosen(listener: str, address: str, connection: str = "c1") -> str:
        rule = rule_for(rules, listener, address, connection)
        return "" if rule is None else rule.name

    assert chosen("mx", "192.0.2.7") == "0"
    assert chosen("pop3", "192.0.2.7") == ""
    assert chosen("pop3", "203.0.113.1") == "2"
    names = [chosen("mx", "203.0.113.1", f"c{number}") for number in range(2000)]
    assert set(names) == {"1", ""}
    assert 400 < names.count("1") < 600
    assert names == [chosen("mx", "203.0.113.1", f"c{number}") for number in range(2000)]


def test_events_are_read_back_by_their_kind() -> None:
    """Nothing that a transcript writes is foreign to the reader."""
    witness, shelved = recorded()
    witness.upgrade_failed("backend", "no", "server")
    witness.close("quit")
    assert all(from_json(event.to_json()) == event for event in shelved.events)
