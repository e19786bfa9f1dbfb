"""Both engines back to back: what the client asks, the server understands, through a real upgrade."""

from __future__ import annotations

import pytest

from gatepost.testing.maildrops import MaildropPeer, maildrop_upgrader
from gatepost.testing.memory import ORIGIN, MemoryDriver
from gatepost.testing.tls import SecurePeer
from gatepost.wire.pop3.client import Maildrop, SecureClient, converse_stls
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.refusals import AuthenticationRefused, Refused
from gatepost.wire.pop3.server import PlainServer
from gatepost.wire.sasl import Credentials, Secret, bindings_of, choose, derive_verifier

MECHANISMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
PROFILE = ServerProfile(hostname="mx.example.org", auth_mechanisms=MECHANISMS)
USERS = {"user": (derive_verifier("pencil", salt=b"salt", iterations=4096), b"pencil")}
MESSAGES = (
    b"Subject: \xc3\xa9\n\n.\n..dots\n" + b"x" * 70 + b"\n",
    b"Subject: large\r\n\r\n" + b".line of a large message\r\n" * 4000,
    b"no end",
)


def upgraded(chunks: int | None = None) -> tuple[SecureClient, MemoryDriver]:
    plain = PlainServer(ORIGIN, PROFILE)
    plain.greet()
    driver = MemoryDriver(
        MaildropPeer(plain), chunks=chunks, upgrade=maildrop_upgrader(PROFILE, messages=MESSAGES, users=USERS)
    )
    return driver.run(converse_stls(ORIGIN)), driver


def inner(driver: MemoryDriver) -> MaildropPeer:
    assert isinstance(driver.peer, SecurePeer)
    peer = driver.peer.inner
    assert isinstance(peer, MaildropPeer)
    return peer


@pytest.mark.parametrize("mechanism", [*MECHANISMS, "USER"])
def test_mail_is_fetched_through_stls_and_each_login(mechanism: str) -> None:
    """Every message as it is, sizes exact, deleted at QUIT."""
    client, driver = upgraded(17 if mechanism == "USER" else None)
    run = driver.run
    assert client.listed is not None
    assert client.listed.sasl == MECHANISMS
    assert not client.listed.stls
    if mechanism == "USER":
        run(client.login("user", Secret("pencil")))
    else:
        bindings = bindings_of(client.evidence) if mechanism != "SCRAM-SHA-256" else {}
        credentials = Credentials("user", Secret("pencil"))
        run(client.authenticate(choose((mechanism,), credentials, bindings, nonce="n" * 24)))
    sizes = run(client.list())
    assert run(client.stat()) == Maildrop(3, sum(sizes.values()))
    assert run(client.uidl()) == {1: "id-1", 2: "id-2", 3: "id-3"}
    for number, message in enumerate(MESSAGES, 1):
        found: list[bytes] = []
        assert run(client.retrieve(number, found.append)) == sizes[number]
        whole = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        assert b"".join(found) == whole + (b"" if whole.endswith(b"\r\n") else b"\r\n")
    found = []
    run(client.top(2, 2, found.append))
    assert b"".join(found) == b"Subject: large\r\n\r\n" + b".line of a large message\r\n" * 2
    run(client.delete(1))
    assert set(run(client.list())) == {2, 3}
    with pytest.raises(Refused):
        run(client.retrieve(1, found.append))
    run(client.reset())
    run(client.delete(2))
    run(client.noop())
    assert len(inner(driver).messages) == 3
    run(client.quit())
    assert inner(driver).messages == [MESSAGES[0], MESSAGES[2]]


def test_a_wrong_password_is_refused_and_another_may_be_tried() -> None:
    """By USER, by PLAIN and by SCRAM, with the same words."""
    client, driver = upgraded()
    texts = set()
    for attempt in range(3):
        with pytest.raises(AuthenticationRefused) as caught:
            if attempt == 0:
                driver.run(client.login("user", "wrong"))
            else:
                name = ("PLAIN", "SCRAM-SHA-256-PLUS")[attempt - 1]
                mechanism = choose(
                    (name,), Credentials("user", Secret("wrong")), bindings_of(client.evidence), nonce="n" * 24
                )
                driver.run(client.authenticate(mechanism))
        assert caught.value.reply is not None
        texts.add(str(caught.value.reply))
    assert texts == {"-ERR [AUTH] Authentication failed"}
    driver.run(client.login("user", "pencil"))


def test_a_connection_that_is_dropped_deletes_nothing() -> None:
    """DELE without QUIT."""
    client, driver = upgraded()
    driver.run(client.login("user", "pencil"))
    driver.run(client.delete(1))
    peer = inner(driver)
    peer.engine.receive_eof()
    peer.receive(b"")
    assert peer.closed
    assert tuple(peer.messages) == MESSAGES
