"""Logins: inside TLS only, every mechanism, and what failing costs."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from tests.attacks.raw import Raw
from tests.unit.smtp.publicserver import NAME, Box, Running, handler

from gatepost.errors import LocalProtocolError
from gatepost.net.blocking import BlockingWire
from gatepost.smtp import Auth, Reply, Secret, ServerLimits
from gatepost.tls.contexts import ClientTLS, client_context
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.sasl.mechanisms import PREFERENCE, choose
from gatepost.wire.sasl.outcome import Credentials, bindings_of
from gatepost.wire.smtp.client import converse_starttls
from gatepost.wire.upgrade import Origin

Serve = Callable[..., Running]
USERS = {"alice": "wonderland"}


def plain(user: str, password: str) -> bytes:
    return b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode())


def private(running: Running) -> Raw:
    client = Raw(running.port)
    client.upgrade(running.ca_file)
    return client


@pytest.mark.parametrize("mechanism", PREFERENCE)
def test_every_mechanism_logs_in(serve: Serve, box: Box, mechanism: str) -> None:
    """Our client's halves against the server's, SCRAM-SHA-256-PLUS with its channel binding among them."""

    async def on_login(self: object, session: Any, user: str, mechanism: str) -> None:
        box.note(f"{user} {mechanism} {session.user}")

    running = serve(handler(on_login=on_login), auth=Auth.from_passwords(USERS))

    def conversation(origin: Origin) -> Dialogue[None]:
        client = yield from converse_starttls(origin, hostname="client.example")
        assert client.capabilities.auth == PREFERENCE
        login = Credentials("alice", Secret("wonderland"))
        bindings = bindings_of(client.evidence) if mechanism.endswith("-PLUS") else {}
        if not mechanism.startswith("SCRAM") or bindings:
            yield from client.authenticate(choose([mechanism], login, bindings, nonce=secrets.token_urlsafe(24)))
        else:
            # A client that knows of no binding says "n", which is right where the server lists no PLUS only.
            yield from client.authenticate(choose([mechanism], login, {}, nonce=secrets.token_urlsafe(24)))
        yield from client.quit()

    tls = ClientTLS(client_context(running.ca_file), NAME, level="verify")
    with BlockingWire(NAME, running.port, tls=tls) as wire:
        wire.run(conversation(wire.origin))
    assert box.calls == [f"alice {mechanism} None"]


def test_no_login_in_the_clear(serve: Serve) -> None:
    """Not listed, and refused."""
    with Raw(serve(auth=Auth.from_passwords(USERS)).port) as client:
        assert b"AUTH" not in client.say(b"EHLO client.example")
        assert client.say(plain("alice", "wonderland")).startswith(b"502")


def test_a_required_login_is_required(serve: Serve) -> None:
    """In the clear TLS comes first; inside it the login."""
    running = serve(auth=Auth.from_passwords(USERS, required=True))
    with Raw(running.port) as client:
        client.say(b"EHLO client.example")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"530 5.7.0 Must issue a STARTTLS")
    with private(running) as client:
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"530 5.7.0 Authentication")
        assert client.say(plain("alice", "wonderland")).startswith(b"235")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"250")


def test_the_hook_may_refuse_a_right_login(serve: Serve) -> None:
    """The password is right, and yet."""
    running = serve(
        handler(on_login=lambda self, session, user, mechanism: Reply(535, "5.7.8", "Account closed")),
        auth=Auth.from_passwords(USERS, required=True),
    )
    with private(running) as client:
        assert client.say(plain("alice", "wonderland")) == b"535 5.7.8 Account closed"
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"530")


def test_failed_logins_end_the_session(serve: Serve) -> None:
    """One text for a wrong password and an unknown user; after three 421."""
    running = serve(auth=Auth.from_passwords(USERS))
    with private(running) as client:
        wrong = client.say(plain("alice", "looking-glass"))
        assert wrong == client.say(plain("nobody", "wonderland"))
        assert wrong.startswith(b"535 5.7.8")
        assert client.say(plain("alice", "x")).startswith(b"535")
        assert client.rest().startswith(b"421 4.7.0")


def test_a_check_that_raises_is_a_temporary_failure(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """454, one traceback, and no password in it."""

    async def check(user: str, password: Secret) -> bool:
        raise ZeroDivisionError(f"no database for {user} {password}")

    running = serve(auth=Auth(check=check))
    with private(running) as client:
        assert client.say(plain("alice", "wonderland")).startswith(b"454 4.7.0")
        assert client.say(b"NOOP").startswith(b"250")
    assert "no database for alice ***" in caplog.text
    assert "wonderland" not in caplog.text


@pytest.mark.parametrize("answer", [1, "yes", None, object()], ids=["one", "text", "none", "object"])
def test_only_true_is_a_right_password(serve: Serve, answer: object) -> None:
    """What is merely truthy is a bug of the check, not a login."""
    running = serve(auth=Auth(check=lambda user, password: answer))  # type: ignore[arg-type, return-value]
    with private(running) as client:
        assert client.say(plain("alice", "wonderland")).startswith(b"535")


def test_a_login_may_be_offered_when_tls_is_up(serve: Serve) -> None:
    """By what the handshake proved, say; sessions that were not offered one have no AUTH."""

    async def on_secure(self: object, session: Any, evidence: Any) -> None:
        if evidence.version == "TLSv1.3":
            session.offer_login(Auth(check=lambda user, password: password == Secret("x"), required=True))

    running = serve(handler(on_secure=on_secure))
    with private(running) as client:
        assert b"AUTH PLAIN LOGIN" in client.say(b"EHLO client.example")
        assert client.say(b"MAIL FROM:<a@b.example>").startswith(b"530")
        assert client.say(plain("anybody", "x")).startswith(b"235")


def test_an_exchange_is_cancelled_and_the_session_goes_on(serve: Serve) -> None:
    """RFC 4954 section 4: ``*``."""
    running = serve(auth=Auth.from_passwords(USERS))
    with private(running) as client:
        assert client.say(b"AUTH LOGIN").startswith(b"334")
        assert client.say(b"*").startswith(b"501")
        assert client.say(plain("alice", "wonderland")).startswith(b"235")


def test_unknown_users_look_the_same_to_scram(serve: Serve) -> None:
    """The salt of a name that does not exist is the same each time it is asked for, and differs between names."""
    running = serve(auth=Auth.from_passwords(USERS))

    def salt(user: str) -> bytes:
        with private(running) as client:
            first = base64.b64encode(f"n,,n={user},r={'x' * 24}".encode())
            challenge = base64.b64decode(client.say(b"AUTH SCRAM-SHA-256 " + first)[4:])
            return challenge.split(b",")[1]

    assert salt("alice") == salt("alice")
    assert salt("nobody") == salt("nobody")
    assert len({salt("alice"), salt("nobody"), salt("nobody2")}) == 3


def test_a_delay_of_failed_logins_does_not_hold_others(serve: Serve) -> None:
    """The answer is late; the loop is not."""
    running = serve(auth=Auth.from_passwords(USERS), limits=ServerLimits(login_delay=30.0))
    with private(running) as slow, private(running) as quick:
        slow.send(plain("alice", "wrong") + b"\r\n")
        assert quick.say(plain("alice", "wonderland")).startswith(b"235")


def test_an_auth_without_anything_to_ask_is_refused() -> None:
    """It would refuse everybody."""
    with pytest.raises(LocalProtocolError):
        Auth()
