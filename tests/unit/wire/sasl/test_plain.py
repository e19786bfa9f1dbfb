"""PLAIN and LOGIN, both halves (RFC 4616)."""

from __future__ import annotations

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.sasl import (
    AuthenticationError,
    Challenge,
    ClientLogin,
    ClientPlain,
    Credentials,
    Failure,
    FailureKind,
    NeedPassword,
    Secret,
    ServerLogin,
    ServerPlain,
    Success,
    derive_verifier,
)

CREDENTIALS = Credentials("user@example.org", Secret("pencil"))


def test_plain_halves_agree() -> None:
    """What the client says is what the server asks to be checked."""
    server = ServerPlain()
    asked = server.step(ClientPlain(CREDENTIALS).initial())
    assert asked == NeedPassword("user@example.org", Secret("pencil"))
    assert server.verified(True) == Success("user@example.org")


def test_plain_works_without_an_initial_response() -> None:
    """The server puts an empty challenge and the client answers it."""
    server, client = ServerPlain(), ClientPlain(CREDENTIALS)
    assert server.step(None) == Challenge(b"")
    assert isinstance(server.step(client.respond(b"")), NeedPassword)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"", FailureKind.MALFORMED),
        (b"\0\0", FailureKind.MALFORMED),
        (b"user\0pencil", FailureKind.MALFORMED),
        (b"\0user\0pencil\0", FailureKind.MALFORMED),
        (b"\0user\0pen\0cil", FailureKind.MALFORMED),
        (b"\0\0pencil", FailureKind.MALFORMED),
        (b"\0us\xffer\0pencil", FailureKind.MALFORMED),
        (b"\0" + b"u" * 20000 + b"\0p", FailureKind.MALFORMED),
        (b"\0user\0", FailureKind.REFUSED),
        (b"admin\0user\0pencil", FailureKind.REFUSED),
        (b"\0us\ner\0pencil", FailureKind.REFUSED),
        (b"\0\xc2\xad\0pencil", FailureKind.MALFORMED),
    ],
)
def test_plain_server_refuses(message: bytes, kind: FailureKind) -> None:
    """Extra NULs, empty names, foreign authorization identities and broken text never reach a password check."""
    failure = ServerPlain().step(message)
    assert isinstance(failure, Failure)
    assert failure.kind is kind
    assert "pencil" not in repr(failure)


def test_plain_server_takes_its_own_name_as_authorization_identity() -> None:
    """Some clients repeat the user name."""
    assert isinstance(ServerPlain().step(b"user\0user\0pencil"), NeedPassword)


def test_wrong_password_and_unknown_user_are_one_failure() -> None:
    """The verdict carries one kind, so that one text answers both."""
    server = ServerPlain()
    server.step(b"\0user\0wrong")
    assert server.verified(False) == Failure(FailureKind.REFUSED, "wrong user or password", "user")


def test_a_verdict_is_given_once_and_only_when_asked_for() -> None:
    """A service that answers twice, or too early, is a bug that shows."""
    server = ServerPlain()
    with pytest.raises(LocalProtocolError):
        server.verified(True)
    server.step(b"\0user\0pencil")
    assert isinstance(server.verified(True), Success)
    with pytest.raises(LocalProtocolError):
        server.verified(True)
    with pytest.raises(LocalProtocolError):
        server.step(b"\0user\0pencil")


def test_only_true_is_success() -> None:
    """A verifier that returns something merely truthy did not say yes."""
    server = ServerPlain()
    server.step(b"\0user\0pencil")
    assert isinstance(server.verified("no"), Failure)  # type: ignore[arg-type]


def test_plain_client_refuses_a_question() -> None:
    """PLAIN has no questions; a server that asks one gets no password."""
    with pytest.raises(AuthenticationError):
        ClientPlain(CREDENTIALS).respond(b"and your PIN?")
    client = ClientPlain(CREDENTIALS)
    client.initial()
    with pytest.raises(AuthenticationError):
        client.respond(b"")


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("x", ""), ("\u00ad", "x")])
def test_clients_refuse_empty_credentials(user: str, password: str) -> None:
    """An empty name or password is the caller's mistake and is never sent."""
    for kind in (ClientPlain, ClientLogin):
        with pytest.raises(LocalProtocolError):
            kind(Credentials(user, Secret(password)))


def test_login_halves_agree() -> None:
    """Two questions, two answers."""
    server, client = ServerLogin(), ClientLogin(CREDENTIALS)
    assert client.initial() is None
    first = server.step(None)
    assert isinstance(first, Challenge)
    second = server.step(client.respond(first.data))
    assert isinstance(second, Challenge)
    assert not client.complete
    assert server.step(client.respond(second.data)) == NeedPassword("user@example.org", Secret("pencil"))
    assert client.complete
    assert server.verified(True) == Success("user@example.org")
    with pytest.raises(AuthenticationError):
        client.respond(b"and?")


def test_login_server_takes_the_user_name_with_the_command() -> None:
    """Several clients send it as the initial response."""
    server = ServerLogin()
    assert server.step(b"user") == Challenge(b"Password:")
    assert isinstance(server.step(b"pencil"), NeedPassword)


@pytest.mark.parametrize("answer", [b"", b"us\0er", b"\xff", b"u" * 5000])
def test_login_server_refuses_a_broken_user_name(answer: bytes) -> None:
    """NULs, broken text, nothing, and too much."""
    server = ServerLogin()
    server.step(None)
    failure = server.step(answer)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.MALFORMED
    with pytest.raises(LocalProtocolError):
        server.step(b"x")


def test_login_server_refuses_an_empty_password() -> None:
    """It is no password anybody has."""
    server = ServerLogin()
    server.step(b"user")
    assert server.step(b"") == Failure(FailureKind.REFUSED, "the password is empty", "user")


def test_a_password_mechanism_asks_for_no_verifier() -> None:
    """What SCRAM needs is no answer to PLAIN; a password that is no text is nobody's."""
    with pytest.raises(LocalProtocolError):
        ServerPlain().supply(derive_verifier("p", salt=b"s", iterations=4096))
    with pytest.raises(LocalProtocolError):
        ClientPlain(Credentials("user", Secret(b"\xff")))
