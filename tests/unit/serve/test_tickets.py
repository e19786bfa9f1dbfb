"""The real server gives a TLS 1.3 client as many session tickets as it is told, where OpenSSL's default is two."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.serve.real_server import Client

from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.serve.preparation import refuse_fixed
from gatepost.testing.handshakes import client_side
from gatepost.tls.contexts import ClientTLS, client_context
from gatepost.tls.stream import TLSStream
from gatepost.tls.trust import TrustStore

StartReal = Callable[..., Any]


def _records(data: bytes) -> int:
    """How many complete TLS records there are (RFC 8446 §5.1)."""
    count = 0
    while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5]):
        data = data[5 + int.from_bytes(data[3:5]) :]
        count += 1
    return count


def _secured(client: Client) -> TLSStream:
    handshake = client_side(ClientTLS(client_context(trust=TrustStore(())), "mx.host.test", level="encrypt"))
    stream = None
    while stream is None:
        client.sock.sendall(handshake.outgoing())
        handshake.receive(client.sock.recv(65536))
        stream = handshake.advance()
    return stream


@pytest.mark.parametrize(("tables", "tickets"), [("", 1), ("[tls]\ntickets = 0", 0), ("[tls]\ntickets = 2", 2)])
def test_serve_gives_that_many_tickets(
    start_real: StartReal, monkeypatch: pytest.MonkeyPatch, tables: str, tickets: int
) -> None:
    """Behind the handshake come the tickets, one by default, and the reply to EHLO, each a record."""
    monkeypatch.delenv("OPENSSL_CONF", raising=False)
    assert "OPENSSL_CONF" not in os.environ
    server = start_real("", tables)
    client = Client.connect(server.port)
    assert client.say("STARTTLS").startswith("220")
    stream = _secured(client)
    assert stream.evidence.version == "TLSv1.3"
    stream.send(b"EHLO client.test\r\n")
    client.sock.sendall(stream.outgoing())
    received, text = b"", b""
    while b"\r\n250 " not in text:
        data = client.sock.recv(65536)
        assert data
        received += data
        text += stream.receive(data)
    client.close()
    assert _records(received) == tickets + 1


def test_number_of_tickets_is_fixed_at_the_start() -> None:
    """OpenSSL reads it once: a reload that changes it is refused, not half in force."""
    old, new = (Config.model_validate({"tls": {"tickets": number}}) for number in (1, 0))
    refuse_fixed(old, old)
    with pytest.raises(ConfigError, match=r"tls\.tickets: cannot change while the server runs"):
        refuse_fixed(old, new)
