"""STARTTLS at the server engine (RFC 3207)."""

from __future__ import annotations

import pytest
from tests.unit.wire.smtp.serving import ORIGIN, Talk, codes, evidence, opened, plain, profile, secure

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import Ended, Fault, Hello, Mail, StartTLSRequested
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.states import State
from gatepost.wire.upgrade import PlaintextAfterUpgrade

CLIENT_HELLO = b"\x16\x03\x01\x00\xf8\x01" + bytes(40)


def test_starttls_is_granted_and_the_engine_is_spent() -> None:
    """One 220; afterwards nothing can be said or heard in the clear."""
    talk = plain()
    talk.say(b"EHLO a\r\nSTARTTLS\r\n")
    assert talk.last() == StartTLSRequested()
    assert isinstance(talk.engine, PlainServer)
    ready, early = talk.engine.grant_upgrade()
    assert talk.engine.outgoing() == b"220 2.0.0 Ready to start TLS\r\n"
    assert early is None
    assert ready.spend() is ORIGIN
    assert talk.engine.state is State.UPGRADED
    assert talk.engine.next_event() is None
    with pytest.raises(LocalProtocolError):
        talk.engine.receive(b"NOOP\r\n")
    with pytest.raises(LocalProtocolError):
        talk.engine.grant_upgrade()
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(reply.TLS_UNAVAILABLE)


@pytest.mark.parametrize("command", [b"STARTTLS", b"sTaRtTlS", b"STARTTLS  ", b"starttls\t"])
@pytest.mark.parametrize(
    "residue", [b"NOOP\r\n", b"XINJ", b"\r\n", b"\n", b"\x00", b"MAIL FROM:<a@b>\r\nRCPT", b"\x16\x03\x01\xff\xff\x01"]
)
@pytest.mark.parametrize("later", [False, True])
def test_server_refuses_bytes_after_starttls(command: bytes, residue: bytes, later: bool) -> None:
    """The attacker wants his line, or half of it, to run as if it had come inside TLS."""
    talk = plain()
    talk.say(b"EHLO a\r\n")
    talk.say(command + b"\r\n" + (b"" if later else residue))
    if later:
        talk.engine.receive(residue)
    assert isinstance(talk.engine, PlainServer)
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        talk.engine.grant_upgrade()
    assert caught.value.residue == residue
    assert talk.run() == b"554 5.5.0 Command stream was not empty behind STARTTLS\r\n"
    assert talk.last() == Ended("plaintext behind STARTTLS")
    assert talk.say(b"NOOP\r\n") == b""


def test_server_refuses_bytes_after_starttls_behind_bdat() -> None:
    """A chunk in front of it changes nothing: the residue begins behind the STARTTLS line."""
    talk = opened(plain())
    talk.say(b"BDAT 5 LAST\r\nabc\r\nSTARTTLS\r\nEHLO inj\r\n")
    assert isinstance(talk.engine, PlainServer)
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        talk.engine.grant_upgrade()
    assert caught.value.residue == b"EHLO inj\r\n"
    assert len(talk.of(Hello)) == 1


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_server_hands_an_early_client_hello_to_tls(cut: int) -> None:
    """An eager client is not parsed and not refused; its octets go to the TLS engine."""
    talk = plain()
    talk.say(b"EHLO a\r\nSTARTTLS\r\n" + CLIENT_HELLO[:cut])
    talk.engine.receive(CLIENT_HELLO[cut:])
    assert isinstance(talk.engine, PlainServer)
    _, early = talk.engine.grant_upgrade()
    assert early is not None
    assert early.open() == CLIENT_HELLO
    assert codes(talk.run()) == [220]


def test_starttls_with_an_argument_is_501() -> None:
    """RFC 3207 §4; the conversation goes on."""
    assert codes(plain().say(b"EHLO a\r\nSTARTTLS x\r\nNOOP\r\n")) == [250, 501, 250]


def test_starttls_may_be_put_off() -> None:
    """454 for a temporary lack; the conversation goes on in the clear, and the next try may succeed."""
    talk = plain()
    talk.say(b"EHLO a\r\nSTARTTLS\r\nNOOP\r\nSTARTTLS\r\n")
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(reply.OK)
    talk.engine.answer(reply.TLS_UNAVAILABLE)
    assert codes(talk.run()) == [454, 250]
    assert isinstance(talk.engine, PlainServer)
    talk.engine.grant_upgrade()
    assert codes(talk.run()) == [220]


