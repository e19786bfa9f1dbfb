"""A session in one line."""

from __future__ import annotations

import pytest
from tests.unit.record.conversation import BEGAN, Conversation, blind_session, starttls_session
from tests.unit.record.recording import recorded

from gatepost.policy.addresses import AddressList
from gatepost.record.events import Upgraded
from gatepost.record.summary import Wanted, summarise


def test_summary_says_what_happened() -> None:
    """Listener, client, TLS, outcome, messages, octets, what was dropped."""
    found = summarise(starttls_session())
    assert (found.listener, found.client, found.tls, found.outcome) == ("mx", "192.0.2.7", "TLSv1.3", "quit")
    assert (found.messages, found.octets, found.dropped) == (1, 20480, 2)
    assert found.facts()["client"] == ["192.0.2.7", 4711]


def test_blind_session_and_failed_handshake_are_named() -> None:
    """Neither is taken for a session that was seen in private."""
    assert summarise(blind_session()).tls == "blind"
    talk = Conversation()
    talk.add(Upgraded, side="client", reason="no")
    found = summarise(talk.close("handshake failed"))
    assert found.tls == "failed" and found.failed


@pytest.mark.parametrize("outcome", ["quit", "logout", "closed", "ended", "passed", "left", "drained"])
def test_good_end_is_no_failure(outcome: str) -> None:
    """A logout of IMAP and the end of what passed unread are as good as a QUIT."""
    assert not summarise(Conversation().close(outcome)).failed
    assert summarise(Conversation().close("broken")).failed


@pytest.mark.parametrize(
    ("protocol", "reply", "failed"),
    [
        ("smtp", b"550 5.1.1 no", True), ("smtp", b"550", True), ("smtp", b"250 ok", False),
        ("smtp", b"250 NO thanks", False), ("pop3", b"-ERR no", True), ("pop3", b"+OK", False),
        ("pop3", b"+OK no messages", False), ("imap", b"A1 NO no", True), ("imap", b"A1 BAD", True),
        ("imap", b"4 OK done", False), ("imap", b"* NO nearly full", False), ("imap", b"* BAD what", True),
    ],
)  # fmt: skip
def test_refusal_is_a_failure(protocol: str, reply: bytes, failed: bool) -> None:
    """--failed finds sessions in which something was refused, in every protocol; and so does ``only_failures``."""
    talk = Conversation(protocol=protocol)
    talk.server(reply)
    assert summarise(talk.close()).failed is failed
    witness, shelved = recorded(only_failures=True, protocol=protocol)
    witness.said(reply + b"\r\n", b"334 ")
    witness.close("quit")
    assert shelved.kept == [failed]


def test_session_without_beginning_or_end_has_a_line_too() -> None:
    """What is not known is empty, and it is not taken for one that failed."""
    talk = Conversation(begin=False)
    talk.lose()
    talk.client(b"NOOP")
    found = summarise(talk.session)
    assert (found.client, found.listener, found.outcome, found.seconds) == ("", "", "(goes on)", None)
    assert not found.failed


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(), True),
        (Wanted(listeners=("mx", "pop3")), True),
        (Wanted(listeners=("pop3",)), False),
        (Wanted(clients=AddressList(["192.0.2.0/24"])), True),
        (Wanted(clients=AddressList(["10.0.0.0/8"])), False),
        (Wanted(since=BEGAN), True),
        (Wanted(since=BEGAN + 1), False),
        (Wanted(until=BEGAN), False),
        (Wanted(until=BEGAN + 1), True),
        (Wanted(failed=True), True),
    ],
)
def test_filters_take_what_was_asked_for(wanted: Wanted, takes: bool) -> None:
    """Listener, client, time, failure; all of them together."""
    assert wanted.takes(summarise(starttls_session())) is takes
