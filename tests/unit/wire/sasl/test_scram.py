"""SCRAM-SHA-256 and -PLUS, both halves (RFC 5802, 7677, 9266)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl import (
    AuthenticationError,
    Challenge,
    ClientScram,
    Credentials,
    Failure,
    FailureKind,
    NeedScram,
    PreparationError,
    Secret,
    ServerScram,
    ServerStep,
    Success,
    derive_verifier,
)

CREDENTIALS = Credentials("user", Secret("pencil"))
CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = bytes.fromhex("5b6d99689d12358eec a04b141236fa81".replace(" ", ""))
VERIFIER = derive_verifier("pencil", salt=SALT, iterations=4096)
BOTH = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32}
NONE: Mapping[str, bytes] = {}


def client(*, plus: bool = False, bindings: Mapping[str, bytes] = NONE, nonce: str = CLIENT_NONCE) -> ClientScram:
    return ClientScram(CREDENTIALS, nonce, bindings, plus=plus)


def server(*, plus: bool = False, bindings: Mapping[str, bytes] = NONE, offered: bool | None = None) -> ServerScram:
    return ServerScram(SERVER_NONCE, bindings, plus=plus, plus_offered=offered)


def exchange(ours: ClientScram, theirs: ServerScram) -> ServerStep:
    """Run both halves against each other to the end."""
    step = theirs.step(ours.initial())
    while isinstance(step, Challenge | NeedScram):
        step = theirs.supply(VERIFIER) if isinstance(step, NeedScram) else theirs.step(ours.respond(step.data))
    return step


def first(text: bytes, engine: ServerScram | None = None) -> ServerStep:
    return (engine or server()).step(text)


def test_reproduces_the_exchange_of_rfc_7677() -> None:
    """Octet for octet, both halves write what the RFC's example shows."""
    ours, theirs = client(), server()
    assert ours.initial() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert theirs.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO") == NeedScram("user")
    challenge = theirs.supply(VERIFIER)
    server_first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert challenge == Challenge(server_first)
    final = ours.respond(server_first)
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    signature = theirs.step(final)
    assert signature == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert isinstance(signature, Challenge)
    assert not ours.complete
    assert ours.respond(signature.data) == b""
    assert ours.complete
    assert theirs.step(b"") == Success("user")


@pytest.mark.parametrize("bindings", [BOTH, {"tls-server-end-point": b"p" * 32}])
def test_plus_binds_the_channel(bindings: Mapping[str, bytes]) -> None:
    """Both bindings work, the exporter is preferred."""
    ours = client(plus=True, bindings=bindings)
    assert exchange(ours, server(plus=True, bindings=BOTH)) == Success("user")
    assert ours.complete


def test_client_prefers_the_exporter() -> None:
    """RFC 9266 §3: it is the binding of TLS 1.3."""
    initial = client(plus=True, bindings=BOTH).initial()
    assert initial is not None
    assert initial.startswith(b"p=tls-exporter,,")


@pytest.mark.parametrize("other", [{"tls-exporter": b"x" * 32}, {"tls-exporter": b"e" * 31}])
def test_plus_refuses_a_channel_with_another_end(other: Mapping[str, bytes]) -> None:
    """Somebody who relays the exchange between two TLS connections has two different bindings."""
    step = exchange(client(plus=True, bindings=other), server(plus=True, bindings=BOTH))
    assert isinstance(step, Failure)
    assert step.kind is FailureKind.REFUSED
    assert "binding" in step.reason


def test_downgrade_is_noticed_by_the_server() -> None:
    """A client that saw no PLUS says y; a server that listed it refuses (RFC 5802 §6)."""
    ours = client(bindings=BOTH)
    initial = ours.initial()
    assert initial is not None
    assert initial.startswith(b"y,,")
    step = server(bindings=BOTH, offered=True).step(initial)
    assert isinstance(step, Failure)
    assert "downgrade" in step.reason
    assert isinstance(server(bindings=BOTH, offered=False).step(initial), NeedScram)
    assert isinstance(server(bindings=BOTH).step(initial), Failure)


def test_wrong_password_is_refused() -> None:
    """The proof does not fit the verifier."""
    ours = ClientScram(Credentials("user", Secret("pencils")), CLIENT_NONCE, {}, plus=False)
    step = exchange(ours, server())
    assert step == Failure(FailureKind.REFUSED, "wrong user or password", "user")
    assert not ours.complete


