"""Both engines back to back: what the client says, the server understands, through a real upgrade."""

from __future__ import annotations

from typing import Literal

import pytest

from gatepost.testing.engines import EnginePeer, engine_upgrader
from gatepost.testing.memory import ORIGIN, MemoryDriver
from gatepost.testing.tls import SecurePeer
from gatepost.wire.sasl import Credentials, Secret, bindings_of, choose, derive_verifier
from gatepost.wire.smtp.client import PlainClient, SecureClient, converse_starttls
from gatepost.wire.smtp.envelope import Envelope, EnvelopeRecipient
from gatepost.wire.smtp.events import ContentEnds, Event, Recipient
from gatepost.wire.smtp.profile import ServerProfile
from gatepost.wire.smtp.refusals import AuthenticationRefused
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer

MECHANISMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
PROFILE = ServerProfile(hostname="mx.example.org", auth_mechanisms=MECHANISMS)
USERS = {"user": (derive_verifier("pencil", salt=b"salt", iterations=4096), b"pencil")}
CONTENT = b"Subject: \xc3\xa9\r\n\r\n.\r\n..dots\r\n" + b"x" * 70 + b"\r\n"


def greeted(profile: ServerProfile = PROFILE, **options: object) -> EnginePeer:
    engine = PlainServer(ORIGIN, profile)
    engine.greet()
    return EnginePeer(engine, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("chunks", [None, 1, 17])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_message_travels_through_starttls_and_login(mechanism: str, chunks: int | None) -> None:
    """Greeting, upgrade, login by each mechanism, three messages on one connection, goodbye."""
    driver = MemoryDriver(
        greeted(), chunks=chunks, upgrade=engine_upgrader(PROFILE, lambda engine: EnginePeer(engine, users=USERS))
    )
    client = driver.run(converse_starttls(ORIGIN, hostname="c.example"))
    assert set(client.capabilities.auth) == set(MECHANISMS)
    login = choose((mechanism,), Credentials("user", Secret("pencil")), bindings_of(client.evidence), nonce="n" * 24)
    if mechanism == "SCRAM-SHA-256":  # without PLUS a client that could bind is taken for the victim of a downgrade
        with pytest.raises(AuthenticationRefused):
            driver.run(client.authenticate(login))
        login = choose((mechanism,), Credentials("user", Secret("pencil")), {}, nonce="n" * 24)
    driver.run(client.authenticate(login))
    envelope = Envelope(
        "a@example.org", (EnvelopeRecipient("b@example.com", frozenset({"FAILURE"}), "rfc822;b+c@example.com"),),
        size=len(CONTENT), body="8BITMIME", ret="HDRS", envid="id=1",
    )  # fmt: skip
    for _ in range(3):
        assert driver.run(client.submit(envelope, [CONTENT[:20], CONTENT[20:]])).delivered
    assert isinstance(driver.peer, SecurePeer)
    peer = driver.peer.inner
    assert isinstance(peer, EnginePeer) and isinstance(peer.engine, SecureServer)
    assert peer.engine.identity == "user"
    assert [(m.sender, m.recipients, m.content) for m in peer.messages] == [
        ("a@example.org", ["b@example.com"], CONTENT)
    ] * 3
    (asked, *_) = (event for event in peer.events if isinstance(event, Recipient))
    assert asked.params.notify == frozenset({"FAILURE"})
    assert asked.params.orcpt == "rfc822;b+c@example.com"
    farewell = driver.run(client.quit())
    assert farewell is not None and farewell.code == 221


def test_a_wrong_password_is_refused_by_the_engine() -> None:
    """535, and the connection goes on."""
    driver = MemoryDriver(greeted(), upgrade=engine_upgrader(PROFILE, lambda engine: EnginePeer(engine, users=USERS)))
    client = driver.run(converse_starttls(ORIGIN, hostname="c.example"))
    login = choose(("PLAIN",), Credentials("user", Secret("crayon")), {}, nonce="n" * 24)
    with pytest.raises(AuthenticationRefused):
        driver.run(client.authenticate(login))
    assert client.usable


@pytest.mark.parametrize("dialect", ["SMTP", "LMTP"])
def test_each_recipient_gets_its_own_outcome(dialect: Literal["SMTP", "LMTP"]) -> None:
    """A refused recipient beside two that are taken, in both dialects."""

    def judge(event: Event) -> Reply | None:
        if isinstance(event, Recipient) and event.mailbox.local == "no":
            return Reply(550, "5.1.1", "No such user")
        return Reply(250, "2.6.0", "Kept") if isinstance(event, ContentEnds) else None

    profile = ServerProfile(hostname="mx.example.org", dialect=dialect, starttls=False)
    peer = greeted(profile, judge=judge)
    driver = MemoryDriver(peer)
    client = PlainClient(ORIGIN, hostname="c.example", dialect=dialect)
    driver.run(client.greeting())
    driver.run(client.hello())
    envelope = Envelope("", tuple(EnvelopeRecipient(f"{name}@example.com") for name in ("one", "no", "two")))
    found = driver.run(client.submit(envelope, [b"x\r\n"]))
    assert [(reply.code, reply.enhanced) for reply in found.replies] == [(250, "2.6.0"), (550, "5.1.1"), (250, "2.6.0")]
    assert peer.messages[0].recipients == ["one@example.com", "two@example.com"]
    nobody = Envelope("", (EnvelopeRecipient("no@example.com"),))
    assert driver.run(client.submit(nobody, [b"x\r\n"])).stages == ("RCPT",)
    assert driver.run(client.submit(envelope, [b"x\r\n"])).final is not None
    assert len(peer.messages) == 2


def test_internationalized_mail_arrives() -> None:
    """SMTPUTF8 from end to end."""
    peer = greeted(ServerProfile(hostname="mx.example.org", starttls=False))
    driver = MemoryDriver(peer)
    client = driver.run(converse_starttls(ORIGIN, hostname="c.example", required=False))
    assert not isinstance(client, SecureClient)
    envelope = Envelope(
        "grüße@bücher.example", (EnvelopeRecipient("用户@example.com"),), smtputf8=True, body="8BITMIME"
    )
    assert driver.run(client.submit(envelope, [CONTENT])).delivered
    assert peer.messages[0].sender == "grüße@bücher.example"
    assert peer.messages[0].recipients == ["用户@example.com"]
