"""AUTH at the server engine (RFC 4954)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.unit.wire.smtp.serving import Talk, codes, opened, secure

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import AuthCancelled, AuthRequested, AuthResponse, Ended, Fault, Mail
from gatepost.wire.smtp.server import SecureServer
from gatepost.wire.smtp.states import State

MECHANISMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")


def ready(**settings: Any) -> tuple[Talk, SecureServer]:
    """A conversation that has said hello inside TLS and may log in."""
    talk = secure(auth_mechanisms=MECHANISMS, **settings)
    talk.say(b"EHLO a\r\n")
    assert isinstance(talk.engine, SecureServer)
    return talk, talk.engine


def test_login_with_an_initial_response() -> None:
    """One step, and the engine remembers who it is."""
    talk, engine = ready(require_auth=True)
    assert codes(talk.say(b"MAIL FROM:<a@b>\r\n")) == [530]
    talk.say(b"auth plain AGEAYg==\r\n")
    assert talk.last() == AuthRequested("PLAIN", b"\0a\0b")
    engine.authenticated("alice")
    assert talk.run() == b"235 2.7.0 Authentication succeeded\r\n"
    assert engine.identity == "alice"
    assert codes(talk.say(b"MAIL FROM:<a@b> AUTH=<>\r\n")) == [250]
    assert isinstance(talk.last(), Mail)


def test_login_by_challenges() -> None:
    """334 and a line, as often as the mechanism wants; an empty line is an empty response."""
    talk, engine = ready()
    talk.say(b"AUTH LOGIN\r\n")
    assert talk.last() == AuthRequested("LOGIN", None)
    engine.challenge(b"Username:")
    assert talk.run() == b"334 VXNlcm5hbWU6\r\n"
    talk.say(b"YWxpY2U=\r\n")
    assert talk.last() == AuthResponse(b"alice")
    engine.challenge(b"")
    assert talk.run() == b"334 \r\n"
    talk.say(b"\r\n")
    assert talk.last() == AuthResponse(b"")
    engine.answer(reply.AUTH_FAILED)
    assert codes(talk.run()) == [535]
    assert engine.identity is None
    assert codes(talk.say(b"NOOP\r\n")) == [250]


def test_empty_initial_response_is_an_equals_sign() -> None:
    """RFC 4954 §4."""
    talk, _ = ready()
    talk.say(b"AUTH PLAIN =\r\n")
    assert talk.last() == AuthRequested("PLAIN", b"")


@pytest.mark.parametrize("line", [b"*", b"!!!", b"YQ", b"=", b"YWxpY2U=\x00", b"YWxpY2U= ", b"a\nb"])
def test_exchange_is_abandoned_by_a_bad_line(line: bytes) -> None:
    """``*`` cancels, what is no base64 does too; commands are commands again, and the line was no command."""
    talk, engine = ready()
    talk.say(b"AUTH LOGIN\r\n")
    engine.challenge(b"Username:")
    talk.run()
    assert codes(talk.say(line + b"\r\nNOOP\r\n")) == [500 if b"\n" in line else 501, 250]
    assert AuthCancelled() in talk.events


@pytest.mark.parametrize(("length", "code"), [(12288, 0), (12292, 500), (32768, 500)])
def test_exchange_line_may_have_12288_octets(length: int, code: int) -> None:
    """RFC 4954 §4; a longer one is refused with 5.5.6 and skipped."""
    talk, engine = ready()
    talk.say(b"AUTH LOGIN\r\n")
    engine.challenge(b"")
    talk.run()
    said = talk.say(base64.b64encode(b"x" * (length // 4 * 3)) + b"\r\n")
    assert codes(said) == ([code] if code else [])
    assert isinstance(talk.events[-1], AuthResponse) == (code == 0)


def test_initial_response_may_be_long() -> None:
    """The command line of AUTH has the same room as the lines behind it."""
    talk, _ = ready()
    talk.say(b"AUTH PLAIN " + base64.b64encode(b"x" * 9000) + b"\r\n")
    assert talk.last() == AuthRequested("PLAIN", b"x" * 9000)


@pytest.mark.parametrize(
    ("line", "code"),
    [(b"AUTH", 501), (b"AUTH FOO", 504), (b"AUTH FOO AGE=", 504), (b"AUTH PLAIN !", 501), (b"AUTH PLAIN AGE= x", 501)],
)
def test_auth_that_cannot_begin_is_refused(line: bytes, code: int) -> None:
    """Unknown mechanism 504, bad syntax 501; the credentials are not in the fault."""
    talk, engine = ready()
    assert codes(talk.say(line + b"\r\n")) == [code]
    assert engine.state is State.READY
    assert [event.line for event in talk.events if isinstance(event, Fault)] == [b"AUTH ***"]


def test_channel_bound_mechanism_needs_a_binding() -> None:
    """Where the handshake left none, PLUS is not offered and not taken."""
    talk = secure(binding=False, auth_mechanisms=MECHANISMS)
    talk.say(b"EHLO a\r\n")
    assert codes(talk.say(b"AUTH SCRAM-SHA-256-PLUS\r\n")) == [504]


def test_auth_is_refused_twice_and_in_a_transaction() -> None:
    """RFC 4954 §4: 503."""
    talk, engine = ready()
    talk.say(b"AUTH PLAIN AGE=\r\n")
    engine.authenticated("alice")
    talk.run()
    assert codes(talk.say(b"AUTH PLAIN AGE=\r\nEHLO b\r\nAUTH PLAIN AGE=\r\n")) == [503, 250, 503]
    assert codes(opened(secure(auth_mechanisms=MECHANISMS)).say(b"AUTH PLAIN AGE=\r\n")) == [503]


def test_auth_before_hello_and_where_it_is_not_offered_is_refused() -> None:
    """503, and 502."""
    assert codes(secure(auth_mechanisms=MECHANISMS).say(b"AUTH PLAIN AGE=\r\n")) == [503]
    assert codes(secure().say(b"EHLO a\r\nAUTH PLAIN AGE=\r\n")) == [250, 502]


def test_lines_sent_ahead_wait_for_the_exchange() -> None:
    """What is pipelined behind AUTH is its response, not a command, once a challenge was sent."""
    talk, engine = ready()
    talk.say(b"AUTH LOGIN\r\nTk9PUA==\r\nNOOP\r\n")
    engine.challenge(b"")
    assert talk.run() == b"334 \r\n"
    assert talk.last() == AuthResponse(b"NOOP")
    engine.answer(reply.AUTH_FAILED)
    assert codes(talk.run()) == [535, 250]


def test_cancelling_forever_ends_the_session() -> None:
    """Each attempt that is not completed counts as an error."""
    talk, engine = ready(max_errors=3)
    for _ in range(4):
        talk.say(b"AUTH LOGIN\r\n")
        engine.challenge(b"")
        talk.run()
        said = talk.say(b"*\r\n")
    assert codes(said) == [421]
    assert talk.last() == Ended("too many errors")


def test_client_gone_in_the_exchange_cancels_it() -> None:
    """The service hears of it and drops what it holds."""
    talk, engine = ready()
    talk.say(b"AUTH LOGIN\r\n")
    engine.challenge(b"")
    talk.run()
    talk.hang_up()
    assert talk.events[-2:] == [AuthCancelled(), Ended("connection lost")]


def test_engine_refuses_answers_that_do_not_fit() -> None:
    """A login is accepted by name, and only when one is waiting."""
    talk, engine = ready()
    with pytest.raises(LocalProtocolError):
        engine.challenge(b"")
    with pytest.raises(LocalProtocolError):
        engine.authenticated("a")
    talk.say(b"AUTH PLAIN AGE=\r\n")
    with pytest.raises(LocalProtocolError):
        engine.authenticated("")
    with pytest.raises(LocalProtocolError):
        engine.answer(reply.AUTHENTICATED)
    assert engine.identity is None


def test_events_do_not_print_what_was_secret() -> None:
    """Credentials are in no representation of an event."""
    assert "secret" not in repr(AuthRequested("PLAIN", b"secret")) + repr(AuthResponse(b"secret"))
