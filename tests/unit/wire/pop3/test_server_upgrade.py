"""STLS: the plaintext engine is spent, and the private one knows nothing of it."""

from __future__ import annotations

import pytest
from tests.unit.wire.pop3.maildrop_talk import ORIGIN, evidence, plain, profile, secure

from gatepost.errors import LocalProtocolError
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import Ended, Fault, StartTLSRequested
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.states import State
from gatepost.wire.upgrade import PlaintextAfterUpgrade


def server(talk: object) -> PlainServer:
    engine = getattr(talk, "engine", None)
    assert isinstance(engine, PlainServer)
    return engine


def test_stls_is_granted_and_the_engine_is_spent() -> None:
    """One +OK, a token, and then every use is our own misuse (RFC 2595 §4)."""
    talk = plain()
    assert talk.say(b"stls\r\n") == b""
    assert talk.events == [StartTLSRequested()]
    ready, early = server(talk).grant_upgrade()
    assert talk.engine.outgoing() == b"+OK Begin TLS now\r\n"
    assert early is None
    assert ready.spend() is ORIGIN
    assert talk.engine.state is State.UPGRADED
    for misuse in (lambda: talk.engine.receive(b"x"), talk.engine.greet, server(talk).grant_upgrade):
        with pytest.raises(LocalProtocolError):
            misuse()
    assert talk.engine.next_event() is None
    talk.engine.shutdown(reply.SHUTTING_DOWN)
    assert talk.engine.outgoing() == b""


@pytest.mark.parametrize("residue", [b"CAPA\r\n", b"X", b"\r\n", b"USER a\r\nPASS b\r\n", b"\x16\x04", b"\0"])
@pytest.mark.parametrize("later", [True, False])
def test_plaintext_behind_stls_is_refused(residue: bytes, later: bool) -> None:
    """Whole, half, or in the next segment: one -ERR in place of the go-ahead, and that is the end."""
    talk = plain()
    talk.say(b"STLS\r\n" + (b"" if later else residue))
    if later:
        talk.engine.receive(residue)
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        server(talk).grant_upgrade()
    assert caught.value.residue == residue
    assert talk.run() == b"-ERR Command stream was not empty behind STLS\r\n"
    assert talk.events == [StartTLSRequested(), Ended("plaintext behind STLS")]
    assert talk.say(b"CAPA\r\n") == b""


def test_an_early_hello_is_for_tls() -> None:
    """A ClientHello in the segment of STLS reaches no parser of ours."""
    hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
    talk = plain()
    talk.say(b"STLS\r\n" + hello)
    _, early = server(talk).grant_upgrade()
    assert early is not None
    assert early.open() == hello


def test_stls_takes_no_argument_and_may_be_put_off() -> None:
    """-ERR, and the conversation goes on in the clear."""
    talk = plain(silent=True)
    assert talk.say(b"STLS now\r\n") == reply.SYNTAX.octets
    talk.say(b"STLS\r\n")
    talk.engine.answer(reply.TLS_UNAVAILABLE)
    assert talk.run() == reply.TLS_UNAVAILABLE.octets
    talk.say(b"STLS\r\n")
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(reply.OK)
    server(talk).grant_upgrade()


def test_stls_is_neither_listed_nor_taken_where_it_is_denied() -> None:
    """The keyword is hidden and the command is -ERR."""
    talk = plain(starttls=False)
    assert b"STLS" not in talk.say(b"CAPA\r\n")
    assert talk.say(b"STLS\r\n") == reply.NOT_SUPPORTED.octets
    with pytest.raises(LocalProtocolError):
        server(talk).grant_upgrade()


def test_stls_inside_tls_is_refused() -> None:
    """-ERR (RFC 2595 §4), before the login and after it; there is no method for it."""
    talk = secure()
    assert talk.say(b"STLS\r\nUSER alice\r\nPASS secret\r\nSTLS\r\n") == (
        b"-ERR TLS is active already\r\n" + reply.USER_OK.octets + reply.LOGGED_IN.octets
        + b"-ERR TLS is active already\r\n"
    )  # fmt: skip
    assert not hasattr(talk.engine, "grant_upgrade")
    assert len(talk.of(Fault)) == 2


def test_inside_tls_there_is_no_second_greeting_unless_tls_came_first() -> None:
    """After STLS the client speaks next (RFC 2595 §4); on port 995 the server greets."""
    after = SecureServer(ORIGIN, evidence(), profile())
    assert after.outgoing() == b""
    after.receive(b"CAPA\r\n")
    assert after.next_event() is None
    with pytest.raises(LocalProtocolError):
        after.greet()
    first = SecureServer(ORIGIN, evidence(), profile())
    first.greet()
    assert first.outgoing().startswith(b"+OK ")
    assert first.state is State.AUTHORIZATION


def test_a_name_given_in_the_clear_is_not_known_inside() -> None:
    """It was refused there, and the private engine is made from origin and evidence alone."""
    talk = plain()
    talk.say(b"USER alice\r\nSTLS\r\n")
    server(talk).grant_upgrade()
    inside = secure()
    assert inside.say(b"PASS secret\r\n") == reply.USER_FIRST.octets
    assert inside.engine.state is State.START
