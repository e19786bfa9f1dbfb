"""Which mechanism is chosen, and which are offered."""

from __future__ import annotations

import pytest
from tests.unit.wire.smtp.serving import evidence

from gatepost.errors import LocalProtocolError
from gatepost.testing.tls import secure_streams
from gatepost.wire.sasl import (
    ClientScram,
    Credentials,
    NoMechanism,
    Secret,
    ServerLogin,
    ServerPlain,
    ServerScram,
    bindings_of,
    choose,
    offer,
    serve,
)

CREDENTIALS = Credentials("user", Secret("pencil"))
NONCE = "n" * 24
BINDINGS = {"tls-exporter": b"e" * 32}
ALL = ("LOGIN", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")


@pytest.mark.parametrize(
    ("offered", "bound", "name"),
    [
        (ALL, True, "SCRAM-SHA-256-PLUS"),
        (ALL, False, "SCRAM-SHA-256"),
        (("PLAIN", "LOGIN", "scram-sha-256"), True, "SCRAM-SHA-256"),
        (("LOGIN", "PLAIN"), True, "PLAIN"),
        (("LOGIN", "XOAUTH2"), True, "LOGIN"),
    ],
)
def test_client_chooses_the_strongest(offered: tuple[str, ...], bound: bool, name: str) -> None:
    """PLUS where a binding exists, then SCRAM, then PLAIN, then LOGIN."""
    assert choose(offered, CREDENTIALS, BINDINGS if bound else {}, nonce=NONCE).name == name


@pytest.mark.parametrize("offered", [(), ("CRAM-MD5", "GSSAPI", "ANONYMOUS")])
def test_client_refuses_what_it_does_not_know(offered: tuple[str, ...]) -> None:
    """Nothing weaker is tried instead."""
    with pytest.raises(NoMechanism):
        choose(offered, CREDENTIALS, {}, nonce=NONCE)


def test_client_says_that_it_could_have_bound() -> None:
    """A list without PLUS and a binding at hand: flag y, so that a server that listed it notices."""
    chosen = choose(("SCRAM-SHA-256",), CREDENTIALS, BINDINGS, nonce=NONCE)
    assert isinstance(chosen, ClientScram)
    initial = chosen.initial()
    assert initial is not None
    assert initial.startswith(b"y,,")


def test_server_offers_plus_only_where_it_can_bind() -> None:
    """RFC 9266 §3; the order is ours, best first."""
    assert offer(ALL, BINDINGS)[0] == "SCRAM-SHA-256-PLUS"
    assert offer(ALL, {}) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert offer(("plain",), BINDINGS) == ("PLAIN",)


def test_server_serves_what_it_offered_and_nothing_else() -> None:
    """An unlisted mechanism is None: 504 (RFC 4954 §4)."""
    assert isinstance(serve("plain", ALL, {}, nonce=NONCE), ServerPlain)
    assert isinstance(serve("LOGIN", ALL, {}, nonce=NONCE), ServerLogin)
    assert isinstance(serve("SCRAM-SHA-256-PLUS", ALL, BINDINGS, nonce=NONCE), ServerScram)
    assert isinstance(serve("SCRAM-SHA-256", ALL, BINDINGS, nonce=NONCE), ServerScram)
    assert serve("PLAIN", ("LOGIN",), {}, nonce=NONCE) is None
    assert serve("CRAM-MD5", ALL, {}, nonce=NONCE) is None
    with pytest.raises(LocalProtocolError):
        serve("GSSAPI", ("GSSAPI",), {}, nonce=NONCE)


def test_both_ends_of_a_handshake_see_the_same_bindings() -> None:
    """Evidence of a real handshake: equal values on both sides, the exporter first, never tls-unique."""
    client, server = (bindings_of(stream.evidence) for stream in secure_streams())
    assert client == server
    assert list(client) == ["tls-exporter", "tls-server-end-point"]


def test_binding_that_a_handshake_does_not_give_is_not_there() -> None:
    """TLS 1.2 without the extended master secret has no exporter, a server without a certificate no end point."""
    assert list(bindings_of(evidence())) == ["tls-exporter"]
    assert bindings_of(evidence(binding=False)) == {}
