"""Watching a handshake: through OpenSSL's callback, and where none can be made."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from gatepost.errors import ConfigError, HandshakeError
from gatepost.testing.handshakes import CLIENT_ORIGIN, run_handshake, server_side
from gatepost.testing.tls import NAME, contexts
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context
from gatepost.tls.engine import ClientHandshake
from gatepost.tls.sessions import SessionCache
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import hand_over_client


class Watcher:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.alerts: list[tuple[str, bool, bool]] = []
        self.chains: list[tuple[bytes, ...]] = []
        self.told = 0

    def state(self, name: str) -> None:
        self.states.append(name)

    def alert(self, name: str, *, sent: bool, fatal: bool) -> None:
        self.alerts.append((name, sent, fatal))

    def certificates(self, chain: tuple[bytes, ...]) -> None:
        self.chains.append(chain)

    def uninformed(self) -> None:
        self.told += 1


def client(watcher: Watcher | None, *, observable: bool = True, **profile: str) -> ClientHandshake:
    context = client_context(
        trust=TrustStore(),
        sessions=SessionCache(0),
        observable=observable,
        profile=TLSProfile(**profile),  # type: ignore[arg-type]
    )
    settings = ClientTLS(context, NAME, level="encrypt")
    return ClientHandshake(settings, hand_over_client(CLIENT_ORIGIN, b""), observer=watcher)


@pytest.mark.parametrize("observable", [True, False])
def test_client_tells_its_states_and_the_chain(*, observable: bool) -> None:
    """With the callback from the first hello on; without it once a record, and it says that."""
    watcher = Watcher()
    _, stream = run_handshake(server_side(contexts()), client(watcher, observable=observable))
    assert watcher.chains == [stream.evidence.peer_chain]
    assert "SSLv3/TLS read server certificate" in watcher.states
    assert ("SSLv3/TLS write client hello" in watcher.states) is observable
    assert watcher.told == (0 if observable else 1)


def test_encrypted_alerts_are_told_by_the_callback() -> None:
    """A goodbye of either side, which no record shows in TLS 1.3."""
    watcher = Watcher()
    server, stream = run_handshake(server_side(contexts()), client(watcher))
    stream.close()
    server.close()
    stream.outgoing()
    with pytest.raises(Exception, match="closed"):
        stream.receive(server.outgoing())
    assert watcher.alerts == [("close_notify", True, False), ("close_notify", False, False)]


def test_fatal_alert_is_told_as_such() -> None:
    """A server that speaks no version of ours refuses, and the client hears how."""
    watcher = Watcher()
    asking, serving = (
        client(watcher, minimum="TLSv1.2", maximum="TLSv1.2", ciphers="ECDHE-RSA-AES128-GCM-SHA256"),
        server_side(contexts()),
    )
    serving.receive(asking.outgoing())
    with pytest.raises(HandshakeError):
        serving.advance()
    asking.receive(serving.outgoing())
    with pytest.raises(HandshakeError):
        asking.advance()
    assert watcher.alerts == [("handshake_failure", False, True)]


def test_server_is_watched_without_a_callback() -> None:
    """Its contexts were made long before: one state a record."""
    watcher, server = Watcher(), server_side(contexts())
    server.observe(watcher)
    run_handshake(server, client(None))
    assert watcher.told == 1 and "SSL negotiation finished successfully" in watcher.states


def test_context_that_is_observable_serves_those_nobody_observes() -> None:
    """The callback finds no observer, and nothing happens."""
    run_handshake(server_side(contexts()), client(None))


def test_memory_that_is_not_executable_costs_the_states_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under MemoryDenyWriteExecute: the context is made without the callback; keys, which were asked for, fail."""

    def forbidden(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(SSL.Context, "set_info_callback", forbidden)
    monkeypatch.setattr(SSL.Context, "set_keylog_callback", forbidden)
    assert not client_context(trust=TrustStore(), observable=True).observable
    with pytest.raises(ConfigError) as refused:
        client_context(trust=TrustStore(), keylog=lambda line: None)
    assert "MemoryDenyWriteExecute" in refused.value.hint


def test_keys_are_logged_only_where_asked() -> None:
    """Lines of the key log format, one secret each."""
    lines: list[bytes] = []
    context = client_context(trust=TrustStore(), sessions=SessionCache(0), keylog=lines.append)
    asking = ClientHandshake(ClientTLS(context, NAME, level="encrypt"), hand_over_client(CLIENT_ORIGIN, b""))
    run_handshake(server_side(contexts()), asking)
    names = {line.split()[0] for line in lines}
    assert {b"CLIENT_TRAFFIC_SECRET_0", b"SERVER_TRAFFIC_SECRET_0", b"EXPORTER_SECRET"} <= names
    assert all(len(line.split()) == 3 for line in lines)
