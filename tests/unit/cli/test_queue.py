"""``gatepost queue``, on a real store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.cli import queue as queue_command
from gatepost.queue.item import NewMessage, NewRecipient
from gatepost.store.sqlite.queue import SQLiteQueue

CONTENT = b"Subject: hi\r\nFrom: a@b\r\n\r\nhello\x1b[2J\r\n"


def _fill(data: Path, *names: str) -> None:
    data.mkdir(mode=0o700, exist_ok=True)
    store = SQLiteQueue(data)
    for number, name in enumerate(names):
        writer = store.body_writer(name)
        writer.write(CONTENT)
        recipients = (
            NewRecipient(f"to{number}@y.test", "y.test", "remote"),
            NewRecipient("\x1b[31mred@z.test", "z.test", "remote"),
        )
        store.enqueue(
            [NewMessage(name, time.time() - 100 + number, "me@x.test", writer.finish(), len(CONTENT), recipients)]
        )
    store.close()


def _ids(gatepost: Gatepost, *arguments: str) -> list[str]:
    return [message["id"] for message in gatepost("queue", "list", "--json", *arguments).json["messages"]]


def test_list_shows_messages_oldest_first_and_escapes_addresses(gatepost: Gatepost, data: Path) -> None:
    """A table for people; what senders chose cannot colour it."""
    _fill(data, "q1", "q2")
    done = gatepost("queue", "list")
    assert done.code == 0
    heading, first, second = done.out.splitlines()
    assert heading.split() == ["id", "age", "size", "sender", "recipients", "state", "next", "try"]
    assert first.startswith("q1 ") and second.startswith("q2 ")
    assert "\x1b" not in done.out


def test_list_pages_and_filters(gatepost: Gatepost, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--limit, all of a long queue, --destination, --state."""
    monkeypatch.setattr(queue_command, "_PAGE", 2)
    names = [f"q{number}" for number in range(5)]
    _fill(data, *names)
    assert _ids(gatepost, "--limit", "3") == names[:3]
    assert _ids(gatepost, "--limit", "0") == names
    assert _ids(gatepost, "--destination", "nowhere.test") == []
    assert _ids(gatepost, "--state", "queued", "--limit", "0") == names
    assert "3 of 5 messages" in gatepost("queue", "list", "--limit", "3").out


def test_show_tells_envelope_header_and_content(gatepost: Gatepost, data: Path) -> None:
    """All that is known of one message, and the message itself."""
    _fill(data, "q1")
    shown = gatepost("queue", "show", "q1")
    assert "me@x.test" in shown.out and "to0@y.test" in shown.out
    details: Any = gatepost("queue", "show", "q1", "--json").json
    assert [recipient["destination"] for recipient in details["recipients"]] == ["y.test", "z.test"]
    assert gatepost("queue", "show", "q1", "--header").out == "Subject: hi\nFrom: a@b\n"
    assert gatepost("queue", "show", "q1", "--content").out == CONTENT.decode().replace("\r\n", "\n")
    assert gatepost("queue", "show", "q9").code == 65


def test_messages_are_held_released_retried_and_dropped(gatepost: Gatepost, data: Path) -> None:
    """Each verb on ids, on a destination, on all."""
    _fill(data, "q1", "q2", "q3")
    assert gatepost("queue", "hold", "q1", "q2").out == "2 messages held\n"
    assert _ids(gatepost, "--state", "held") == ["q1", "q2"]
    assert gatepost("queue", "release", "q1").out == "1 message released\n"
    assert gatepost("queue", "release", "--all", "--json").json == {"count": 1, "missing": []}
    assert gatepost("queue", "hold", "--destination", "Y.test").out == "3 messages held\n"
    assert gatepost("queue", "drop", "q1").out == "1 message removed\n"
    partly = gatepost("queue", "retry", "q1", "q2")
    assert partly.code == 0 and "q1" in partly.err
    assert gatepost("queue", "drop", "--all", "--yes").code == 0
    assert gatepost("queue", "list").err == "the queue is empty\n"


def test_dropping_everything_needs_a_yes(gatepost: Gatepost, data: Path) -> None:
    """Where nobody can be asked, nothing is removed."""
    _fill(data, "q1")
    assert gatepost("queue", "drop", "--all").code == 64
    assert _ids(gatepost) == ["q1"]


@pytest.mark.parametrize("verb", ["hold", "release", "retry", "drop"])
def test_unknown_ids_are_an_error(gatepost: Gatepost, data: Path, verb: str) -> None:
    """A mistyped id is not a success."""
    _fill(data, "q1")
    done = gatepost("queue", verb, "q7")
    assert done.code == 65 and "q7" in done.err


def test_retry_of_a_held_message_names_release(gatepost: Gatepost, data: Path) -> None:
    """Due or not, what is held is not tried: the answer says so, and how to let it go."""
    _fill(data, "q1")
    gatepost("queue", "hold", "q1")
    done = gatepost("queue", "retry", "q1")
    assert "held" in done.err and "queue release q1" in done.err
