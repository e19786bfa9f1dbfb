"""What callers ask of TLS: nothing that they ask for goes unlooked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.errors import CertificateError, LocalProtocolError
from gatepost.testing.ca import TestAuthority
from gatepost.tls import trust
from gatepost.tls.clientsettings import client_settings
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


def test_pins_are_compared_or_refused(ca_file: Path) -> None:
    """They make the level fingerprint; with another level they would be looked at by nobody."""
    pin = ":".join(["AB"] * 32)
    settings = client_settings("mx.example.test", pins=[pin])
    assert (settings.level, settings.pins) == ("fingerprint", ("ab" * 32,))
    for how in ({"level": "encrypt", "pins": [pin]}, {"level": "fingerprint"}, {"pins": ["ab" * 20]}):
        with pytest.raises(LocalProtocolError):
            client_settings("mx.example.test", ca_file=ca_file, **how)


def test_shared_cache_keeps_one_context_for_each_way(ca_file: Path) -> None:
    """What is asked alike shares a context, and so its sessions; anything else does not."""
    cache = SessionCache()
    first = client_settings("a.example.test", ca_file=ca_file, sessions=cache)
    assert client_settings("b.example.test", ca_file=str(ca_file), sessions=cache).context is first.context
    other = client_settings("a.example.test", ca_file=ca_file, sessions=cache, level="encrypt")
    assert other.context is not first.context
    assert client_settings("a.example.test", ca_file=ca_file).context is not first.context


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
    with pytest.raises(CertificateError):
        client_settings("mx.example.test", level="encrypt", ca_file="/nonexistent.pem")