def test_names_with_commas_and_equals_signs_survive() -> None:
    """RFC 5802 §5.1: they are written =2C and =3D."""
    ours = ClientScram(Credentials("a,b=c", Secret("pencil")), CLIENT_NONCE, {}, plus=False)
    initial = ours.initial()
    assert initial is not None
    assert b"n=a=2Cb=3Dc," in initial
    assert server().step(initial) == NeedScram("a,b=c")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"n,,",
        b"n,,n=user",
        b"n,,n=,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=us\0er,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,m=ext,n=user,r=abc",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=" + b"a" * 513,
        b"n,,r=abc,n=user",
        b"x,,n=user,r=abc",
        b"p=,n=user,r=abc",
        b"n,user,n=user,r=abc",
        b"n,,n=user,r=" + b"a" * 9000,
    ],
)
def test_server_refuses_a_malformed_first_message(text: bytes) -> None:
    """Each is the client's mistake, named as such, and the exchange is over."""
    engine = server()
    step = engine.step(text)
    assert isinstance(step, Failure)
    assert step.kind is FailureKind.MALFORMED
    with pytest.raises(LocalProtocolError):
        engine.step(b"n,,n=user,r=abc")


@pytest.mark.parametrize(
    ("text", "plus"),
    [
        (b"n,a=admin,n=user,r=abc", False),
        (b"p=tls-exporter,,n=user,r=abc", False),
        (b"n,,n=user,r=abc", True),
        (b"y,,n=user,r=abc", True),
        (b"p=tls-unique,,n=user,r=abc", True),
        (b"p=none,,n=user,r=abc", True),
    ],
)
def test_server_refuses_foreign_identities_and_wrong_bindings(text: bytes, plus: bool) -> None:
    """Nobody acts as somebody else, and the flag must fit the mechanism."""
    step = server(plus=plus, bindings=BOTH).step(text)
    assert isinstance(step, Failure)
    assert step.kind is FailureKind.REFUSED


def test_server_takes_the_users_own_name_as_authorization_identity() -> None:
    """a=user with n=user asks for nothing special."""
    assert first(b"n,a=user,n=user,r=abc") == NeedScram("user")


@pytest.mark.parametrize(
    ("final", "kind"),
    [
        (b"", FailureKind.MALFORMED),
        (b"p=AAAA", FailureKind.MALFORMED),
        (b"c=biws,p=AAAA", FailureKind.MALFORMED),
        (b"c=biws,r=%N,p=AAAA", FailureKind.MALFORMED),
        (b"c=biws,r=%N,p=@@@@", FailureKind.MALFORMED),
        (b"c=biws,r=%N", FailureKind.MALFORMED),
        (b"c=b!ws,r=%N,p=" + b"A" * 43 + b"=", FailureKind.MALFORMED),
        (b"c=biws,r=%N,p=" + b"A" * 43 + b"=", FailureKind.REFUSED),
        (b"c=biws,r=%Nx,p=" + b"A" * 43 + b"=", FailureKind.REFUSED),
        (b"c=eSws,r=%N,p=" + b"A" * 43 + b"=", FailureKind.REFUSED),
    ],
)
def test_server_refuses_a_wrong_final_message(final: bytes, kind: FailureKind) -> None:
    """Missing parts, bad base64, another nonce, another header, another proof."""
    engine = server()
    engine.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    engine.supply(VERIFIER)
    step = engine.step(final.replace(b"%N", (CLIENT_NONCE + SERVER_NONCE).encode()))
    assert isinstance(step, Failure)
    assert step.kind is kind
    with pytest.raises(LocalProtocolError):
        engine.step(b"")


def test_server_wants_an_empty_answer_to_its_signature() -> None:
    """Octets behind the proof belong to no mechanism."""
    ours, theirs = client(), server()
    theirs.step(ours.initial())
    challenge = theirs.supply(VERIFIER)
    assert isinstance(challenge, Challenge)
    theirs.step(ours.respond(challenge.data))
    assert isinstance(theirs.step(b"x"), Failure)


def test_server_is_called_in_order() -> None:
    """A verifier that was not asked for, or a step while one is due, is a bug of the service."""
    engine = server()
    with pytest.raises(LocalProtocolError):
        engine.supply(VERIFIER)
    assert engine.step(None) == Challenge(b"")
    engine.step(b"n,,n=user,r=abc")
    with pytest.raises(LocalProtocolError):
        engine.step(b"c=biws")
    with pytest.raises(LocalProtocolError):
        engine.verified(True)
    begun = server()
    begun.step(None)
    with pytest.raises(LocalProtocolError):
        begun.step(None)  # an initial response is missing once


