"""Two servers behind one SMTP gate: how sessions are spread, and what clients notice when one of them is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.attacks.raw import Raw
from tests.interop.patience import until
from tests.unit.service.gate.smtp_behind import Behind
from tests.unit.service.gate.smtp_gate import secured, send

from gatepost.testing.gate import RunningGates


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pool(stack: ExitStack, folder: Path, *servers: Behind) -> RunningGates:
    gate = {"name": "front", "protocol": "smtp", "backend": "mail"}
    backend = {"name": "mail", "servers": [each.name for each in servers], "health_every": "1h"}
    return stack.enter_context(RunningGates(folder, [gate], [backend]))


def session(stack: ExitStack, front: RunningGates) -> Raw:
    """A client inside TLS, whose server has been greeted."""
    client = stack.enter_context(Raw(front.port("front")))
    secured(client, front.ca_file)
    return client


def test_each_session_goes_to_the_server_with_the_fewest(tmp_path: Path, stack: ExitStack) -> None:
    """Six that stay are three and three; when those of one server go, the next ones go there."""
    servers = [stack.enter_context(Behind()) for _ in range(2)]
    front = pool(stack, tmp_path, *servers)
    clients = [session(stack, front) for _ in range(6)]
    for client in clients:
        assert send(client) == b"250 2.0.0 taken"
    assert [len(each.messages) for each in servers] == [3, 3]
    leaving = [client for client in clients if _marked(client, servers[0])]
    assert len(leaving) == 3
    for client in leaving:
        assert client.say(b"QUIT").startswith(b"221")
    until(lambda: all(each.ended for each in servers[0].sessions), what="they have gone")
    until(lambda: front.total("gate_backend_connections_open", backend="mail") == 3, what="they are counted")
    for _ in range(3):
        assert send(session(stack, front)) == b"250 2.0.0 taken"
    assert len(servers[1].sessions) == 3


def _marked(client: Raw, server: Behind) -> bool:
    """Whether a client's messages come to this server."""
    before = len(server.messages)
    assert send(client) == b"250 2.0.0 taken"
    return len(server.messages) > before


def test_server_that_goes_takes_with_it_what_was_in_the_middle_and_nothing_else(
    tmp_path: Path, stack: ExitStack
) -> None:
    """Who was between messages goes on at the other, like who comes now; a message that was begun is put off."""
    servers = [stack.enter_context(Behind()) for _ in range(2)]
    front = pool(stack, tmp_path, *servers)
    clients = [session(stack, front) for _ in range(4)]
    gone, kept = servers
    busy, *others = sorted(clients, key=lambda client: not _marked(client, gone))
    assert (len(gone.messages), len(kept.messages)) == (2, 2)
    assert busy.say(b"MAIL FROM:<ann@far.example>").startswith(b"250")
    gone.close()
    busy.send(b"RCPT TO:<bob@near.example>\r\nDATA\r\n")
    first = busy.reply()
    assert first.startswith((b"421 4.", b"451 4.")), first
    assert not busy.reply().startswith(b"354")
    for client in (*others, session(stack, front)):
        assert send(client) == b"250 2.0.0 taken"
    assert (len(gone.messages), len(kept.messages)) == (2, 6)
