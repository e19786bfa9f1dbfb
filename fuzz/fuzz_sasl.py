"""Invariant: a server's half of a mechanism returns outcomes and raises nothing, a client's half raises nothing but
AuthenticationError, neither succeeds without the right proof, and SASLprep refuses or prepares."""

from __future__ import annotations

from fuzz.origins import plan
from fuzz.words import ADDRESSES

from gatepost.wire.sasl import (
    AuthenticationError,
    Challenge,
    ClientScram,
    Credentials,
    NeedPassword,
    NeedScram,
    Secret,
    ServerLogin,
    ServerPlain,
    ServerScram,
    ServerStep,
    Success,
    derive_verifier,
)
from gatepost.wire.sasl.login import ClientLogin
from gatepost.wire.sasl.prep import PreparationError, saslprep

NONCE = "n" * 24
BINDINGS = {"tls-exporter": b"e" * 32}
VERIFIER = derive_verifier("pencil", salt=b"salt", iterations=4096)
HALVES = 6
WORDS = (
    b"n,,", b"y,,", b"p=tls-exporter,,", b"a=user,", b"n=user,", b"r=abcdef", b"c=biws,", b"p=AAAA", b"|", b"=2C",
    b"=3D", b"s=c2FsdA==,", b"i=4096", b"i=99999999", b"m=x,", b"v=AAAA", b"e=other-error", NONCE.encode(), b"\0",
    b"\xc2\xad", b"\xe2\x80\x8e", b"\xd7\x90", *ADDRESSES,
)  # fmt: skip
_DIALOGUES = (
    b"\0user\0pencil",
    b"n,,n=user,r=abcdef|c=biws,r=abcdefnnnnnnnnnnnnnnnnnnnnnnnn,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|",
    b"p=tls-exporter,a=user,n=us=2Cer,r=abcdef|c=cD10bHM=,r=abcdefn,p=AAAA|",
    b"r=nnnnnnnnnnnnnnnnnnnnnnnnserver,s=c2FsdA==,i=4096|v=AAAA",
    b"user|pencil",
    "\u00ad\u2168\u00aa".encode(),
)
SEEDS = tuple(bytes((choice, 0)) + words for choice, words in enumerate(_DIALOGUES))


def server_half(server: ServerPlain | ServerLogin | ServerScram, messages: list[bytes]) -> None:
    """Play the messages."""
    step: ServerStep = Challenge(b"")
    for message in messages:
        if isinstance(step, NeedScram):
            step = server.supply(VERIFIER)
        elif isinstance(step, NeedPassword):
            step = server.verified(False)
        if not isinstance(step, Challenge):
            break
        step = server.step(message)
    assert not isinstance(step, Success)


def client_half(client: ClientScram | ClientLogin, messages: list[bytes]) -> None:
    """Play the challenges."""
    client.initial()
    try:
        for message in messages:
            client.respond(message)
    except AuthenticationError as error:
        assert str(error).isprintable()
    assert not (isinstance(client, ClientScram) and client.complete)


def prepare(text: str) -> None:
    """SASLprep, which refuses or prepares."""
    try:
        prepared = saslprep(text)
    except PreparationError:
        return
    assert "\0" not in prepared


def target(data: bytes) -> None:
    """One half an input, which plays the messages between the bars."""
    told = plan(data, HALVES)
    messages = told.words.split(b"|")
    credentials = Credentials("user", Secret("pencil"))
    match told.choice:
        case 0:
            server_half(ServerPlain(), messages)
        case 1:
            server_half(ServerScram(NONCE, {}, plus=False), messages)
        case 2:
            server_half(ServerScram(NONCE, BINDINGS, plus=True), messages)
        case 3:
            client_half(ClientScram(credentials, NONCE, {}, plus=False, maximum_iterations=4096), messages)
        case 4:
            server_half(ServerLogin(), messages)
            client_half(ClientLogin(credentials), messages)
        case _:
            prepare(told.words.decode("utf-8", "replace"))
