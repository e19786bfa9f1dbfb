"""What callers ask of TLS: nothing that they ask for goes unlooked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.errors import CertificateError, LocalProtocolError
from gatepost.testing.ca import TestAuthority
from gatepost.testing.handshakes import private_pair
from gatepost.tls import trust
from gatepost.tls.clientsettings import client_settings
from gatepost.tls.contexts import TLSProfile, server_contexts
from gatepost.tls.sessions import SessionCache


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(TestAuthority().pem)
    return path


def test_default_verifies_the_host(ca_file: Path) -> None:
    """Level verify, and the name that is connected to."""
    settings = client_settings("mx.example.test", ca_file=ca_file)
    assert (settings.level, settings.references, settings.sni) == ("verify", ("mx.example.test",), b"mx.example.test")


def test_server_name_is_verified_in_place_of_the_host(ca_file: Path) -> None:
    """Who is connected to by address, or through another name, must still show the certificate of whom was meant."""
    settings = client_settings("192.0.2.1", ca_file=ca_file, server_name="mx.example.test")
    assert (settings.references, settings.sni) == (("mx.example.test",), b"mx.example.test")
    assert client_settings("192.0.2.1", ca_file=ca_file).references == ("192.0.2.1",)


def test_pins_are_compared_or_refused(ca_file: Path) -> None:
    """They make the level fingerprint; with another level they would be looked at by nobody."""
    pin = ":".join(["AB"] * 32)
    settings = client_settings("mx.example.test", pins=[pin])
    assert (settings.level, settings.pins) == ("fingerprint", ("ab" * 32,))
    for how, words in (
        ({"level": "encrypt", "pins": [pin]}, "pins are not looked at on level encrypt"),
        ({"level": "fingerprint"}, "level fingerprint needs pins"),
        ({"pins": ["ab" * 20]}, "is no pin"),
    ):
        with pytest.raises(LocalProtocolError, match=words):
            client_settings("mx.example.test", ca_file=ca_file, **how)


@pytest.mark.parametrize("apart", [False, True])
def test_own_certificate_is_shown_from_one_file_or_two(ca_file: Path, tmp_path: Path, *, apart: bool) -> None:
    """The server that asks gets it, with its chain; with the key in the same file or in another."""
    authority = TestAuthority()
    issued = authority.intermediate().issue("client.example.test")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(issued.chain_pem if apart else issued.chain_pem + issued.key_pem)
    key.write_bytes(issued.key_pem)
    settings = client_settings(
        "mx.example.test", level="encrypt", ca_file=ca_file, client_certificate=(chain, str(key)) if apart else chain
    )
    asks = TLSProfile(client_certificate="ask")
    server, _ = private_pair(server_contexts([authority.issue("mx.example.test").credential], asks), settings)
    assert server.evidence.peer_chain == issued.der


def test_shared_cache_keeps_one_context_for_each_way(ca_file: Path) -> None:
    """What is asked alike shares a context, and so its sessions; anything else does not."""
    cache = SessionCache()
    first = client_settings("a.example.test", ca_file=ca_file, sessions=cache)
    assert client_settings("b.example.test", ca_file=str(ca_file), sessions=cache).context is first.context
    other = client_settings("a.example.test", ca_file=ca_file, sessions=cache, level="encrypt")
    assert other.context is not first.context
    assert client_settings("a.example.test", ca_file=ca_file).context is not first.context
    pinned = client_settings("a.example.test", ca_file=ca_file, sessions=cache, pins=["ab" * 32])
    assert pinned.context not in (first.context, other.context)  # it trusts nobody


def test_shared_cache_is_bounded(ca_file: Path, tmp_path: Path) -> None:
    """Contexts are large: of too many the oldest goes."""
    cache = SessionCache()
    for number in range(20):
        copy = tmp_path / f"{number}.pem"
        copy.write_bytes(ca_file.read_bytes())
        client_settings("a.example.test", ca_file=copy, sessions=cache)
    assert len(cache.contexts) == 16


def test_system_without_authorities_fails_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Level verify needs somebody to trust; encrypt goes on, and its evidence will say untrusted."""
    monkeypatch.setattr(trust, "system_bundle", lambda: (_ for _ in ()).throw(CertificateError("none")))
    with pytest.raises(CertificateError):
        client_settings("mx.example.test")
    assert client_settings("mx.example.test", level="encrypt").level == "encrypt"
    assert client_settings("mx.example.test", pins=["ab" * 32]).level == "fingerprint"
    with pytest.raises(CertificateError):
        client_settings("mx.example.test", level="encrypt", ca_file="/nonexistent.pem")