def test_starttls_inside_a_transaction_is_refused() -> None:
    """503, and the transaction goes on."""
    talk = opened(plain())
    assert codes(talk.say(b"STARTTLS\r\nDATA\r\nx\r\n.\r\nSTARTTLS\r\n")) == [503, 354, 250]
    assert talk.last() == StartTLSRequested()


def test_starttls_is_neither_listed_nor_taken_where_it_is_denied() -> None:
    """502 5.5.1, as the policy word ``deny`` says."""
    talk = plain(starttls=False)
    assert b"STARTTLS" not in talk.say(b"EHLO a\r\n")
    assert talk.say(b"STARTTLS\r\n") == reply.NOT_IMPLEMENTED.octets


def test_starttls_is_neither_listed_nor_taken_inside_tls() -> None:
    """RFC 3207 §4.2: never twice."""
    talk = secure()
    assert b"STARTTLS" not in talk.say(b"EHLO a\r\n")
    assert talk.say(b"STARTTLS\r\n") == b"503 5.5.1 TLS is active already\r\n"
    assert not talk.of(StartTLSRequested)
    assert not hasattr(SecureServer, "grant_upgrade")


@pytest.mark.parametrize(
    "line",
    [
        b"HELO a",
        b"MAIL FROM:<a@b>",
        b"RCPT TO:<a@b>",
        b"DATA",
        b"RSET",
        b"VRFY a",
        b"EXPN a",
        b"HELP",
        b"AUTH PLAIN",
        b"X",
    ],
)
@pytest.mark.parametrize("first", [b"", b"EHLO a\r\n"])
def test_server_that_requires_tls_serves_nothing_before_it(line: bytes, first: bytes) -> None:
    """RFC 3207 §4: 530 to everything but NOOP, EHLO, STARTTLS and QUIT."""
    talk = plain(require_tls=True)
    talk.say(first)
    assert talk.say(line + b"\r\n") == b"530 5.7.0 Must issue a STARTTLS command first\r\n"


def test_server_that_requires_tls_serves_what_leads_there() -> None:
    """The four commands work; the octets of a refused chunk are not commands."""
    talk = plain(require_tls=True)
    said = talk.say(b"NOOP\r\nEHLO a\r\nNOOP\r\nBDAT 10 LAST\r\nSTARTTLS\r\nNOOP\r\n")
    assert codes(said) == [250, 250, 250, 530, 250]
    talk.say(b"STARTTLS\r\n")
    assert talk.last() == StartTLSRequested()
    assert codes(plain(require_tls=True).say(b"QUIT\r\n")) == [221]


def test_nothing_said_in_the_clear_is_known_inside_tls() -> None:
    """RFC 3207 §4.2: the hello name, the transaction and its recipients stay behind with the spent engine."""
    talk = plain()
    talk.say(b"EHLO attacker\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRSET\r\nSTARTTLS\r\n")
    assert isinstance(talk.engine, PlainServer)
    ready, _ = talk.engine.grant_upgrade()
    inside = Talk(SecureServer(ready.spend(), evidence(), profile()))
    assert inside.engine.hello_name == ""
    assert inside.engine.state is State.START
    assert codes(inside.say(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")) == [503, 503, 503]
    assert not inside.of(Mail)


def test_secure_server_greets_only_where_tls_came_first() -> None:
    """After STARTTLS there is no second greeting; on an implicit TLS port there is one."""
    talk = Talk(SecureServer(ORIGIN, evidence(), profile()))
    talk.engine.greet()
    assert codes(talk.run()) == [220]
    assert codes(talk.say(b"EHLO a\r\n")) == [250]
    with pytest.raises(LocalProtocolError):
        talk.engine.greet()


def test_auth_in_the_clear_is_never_evaluated() -> None:
    """530 where a login is due and TLS is offered, 502 otherwise; no challenge, no 535, no secret in an event."""
    due = plain(auth_mechanisms=("PLAIN",), require_auth=True)
    assert b"AUTH" not in due.say(b"EHLO a\r\n")
    said = due.say(b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nAUTH LOGIN\r\nMAIL FROM:<a@b>\r\n")
    assert said == reply.TLS_FIRST.octets * 3
    assert codes(plain(auth_mechanisms=("PLAIN",)).say(b"EHLO a\r\nAUTH PLAIN AGE=\r\n")) == [250, 502]
    assert codes(plain(starttls=False, require_auth=True).say(b"EHLO a\r\nAUTH PLAIN AGE=\r\nMAIL FROM:<a@b>\r\n")) == [
        250, 502, 530,
    ]  # fmt: skip
    assert all(b"AGFs" not in event.line for event in due.events if isinstance(event, Fault))
    assert not hasattr(PlainServer, "authenticated")
    assert not hasattr(PlainServer, "challenge")
