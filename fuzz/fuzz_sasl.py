"""Fuzz the SASL mechanisms. Invariants: a server's half returns outcomes and raises nothing; a client's half raises
nothing but ``AuthenticationError``; neither succeeds without the right proof.

Run: ``python fuzz/fuzz_sasl.py [SECONDS]``. Each run has a new seed, which a failure prints.
"""

from __future__ import annotations

import random
import sys
import time

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

NONCE = "n" * 24
BINDINGS = {"tls-exporter": b"e" * 32}
VERIFIER = derive_verifier("pencil", salt=b"salt", iterations=4096)
SEEDS = (
    b"\0user\0pencil",
    b"n,,n=user,r=abcdef|c=biws,r=abcdefnnnnnnnnnnnnnnnnnnnnnnnn,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|",
    b"p=tls-exporter,a=user,n=us=2Cer,r=abcdef|c=cD10bHM=,r=abcdefn,p=AAAA|",
    b"r=nnnnnnnnnnnnnnnnnnnnnnnnserver,s=c2FsdA==,i=4096|v=AAAA",
)


def one_input(data: bytes) -> None:
    """Play the messages of ``data``, which are separated by bars, against every half."""
    messages = data.split(b"|")
    for server in (
        ServerPlain(),
        ServerLogin(),
        ServerScram(NONCE, {}, plus=False),
        ServerScram(NONCE, BINDINGS, plus=True),
    ):
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
    client = ClientScram(Credentials("user", Secret("pencil")), NONCE, {}, plus=False, maximum_iterations=4096)
    client.initial()
    try:
        for message in messages:
            client.respond(message)
    except AuthenticationError:
        pass
    assert not client.complete


def mutate(data: bytes, source: random.Random) -> bytes:
    """Change, insert, delete and repeat a few octets."""
    octets = bytearray(data)
    for _ in range(source.randrange(1, 6)):
        at = source.randrange(len(octets) + 1)
        match source.randrange(4):
            case 0 if octets:
                octets[at % len(octets)] = source.randrange(256)
            case 1:
                octets[at:at] = source.choice((b",", b"=", b"\0", b"=2C", b"|", b"a=", b"m=", b"\xc2\xad", b"\xff"))
            case 2:
                del octets[at : at + source.randrange(5)]
            case _:
                octets[at:at] = octets[at : at + 20] * source.randrange(1, 50)
    return bytes(octets)


def main() -> None:
    """Mutate the seeds for a while."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = time.time_ns()
    source = random.Random(seed)  # noqa: S311  # it must be repeatable
    end = time.monotonic() + seconds
    runs = 0
    data = b""
    try:
        while time.monotonic() < end:
            data = mutate(source.choice(SEEDS), source)
            one_input(data)
            runs += 1
    except BaseException:
        print(f"seed {seed}, input {data!r}", file=sys.stderr)
        raise
    print(f"{runs} inputs, nothing escaped")


if __name__ == "__main__":
    main()
