"""Limits that a server announces are kept to by delivery."""

from __future__ import annotations

from pathlib import Path

from tests.unit.delivery.scripted import Behaviour, ScriptedServer
from tests.unit.delivery.test_worker import House, names

SERVER = ("mx.example.com", "127.0.0.1")


def test_delivery_keeps_to_the_announced_limits(tmp_path: Path) -> None:
    """RFC 9422 §4: no more recipients in a transaction, no more messages in a session, than the server says."""
    house = House(tmp_path)
    house.put(*(f"u{number}@example.com" for number in range(5)))
    house.put("a@example.com")
    house.put("b@example.com")
    with ScriptedServer(Behaviour(keywords=("LIMITS RCPTMAX=2 MAILMAX=2",))) as server:
        house.settle_all(house.config(server.port, concurrency_per_destination=1), names(SERVER), 7)
    house.queue.close()
    assert max(len(message.recipients) for message in server.messages) == 2
    assert sum(len(message.recipients) for message in server.messages) == 7
    each = [sum(one.connection == number for one in server.messages) for number in range(1, server.connections + 1)]
    assert max(each) <= 2
