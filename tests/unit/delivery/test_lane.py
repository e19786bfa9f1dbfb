"""Promises of a lane that sends the next message's envelope ahead: what becomes of both when something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.delivery.scripted import Behaviour, ScriptedServer
from tests.unit.delivery.test_worker import ONE, House, names

from gatepost.queue.item import FileBody, NewMessage, NewRecipient
from gatepost.queue.outcome import Outcome, Result

COUNT = 6
ADDRESSES = [f"b{number}@example.com" for number in range(COUNT)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house with an empty queue."""
    made = House(tmp_path)
    yield made
    made.queue.close()


def send(house: House, behaviour: Behaviour, **delivery: Any) -> tuple[dict[str, Outcome], ScriptedServer]:
    """Queue a message for each address where none is queued, and deliver over one lane until each has an outcome."""
    if not house.count:
        for address in ADDRESSES:
            house.put(address)
    with ScriptedServer(behaviour) as server:
        config = house.config(server.port, concurrency_per_destination=1, **delivery)
        return house.settle_all(config, names(*ONE), COUNT), server


def arrived(server: ScriptedServer) -> list[str]:
    """For whom messages arrived, in order."""
    return [recipient for message in server.messages for recipient in message.recipients]


def test_line_arrives_whole_and_in_order_over_one_connection(house: House) -> None:
    """Envelopes that go ahead mix nothing up."""
    outcomes, server = send(house, Behaviour())
    assert arrived(server) == ADDRESSES
    assert server.connections == 1 and "RSET" not in server.commands
    assert {outcome.result for outcome in outcomes.values()} == {Result.DELIVERED}


def test_nothing_goes_ahead_beyond_the_messages_of_a_connection(house: House) -> None:
    """The last message of a connection takes no envelope with it: no MAIL is said that no content follows."""
    _, server = send(house, Behaviour(), messages_per_connection=2)
    assert arrived(server) == ADDRESSES
    assert server.connections == 3
    assert sum(command.startswith("MAIL") for command in server.commands) == COUNT


def test_server_that_has_enough_costs_nobody_an_attempt(house: House) -> None:
    """A 421 to an envelope that went ahead: that message goes over a new connection, at once and once."""
    outcomes, server = send(house, Behaviour(messages_each=2))
    assert sorted(arrived(server)) == ADDRESSES
    assert server.connections == 3
    assert {outcome.result for outcome in outcomes.values()} == {Result.DELIVERED}


def test_server_that_hangs_up_after_each_message_gets_each_once(house: House) -> None:
    """It never read the envelope that went ahead; that message goes over the next connection."""
    outcomes, server = send(house, Behaviour(hang_up_after_final=True))
    assert sorted(arrived(server)) == ADDRESSES
    assert {outcome.result for outcome in outcomes.values()} == {Result.DELIVERED}


def test_refusal_of_the_content_concerns_that_message_alone(house: House) -> None:
    """A 5xx to the content ends its transaction; the next one, already begun, is none the worse."""
    replies = iter([b"250 2.0.0 taken\r\n", b"554 5.7.1 no\r\n"] * COUNT)
    outcomes, server = send(house, Behaviour(final=lambda _: next(replies)))
    assert arrived(server) == ADDRESSES[0::2]
    assert [outcomes[address].result for address in ADDRESSES] == [Result.DELIVERED, Result.FAILED] * (COUNT // 2)
    assert server.connections == 1


def test_deferred_message_is_tried_elsewhere_when_the_one_sent_ahead_is_through(house: House) -> None:
    """The other exchanger is asked while nobody waits inside a transaction on the first."""
    with ScriptedServer(Behaviour(), address="127.0.0.2") as second:
        replies = iter([b"451 4.7.1 later\r\n"] + [b"250 2.0.0 taken\r\n"] * COUNT)
        with ScriptedServer(Behaviour(final=lambda _: next(replies)), port=second.port) as first:
            for address in ADDRESSES:
                house.put(address)
            both = names(("mx1.example.com", "127.0.0.1"), ("mx2.example.com", "127.0.0.2"))
            outcomes = house.settle_all(house.config(first.port, concurrency_per_destination=1), both, COUNT)
    assert arrived(second) == ADDRESSES[:1]
    assert arrived(first) == ADDRESSES[1:]
    assert {outcome.result for outcome in outcomes.values()} == {Result.DELIVERED}


def test_message_that_cannot_be_sent_does_not_go_ahead(house: House) -> None:
    """Content with a bare LF fails by itself, and content that is missing waits; their neighbours arrive."""
    for number, address in enumerate(ADDRESSES):
        if number == 2:
            house.put(address, content=b"Subject: x\r\n\r\na\nb\r\n")
        elif number == 4:
            missing = FileBody("missing", 10, "0" * 64)
            house.count += 1
            recipients = (NewRecipient(address, "example.com", "remote"),)
            house.queue.enqueue([NewMessage(f"m{house.count:05}", 1e9, "a@example.org", missing, 10, recipients)])
        else:
            house.put(address)
    outcomes, server = send(house, Behaviour())
    assert sorted(arrived(server)) == [ADDRESSES[0], ADDRESSES[1], ADDRESSES[3], ADDRESSES[5]]
    assert outcomes[ADDRESSES[2]].result is Result.FAILED
    assert outcomes[ADDRESSES[4]].result is not Result.DELIVERED and "cannot be read" in outcomes[ADDRESSES[4]].text
    assert server.connections == 1


def test_server_without_pipelining_gets_one_command_at_a_time(house: House) -> None:
    """Nothing goes ahead where it is not listed."""
    _, server = send(house, Behaviour(keywords=("8BITMIME",)))
    assert arrived(server) == ADDRESSES