@pytest.mark.parametrize("nonce", ["short", "a" * 17, "a" * 17 + ",", "a" * 20 + " ", "a" * 20 + "\u00e9", "a" * 600])
def test_both_halves_refuse_a_bad_nonce_of_their_own(nonce: str) -> None:
    """A nonce that is short or cannot be written is a bug of the caller."""
    with pytest.raises(LocalProtocolError):
        ServerScram(nonce, {}, plus=False)
    with pytest.raises(LocalProtocolError):
        ClientScram(CREDENTIALS, nonce, {}, plus=False)


def test_plus_needs_a_binding() -> None:
    """Neither half begins PLUS with nothing to bind to."""
    with pytest.raises(LocalProtocolError):
        server(plus=True)
    with pytest.raises(LocalProtocolError):
        client(plus=True)
    with pytest.raises(LocalProtocolError):
        client(plus=True, bindings={"tls-unique": b"u"})


NONCES = CLIENT_NONCE + SERVER_NONCE


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "r=",
        f"r={NONCES},s=W22Z",
        f"r={CLIENT_NONCE},s=W22Z,i=4096",
        f"r=x{NONCES},s=W22Z,i=4096",
        f"r={SERVER_NONCE},s=W22Z,i=4096",
        f"r={NONCES},s=,i=4096",
        f"r={NONCES},s=W2,i=4096",
        f"r={NONCES},s={'A' * 1400},i=4096",
        f"r={NONCES},s=W22Z,i=",
        f"r={NONCES},s=W22Z,i=-1",
        f"r={NONCES},s=W22Z,i=04096",
        f"r={NONCES},s=W22Z,i=4095",
        f"r={NONCES},s=W22Z,i=1",
        f"r={NONCES},s=W22Z,i=1000001",
        f"r={NONCES},s=W22Z,i=999999999",
        f"r={NONCES},s=W22Z,i={'9' * 5000}",
        f"m=ext,r={NONCES},s=W22Z,i=4096",
        f"r={NONCES} ,s=W22Z,i=4096",
        "e=other-error",
        "r=" + "a" * 9000,
    ],
)
def test_client_refuses_a_malformed_or_greedy_first_message(challenge: str) -> None:
    """Foreign nonces, missing salt, too few iterations, and more than we would compute: at once, without the work."""
    ours = client()
    ours.initial()
    with pytest.raises(AuthenticationError):
        ours.respond(challenge.encode())
    with pytest.raises(AuthenticationError):
        ours.respond(f"r={NONCES},s=W22Z,i=4096".encode())


@pytest.mark.parametrize("final", [b"v=AAAA", b"e=invalid-proof", b"", b"x=1", b"v=" + b"A" * 43 + b"=", b"v=@"])
def test_client_refuses_a_server_that_does_not_prove_itself(final: bytes) -> None:
    """A wrong signature means that the server does not know the user."""
    ours = client()
    ours.initial()
    ours.respond(f"r={NONCES},s=W22Z,i=4096".encode())
    with pytest.raises(AuthenticationError):
        ours.respond(final)
    assert not ours.complete


def test_client_begins_once() -> None:
    """One object is one exchange."""
    ours = client()
    ours.initial()
    with pytest.raises(LocalProtocolError):
        ours.initial()


def test_verifiers_are_made_from_sound_values_only() -> None:
    """No empty password, no salt, no cheap iteration count, nothing unassigned."""
    for password, salt, iterations in (("", b"s", 4096), ("p", b"", 4096), ("p", b"s", 4095)):
        with pytest.raises(LocalProtocolError):
            derive_verifier(password, salt=salt, iterations=iterations)
    with pytest.raises(PreparationError):
        derive_verifier("\u0221", salt=b"s", iterations=4096)
    assert "stored" not in repr(VERIFIER)


def test_each_reason_is_named_in_the_log() -> None:
    """A nonce that differs is told apart from a wrong password, for the log only."""
    reasons = set[str]()
    for nonce in (CLIENT_NONCE + SERVER_NONCE, CLIENT_NONCE + SERVER_NONCE + "x", SERVER_NONCE):
        engine = server()
        engine.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
        engine.supply(VERIFIER)
        step = engine.step(b"c=biws,r=" + nonce.encode() + b",p=" + b"A" * 43 + b"=")
        assert isinstance(step, Failure)
        reasons.add(step.reason)
    assert reasons == {"wrong user or password", "the nonce differs"}
