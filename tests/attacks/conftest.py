"""One server for the tests of a module; each test ends with the proof that it still serves others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attacks.raw import Raw

from gatepost.testing.server import MailServer


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with MailServer(tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture
def server(shared_server: MailServer) -> Iterator[MailServer]:
    """A running server. After the attack it must still take an honest message over TLS."""
    yield shared_server
    before = shared_server.total("messages_accepted_total", listener="mx")
    deliver(shared_server)
    assert shared_server.total("messages_accepted_total", listener="mx") == before + 1


def deliver(server: MailServer, ca_file: Path | None = None) -> None:
    """An honest client delivers one message over STARTTLS."""
    with Raw(server.ports["mx"]) as client:
        client.upgrade(ca_file or server.ca_file)
        assert client.say(b"MAIL FROM:<friend@elsewhere.example>").startswith(b"250")
        assert client.say(b"RCPT TO:<alice@example.test>").startswith(b"250")
        assert client.say(b"DATA").startswith(b"354")
        assert client.say(b"Subject: honest\r\n\r\nhello\r\n.").startswith(b"250")
        assert client.say(b"QUIT").startswith(b"221")
