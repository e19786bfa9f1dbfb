"""What holds for every user, every password and every message."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.wire.sasl import (
    AuthenticationError,
    Challenge,
    ClientScram,
    Credentials,
    Failure,
    NeedPassword,
    NeedScram,
    PreparationError,
    Secret,
    ServerLogin,
    ServerMechanism,
    ServerPlain,
    ServerScram,
    ServerStep,
    Success,
    choose,
    derive_verifier,
    saslprep,
    serve,
)

NONCE = "n" * 24
VERIFIER = derive_verifier("pencil", salt=b"salt", iterations=4096)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=1, max_size=20)
OCTETS = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [
                b"n,,",
                b"y,,",
                b"p=tls-exporter,,",
                b"n=user",
                b"r=abc",
                b",",
                b"=",
                b"c=biws",
                b"p=AAAA",
                b"\0",
                b"a=",
                b"user",
            ]
        ),
        max_size=8,
    ).map(b"".join),
)


@settings(max_examples=25)
@given(NAMES, NAMES, st.sampled_from(["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]))
def test_both_halves_agree_on_every_name_and_password(user: str, password: str, name: str) -> None:
    """Whoever can be stored can log in, by each mechanism, as the prepared name, and only with that password."""
    bindings = {"tls-exporter": b"e" * 32}
    try:
        prepared = saslprep(user), saslprep(password)
        verifier = derive_verifier(password, salt=b"salt", iterations=4096)
        client = choose((name,), Credentials(user, Secret(password)), bindings, nonce=NONCE)
    except PreparationError:
        return
    server = serve(name, (name,), bindings, nonce="s" * 24)
    assert server is not None
    step = server.step(client.initial())
    while not isinstance(step, Success):
        match step:
            case Challenge(data):
                step = server.step(client.respond(data))
            case NeedPassword(_, secret):
                step = server.verified(secret == Secret(prepared[1]))
            case NeedScram(who):
                assert who == prepared[0]
                step = server.supply(verifier)
            case Failure():
                raise AssertionError(step)
    assert step == Success(prepared[0])
    assert client.complete


@given(st.lists(OCTETS, min_size=1, max_size=4), st.integers(0, 3))
def test_a_server_mechanism_answers_every_message(messages: list[bytes], which: int) -> None:
    """Nothing but outcomes comes out of it, and never success without a verifier's word."""
    bindings = {"tls-exporter": b"e" * 32}
    server: ServerMechanism = (
        ServerPlain(), ServerLogin(), ServerScram(NONCE, {}, plus=False), ServerScram(NONCE, bindings, plus=True),
    )[which]  # fmt: skip
    step: ServerStep = Challenge(b"")
    for message in messages:
        if isinstance(step, NeedScram):
            step = server.supply(VERIFIER)
        elif isinstance(step, NeedPassword):
            step = server.verified(False)
        if not isinstance(step, Challenge):
            break
        step = server.step(message)
        assert isinstance(step, Challenge | NeedPassword | NeedScram | Failure)


@given(st.one_of(st.binary(max_size=80), st.text(max_size=60).map(lambda text: f"r={NONCE}{text}".encode())))
def test_a_scram_client_answers_or_refuses(challenge: bytes) -> None:
    """Only an authentication error escapes, and no challenge alone makes it complete."""
    client = ClientScram(Credentials("user", Secret("pencil")), NONCE, {}, plus=False)
    client.initial()
    try:
        client.respond(challenge)
    except AuthenticationError as error:
        assert "pencil" not in str(error)
    assert not client.complete


@given(st.text(max_size=60))
def test_preparation_settles(text: str) -> None:
    """What was prepared is prepared: doing it again changes nothing."""
    try:
        prepared = saslprep(text)
    except PreparationError:
        return
    assert saslprep(prepared) == prepared
