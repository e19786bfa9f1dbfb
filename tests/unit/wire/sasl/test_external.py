"""EXTERNAL (RFC 4422 appendix A)."""

from __future__ import annotations

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl import (
    AuthenticationError,
    Challenge,
    ClientExternal,
    Failure,
    FailureKind,
    ServerExternal,
    Success,
    Verifier,
)


def test_external_halves_agree() -> None:
    """The empty identity means: who the layer below says."""
    assert ServerExternal("user@example.org").step(ClientExternal().initial()) == Success("user@example.org")
    server, client = ServerExternal("user@example.org"), ClientExternal()
    assert server.step(None) == Challenge(b"")
    assert server.step(client.respond(b"")) == Success("user@example.org")
    assert client.complete


def test_external_server_refuses_another_identity_and_nobody() -> None:
    """Nobody becomes somebody else, and nobody becomes anybody."""
    for identity, wanted in (("user", b"admin"), ("", b""), ("", b"user")):
        failure = ServerExternal(identity).step(wanted)
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.REFUSED
    assert ServerExternal("user").step(b"user") == Success("user")
    broken = ServerExternal("user").step(b"\xff")
    assert isinstance(broken, Failure)
    assert broken.kind is FailureKind.MALFORMED


def test_external_asks_for_nothing() -> None:
    """Answers that were not asked for are refused, and so is a second round."""
    server = ServerExternal("user")
    with pytest.raises(LocalProtocolError):
        server.verified(True)
    with pytest.raises(LocalProtocolError):
        server.supply(Verifier(b"s", 4096, b"k", b"k"))
    server.step(b"")
    with pytest.raises(LocalProtocolError):
        server.step(b"")
    client = ClientExternal()
    client.initial()
    with pytest.raises(AuthenticationError):
        client.respond(b"")
