"""Logging in (RFC 4954), with each mechanism against its own other half."""

from __future__ import annotations

import binascii

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.testing.memory import ORIGIN, MemoryDriver, ScriptedPeer
from gatepost.testing.tls import evidence
from gatepost.wire.sasl import (
    AuthenticationError,
    Challenge,
    ClientExternal,
    ClientLogin,
    ClientMechanism,
    ClientPlain,
    ClientScram,
    Credentials,
    Failure,
    NeedPassword,
    NeedScram,
    Secret,
    ServerMechanism,
    Success,
    bindings_of,
    choose,
    derive_verifier,
    offer,
    serve,
)
from gatepost.wire.smtp.client import SecureClient
from gatepost.wire.smtp.refusals import AuthenticationRefused, UnexpectedReply

CREDENTIALS = Credentials("user", Secret("pencil"))
EHLO = b"EHLO c.example\r\n"
PLAIN_LINE = b"AUTH PLAIN AHVzZXIAcGVuY2ls\r\n"
NONCE = "c" * 24
VERIFIER = derive_verifier("pencil", salt=b"salt", iterations=4096)


def ready(*script: tuple[bytes, bytes]) -> tuple[SecureClient, MemoryDriver]:
    client = SecureClient(ORIGIN, evidence(), hostname="c.example")
    driver = MemoryDriver(ScriptedPeer((EHLO, b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n"), *script))
    driver.run(client.hello())
    return client, driver


class AuthServer:
    """The server's half behind an SMTP peer that speaks nothing but AUTH."""

    closed = False

    def __init__(self, mechanisms: tuple[str, ...], bindings: dict[str, bytes]) -> None:
        self.offered = offer(mechanisms, bindings)
        self.bindings = bindings
        self.mechanism: ServerMechanism | None = None
        self.said = b""
        self.identity = ""

    def outgoing(self) -> bytes:
        said, self.said = self.said, b""
        return said

    def receive(self, data: bytes) -> None:
        line = data.decode("ascii").removesuffix("\r\n")
        if line.startswith("EHLO"):
            self.said += f"250-mx\r\n250 AUTH {' '.join(self.offered)}\r\n".encode()
            return
        if line.startswith("AUTH "):
            _, name, *rest = line.split(" ")
            self.mechanism = serve(name, self.offered, self.bindings, nonce="s" * 24)
            response = None if not rest else b"" if rest[0] == "=" else binascii.a2b_base64(rest[0])
        else:
            response = binascii.a2b_base64(line)
        assert self.mechanism is not None
        step = self.mechanism.step(response)
        while isinstance(step, NeedPassword | NeedScram):
            if isinstance(step, NeedScram):
                step = self.mechanism.supply(VERIFIER)
            else:
                step = self.mechanism.verified(step.password == Secret("pencil"))
        match step:
            case Challenge(challenge):
                self.said += b"334 " + binascii.b2a_base64(challenge, newline=False) + b"\r\n"
            case Success(identity):
                self.identity = identity
                self.said += b"235 2.7.0 welcome\r\n"
            case Failure():
                self.said += b"535 5.7.8 no\r\n"


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
@pytest.mark.parametrize("chunks", [None, 1])
@pytest.mark.parametrize("password", ["pencil", "crayon"])
def test_every_mechanism_logs_in_and_only_with_the_password(name: str, chunks: int | None, password: str) -> None:
    """Client and server halves meet over SMTP; a wrong password is refused by each."""
    proof = evidence()
    bindings = dict(bindings_of(proof))
    server = AuthServer((name,), bindings)
    client = SecureClient(ORIGIN, proof, hostname="c.example")
    driver = MemoryDriver(server, chunks=chunks)
    listed = driver.run(client.hello())
    mechanism = choose(listed.auth, Credentials("user", Secret(password)), bindings, nonce=NONCE)
    assert mechanism.name == name
    if password != "pencil":
        with pytest.raises(AuthenticationRefused):
            driver.run(client.authenticate(mechanism))
        assert server.identity == ""
        return
    driver.run(client.authenticate(mechanism))
    assert server.identity == "user"
    with pytest.raises(LocalProtocolError):
        driver.run(client.authenticate(mechanism))


def test_the_initial_response_goes_with_the_command() -> None:
    """One line, one reply; an empty one is written =."""
    client, driver = ready((PLAIN_LINE, b"235 2.7.0 ok\r\n"))
    driver.run(client.authenticate(ClientPlain(CREDENTIALS)))
    assert client.usable
    client, driver = ready((b"AUTH EXTERNAL =\r\n", b"235 ok\r\n"))
    driver.run(client.authenticate(ClientExternal()))


def test_a_long_initial_response_waits_for_its_question() -> None:
    """RFC 4954 §4: a command line stays within 512 octets."""
    mechanism = ClientPlain(Credentials("user", Secret("x" * 400)))
    client, driver = ready((b"AUTH PLAIN\r\n", b"334 \r\n"), (b"AHVzZXIA", b""))
    with pytest.raises(Exception, match="reply to AUTH"):
        driver.run(client.authenticate(mechanism))
    assert driver.sent[-1].endswith(b"eHh4eA==\r\n") or driver.sent[-1].endswith(b"\r\n")
    assert len(driver.sent[-1]) > 500
    client, driver = ready((b"AUTH PLAIN\r\n", b"334 d2hhdD8=\r\n"))
    with pytest.raises(UnexpectedReply):
        driver.run(client.authenticate(ClientPlain(Credentials("user", Secret("x" * 400)))))


def test_after_a_refusal_another_mechanism_may_be_tried() -> None:
    """535 leaves the connection as it was; the error says what to check and quotes no password."""
    client, driver = ready((PLAIN_LINE, b"535 5.7.8 no\r\n"), (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
                           (b"dXNlcg==\r\n", b"334 UGFzc3dvcmQ6\r\n"), (b"cGVuY2ls\r\n", b"235 ok\r\n"))  # fmt: skip
    with pytest.raises(AuthenticationRefused) as caught:
        driver.run(client.authenticate(ClientPlain(CREDENTIALS)))
    assert not caught.value.temporary
    assert "pencil" not in str(caught.value)
    driver.run(client.authenticate(ClientLogin(CREDENTIALS)))


@pytest.mark.parametrize(
    "reply",
    [b"250 ok\r\n", b"220 ok\r\n", b"334-a\r\n334 b\r\n", b"334 ???\r\n", b"334 AA\r\n", b"354 go\r\n",
     b"334 AAAA\r\n", b"235 ok\r\n250 more\r\n"],
)  # fmt: skip
def test_nonsense_in_an_exchange_ends_it(reply: bytes) -> None:
    """Wrong codes, several lines, bad base64, a question that PLAIN does not have, two replies."""
    client, driver = ready((PLAIN_LINE, reply))
    with pytest.raises((UnexpectedReply, AuthenticationError)):
        driver.run(client.authenticate(ClientPlain(CREDENTIALS)))
    assert not client.usable


def scram() -> ClientMechanism:
    return ClientScram(CREDENTIALS, NONCE, {}, plus=False)


@pytest.mark.parametrize("rounds", [0, 1])
def test_success_before_the_server_proved_itself_is_refused(rounds: int) -> None:
    """A server that does not know the user cannot skip its signature by saying 235."""
    first = binascii.b2a_base64(f"r={NONCE}srv,s=c2FsdA==,i=4096".encode(), newline=False)
    replies = [b"334 " + first + b"\r\n"] * rounds + [b"235 2.7.0 welcome\r\n"]
    client, driver = ready()

    class Liar:
        closed = False

        def receive(self, data: bytes) -> None:
            self.said = replies.pop(0)

        def outgoing(self) -> bytes:
            said, self.said = self.said, b""
            return said

    driver.peer = Liar()
    with pytest.raises(UnexpectedReply):
        driver.run(client.authenticate(scram()))
    assert not client.usable


def test_questions_come_to_an_end() -> None:
    """Also for a mechanism that would answer for ever."""

    class Patient:
        name = "PATIENT"
        complete = False

        def initial(self) -> bytes | None:
            return None

        def respond(self, challenge: bytes) -> bytes:
            return b"x"

    client, driver = ready((b"AUTH PATIENT\r\n", b"334 \r\n"), *[(b"eA==\r\n", b"334 \r\n")] * 20)
    with pytest.raises(UnexpectedReply):
        driver.run(client.authenticate(Patient()))


def test_a_mechanism_name_cannot_break_the_line() -> None:
    """Names are RFC 4422 §3.1 names."""

    class Odd(ClientExternalLike):
        name = "X\r\nMAIL"

    client, driver = ready()
    sent = len(driver.sent)
    with pytest.raises(LocalProtocolError):
        driver.run(client.authenticate(Odd()))
    assert len(driver.sent) == sent


class ClientExternalLike:
    """The least that is a mechanism."""

    name = "X"
    complete = True

    def initial(self) -> bytes | None:
        return b""

    def respond(self, challenge: bytes) -> bytes:
        return b"x" * 10000


def test_responses_are_bounded() -> None:
    """RFC 4954 §4: no line of an exchange is longer than 12288 octets."""
    client, driver = ready((b"AUTH X =\r\n", b"334 \r\n"))
    with pytest.raises(LocalProtocolError):
        driver.run(client.authenticate(ClientExternalLike()))
