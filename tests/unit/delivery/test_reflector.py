"""The reflector in the delivery process: one answer, in the transaction that removes the message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gatepost.accounts.resolution import NOT_OURS, UNKNOWN, Found, Resolution
from gatepost.delivery.reflector import Reflector
from gatepost.delivery.reflector_limits import Allowance
from gatepost.errors import StoreError
from gatepost.queue.item import LOCAL, BodyRef, FileBody, InlineBody, Lease, NewMessage, QueuedMessage
from gatepost.queue.outcome import Result

OWN = "ping@example.org"
CONTENT = b"Received: from a by b; now\r\nFrom: <ann@example.net>\r\n\r\nhello\r\n"


def find(local: str, domain: str) -> Resolution:
    """example.org is here, with one user."""
    if domain != "example.org":
        return NOT_OURS
    return Found(("bob@example.org",)) if local == "bob" else UNKNOWN


def _lease(sender: str, body: BodyRef | None = None) -> Lease:
    message = QueuedMessage(
        1, "m1", time.time(), sender, body or InlineBody(CONTENT), len(CONTENT), "{}", False, "7BIT", None, None
    )
    return Lease(message, 0, OWN, LOCAL, "local", None, None, None, 1, False, "me", time.time() + 60)


def _reflector(keep: Callable[[str, bytes], BodyRef] | None = None, **changes: Any) -> Reflector:
    def read(body: BodyRef) -> Iterable[bytes]:
        chunks: Iterable[bytes] = changes.get("chunks", (CONTENT,))
        return chunks

    return Reflector(
        OWN, "mx.example.org", Allowance(changes.get("limit", 5), 9), find=find, open_body=read,
        keep=keep or (lambda _, content: InlineBody(content)), clock=lambda: 0.0,
    )  # fmt: skip


def test_answer_goes_back_from_the_null_sender() -> None:
    """To a stranger, who is asked for no notification; named after the message, so that it is there once."""
    outcome, answer = _reflector().answer(_lease("ann@example.net"), time.time())
    assert outcome.result is Result.DELIVERED and answer is not None
    (to,) = answer.recipients
    assert (answer.sender, answer.id, to.address, to.kind) == ("", "m1-r", "ann@example.net", "remote")
    assert to.notify == frozenset({"NEVER"})


def test_answer_to_one_of_ours_goes_into_the_mailbox() -> None:
    """By the accounts, as a report does."""
    _, answer = _reflector().answer(_lease("bob@example.org"), time.time())
    assert answer is not None and [(one.address, one.kind) for one in answer.recipients] == [
        ("bob@example.org", "local")
    ]


@pytest.mark.parametrize("sender", ["", "nobody@example.org", "not an address", "mailer-daemon@example.net"])
def test_message_that_is_not_answered_is_removed(sender: str) -> None:
    """It is done with: nothing is tried again, nothing is sent."""
    outcome, answer = _reflector().answer(_lease(sender), time.time())
    assert outcome.result is Result.DELIVERED and outcome.text.startswith("not answered") and answer is None


def test_answers_are_rationed() -> None:
    """Behind the limit a message is removed without an answer."""
    reflector = _reflector(limit=1)
    assert reflector.answer(_lease("ann@example.net"), 0.0)[1] is not None
    assert reflector.answer(_lease("ann@example.net"), 0.0)[1] is None


def test_failing_disk_defers_the_message() -> None:
    """Neither lost nor answered by half."""

    def full(name: str, content: bytes) -> BodyRef:
        raise StoreError("the disk is full")

    outcome, answer = _reflector(full).answer(_lease("ann@example.net"), 0.0)
    assert outcome.result is Result.DEFERRED and answer is None


def test_header_that_is_too_long_is_not_answered() -> None:
    """A file of content is read no further than its header may reach."""
    read: list[int] = []

    def chunks() -> Iterable[bytes]:
        for _ in range(1000):
            read.append(1)
            yield b"X: " + b"y" * 8189 + b"\r\n"

    body = FileBody("m1", 9_000_000, "0" * 64)
    outcome, answer = _reflector(chunks=chunks()).answer(_lease("ann@example.net", body), 0.0)
    assert answer is None and "too long" in outcome.text and len(read) < 12
    assert _reflector(chunks=(CONTENT[:9], CONTENT[9:])).answer(_lease("ann@example.net", body), 0.0)[1] is not None


def test_worker_answers_in_the_settling_transaction(tmp_path: Path) -> None:
    """The message leaves the queue and the answer enters it; a failed transaction changes neither."""
    from tests.unit.delivery.test_worker import House, names

    house = House(tmp_path)
    made: list[NewMessage] = house.queue.reports
    try:
        house.put(OWN, sender="b@example.com")
        house.queue.fail_next = 1
        house.deliver(house.config(9), names(), lambda: bool(house.queue.settled), reflector=OWN)
        assert [(one.sender, one.recipients[0].address) for one in made] == [("", "b@example.com")]
        assert house.queue.outcomes()[OWN].text == "answered"
    finally:
        house.queue.close()
