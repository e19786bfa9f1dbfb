"""Promises of delivery into mailboxes here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from gatepost.delivery.local import MailboxDelivery
from gatepost.errors import StoreError
from gatepost.mailbox import mailbox_root
from gatepost.queue.item import BodyRef, FileBody, InlineBody, Lease, QueuedMessage
from gatepost.queue.outcome import Result

CONTENT = b"Received: from x\r\nSubject: hi\r\n\r\nbody\r\n"


def lease(content: bytes = CONTENT, *, body: BodyRef | None = None, **changes: object) -> Lease:
    """A lease of one local recipient."""
    message = QueuedMessage(
        1, str(changes.get("id", "m1")), 1_700_000_000.0, str(changes.get("sender", "a@example.org")),
        body or InlineBody(content), len(content), "{}", False, "7BIT", None, None,
    )  # fmt: skip
    address = str(changes.get("address", "user@example.com"))
    attempts = int(str(changes.get("attempts", 1)))
    return Lease(message, 0, address, "local", "local", None, None, None, attempts, False, "w", 2e9)


def no_file(body: BodyRef) -> Iterable[bytes]:
    """There are no files in these tests."""
    raise StoreError(f"{body} is not here")


@pytest.fixture
def local(tmp_path: Path) -> MailboxDelivery:
    """A delivery into mailboxes under a fresh directory."""
    return MailboxDelivery(tmp_path, "mx.test", no_file)


def stored(data: Path, address: str = "user@example.com") -> list[bytes]:
    """What lies in a mailbox's ``new``."""
    return [path.read_bytes() for path in sorted((mailbox_root(data, address) / "new").iterdir())]


def test_delivery_adds_return_path_and_delivered_to(local: MailboxDelivery, tmp_path: Path) -> None:
    """Both stand above everything else, and the content is what was queued."""
    (outcome,) = local.deliver([lease()])
    assert outcome.result is Result.DELIVERED
    (text,) = stored(tmp_path)
    assert text == b"Return-Path: <a@example.org>\nDelivered-To: user@example.com\n" + CONTENT.replace(b"\r\n", b"\n")


def test_delivery_of_a_notification_has_an_empty_return_path(local: MailboxDelivery, tmp_path: Path) -> None:
    """The null sender stays visible, so that a mail program does not answer (RFC 5321 §4.4)."""
    local.deliver([lease(sender="")])
    assert stored(tmp_path)[0].startswith(b"Return-Path: <>\n")


@pytest.mark.parametrize(
    "line",
    [b"Delivered-To: user@example.com", b"delivered-to:\tUSER@Example.COM ", b"Delivered-To: <user@example.com>"],
)
def test_delivery_refuses_a_message_that_came_round(local: MailboxDelivery, tmp_path: Path, line: bytes) -> None:
    """The same Delivered-To in the header is a loop, whatever its spelling."""
    (outcome,) = local.deliver([lease(b"X: y\r\n" + line + b"\r\n" + CONTENT)])
    assert outcome.result is Result.FAILED
    assert outcome.enhanced == "5.4.6"
    assert not mailbox_root(tmp_path, "user@example.com").exists()


@pytest.mark.parametrize(
    "prefix", [b"Delivered-To: other@example.com\r\n", b"X: y\r\n\r\nDelivered-To: user@example.com\r\n"]
)
def test_delivery_accepts_another_mailbox_or_the_body(local: MailboxDelivery, prefix: bytes) -> None:
    """Only the header counts, and only the same mailbox."""
    (outcome,) = local.deliver([lease(prefix + CONTENT)])
    assert outcome.result is Result.DELIVERED


def test_delivery_of_a_retry_makes_no_duplicate(local: MailboxDelivery, tmp_path: Path) -> None:
    """A crash between the file and the commit costs nothing: the second attempt finds the first one's file."""
    local.deliver([lease()])
    (outcome,) = local.deliver([lease(attempts=2)])
    assert outcome.result is Result.DELIVERED
    assert len(stored(tmp_path)) == 1


def test_delivery_defers_when_the_mailbox_cannot_be_written(local: MailboxDelivery, tmp_path: Path) -> None:
    """A failing disk is a reason to wait, and touches no other message of the batch."""
    root = mailbox_root(tmp_path, "user@example.com")
    root.parent.mkdir(parents=True)
    root.write_bytes(b"a file where the mailbox should be")
    one, two = local.deliver([lease(), lease(address="other@example.com", id="m2")])
    assert (one.result, one.enhanced[0]) == (Result.DEFERRED, "4")
    assert two.result is Result.DELIVERED


def test_delivery_defers_when_the_content_cannot_be_read(local: MailboxDelivery) -> None:
    """A body file that is gone is for the operator to mend; the sender is not told a lie."""
    (outcome,) = local.deliver([lease(body=FileBody("gone", 10, "00"))])
    assert outcome.result is Result.DEFERRED


def test_delivery_streams_a_content_in_pieces(tmp_path: Path) -> None:
    """A header end across the joint of two pieces is found, and nothing is lost."""

    def pieces(body: BodyRef) -> Iterator[bytes]:
        yield b"Subject: x\r\n"
        yield b"\r\nDelivered-To: user@example.com\r\n"

    local = MailboxDelivery(tmp_path, "mx.test", pieces)
    (outcome,) = local.deliver([lease(body=FileBody("f", 46, "00"))])
    assert outcome.result is Result.DELIVERED
    assert stored(tmp_path)[0].endswith(b"\nSubject: x\n\nDelivered-To: user@example.com\n")
