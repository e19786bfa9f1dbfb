"""Logins: USER and PASS, AUTH, and what the clear has of them."""

from __future__ import annotations

import pytest
from tests.unit.wire.pop3.maildrop_talk import Talk, logged_in, plain, secure

from gatepost.errors import LocalProtocolError
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import (
    AuthCancelled,
    AuthRequested,
    AuthResponse,
    Ended,
    Fault,
    LoginRequested,
)
from gatepost.wire.pop3.server import SecureServer
from gatepost.wire.pop3.states import State
from gatepost.wire.sasl.secret import Secret

AUTH = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")


def engine_of(talk: Talk) -> SecureServer:
    assert isinstance(talk.engine, SecureServer)
    return talk.engine


def test_user_and_pass_are_one_login() -> None:
    """The service is asked once, with both."""
    talk = secure()
    assert talk.say(b"USER alice\r\nPASS secret\r\n") == b"+OK Now the password\r\n+OK Logged in\r\n"
    assert talk.events == [LoginRequested("alice", Secret("secret"))]
    assert engine_of(talk).identity == "alice"
    assert talk.engine.state is State.TRANSACTION
    assert "secret" not in repr(talk.events)


def test_a_password_keeps_its_spaces() -> None:
    """PASS has one argument, to the end of the line (RFC 1939 §7)."""
    talk = secure()
    talk.say(b"USER alice\r\nPASS  a b \r\n")
    talk.say(b"USER J\xc3\xbcrgen\r\nPASS p\xc3\xa4ss\xc2\xa0\r\nUSER alice\r\nPASS\r\n")
    assert talk.events == [
        LoginRequested("alice", Secret(" a b ")),
        LoginRequested("Jürgen", Secret("päss\u00a0")),
        LoginRequested("alice", Secret("")),
    ]


def test_user_says_nothing_about_whether_there_is_such_a_user() -> None:
    """One answer to every name, one refusal for every wrong login."""
    talk = secure()
    assert talk.say(b"USER alice\r\n") == talk.say(b"USER nobody\r\n")
    wrong = talk.say(b"USER alice\r\nPASS wrong\r\n")
    unknown = talk.say(b"USER nobody\r\nPASS wrong\r\n")
    assert wrong == unknown == reply.USER_OK.octets + b"-ERR [AUTH] Authentication failed\r\n"
    assert talk.engine.state is State.AUTHORIZATION


@pytest.mark.parametrize("between", [b"CAPA\r\n", b"UTF8\r\n", b"AUTH PLAIN\r\n*\r\n"])
def test_pass_stands_right_behind_user(between: bytes) -> None:
    """A name is forgotten when another command comes between (RFC 1939 §7), and after a refused password."""
    talk = secure(auth_mechanisms=("PLAIN",))
    talk.say(b"USER alice\r\n")
    if between.startswith(b"AUTH"):
        talk.say(b"AUTH PLAIN\r\n")
        engine_of(talk).challenge(b"")
        talk.say(b"*\r\n")
    else:
        talk.say(between)
    assert talk.say(b"PASS secret\r\n") == reply.USER_FIRST.octets
    talk.say(b"USER alice\r\nPASS wrong\r\n")
    assert talk.say(b"PASS secret\r\n") == reply.USER_FIRST.octets
    assert len(talk.of(LoginRequested)) == 1


def test_a_refused_login_may_be_tried_again() -> None:
    """Also with a response code that says why it is not the password (RFC 2449 §8.1, RFC 3206)."""
    talk = secure(silent=True)
    for refusal in (reply.IN_USE, reply.LOGIN_DELAY, reply.SYSTEM_TEMPORARY, reply.SYSTEM_PERMANENT, reply.AUTH_FAILED):
        talk.say(b"USER alice\r\nPASS secret\r\n")
        talk.engine.answer(refusal)
        assert talk.run() == refusal.octets
        assert talk.engine.state is State.AUTHORIZATION
        assert engine_of(talk).identity is None
    assert [refusal.octets.split()[1] for refusal in (reply.IN_USE, reply.LOGIN_DELAY)] == [
        b"[IN-USE]",
        b"[LOGIN-DELAY]",
    ]


def test_logging_in_twice_is_refused() -> None:
    """USER, PASS and AUTH have no place in TRANSACTION."""
    talk = logged_in(auth_mechanisms=("PLAIN",))
    assert talk.say(b"USER bob\r\nPASS x\r\nAUTH PLAIN\r\n") == reply.LOGGED_IN_ALREADY.octets * 3
    assert engine_of(talk).identity == "alice"


def test_user_may_be_switched_off() -> None:
    """A listener may take SASL only. And where it is taken, somebody must be named."""
    assert secure().say(b"USER\r\nUSER  \r\nPASS secret\r\n") == reply.SYNTAX.octets * 2 + reply.USER_FIRST.octets
    assert secure(user_pass=False).say(b"USER alice\r\n") == reply.NOT_SUPPORTED.octets


@pytest.mark.parametrize("starttls", [True, False])
@pytest.mark.parametrize(
    "line", [b"USER alice", b"USER nobody", b"PASS secret", b"AUTH PLAIN AGEAYg==", b"AUTH", b"APOP a b"]
)
def test_in_the_clear_every_login_is_refused_unseen(line: bytes, starttls: bool) -> None:
    """-ERR [AUTH] before anything was looked at; the service is not asked, and there is no second line."""
    talk = plain(starttls=starttls, auth_mechanisms=("PLAIN",))
    refusal = talk.say(line + b"\r\n")
    assert refusal.startswith(b"-ERR [AUTH] ")
    assert refusal.count(b"\r\n") == 1
    assert [fault.reason for fault in talk.events if isinstance(fault, Fault)] == ["login in the clear"]
    assert not hasattr(talk.engine, "authenticated")
    assert not hasattr(talk.engine, "identity")


def test_auth_with_an_initial_response() -> None:
    """It is decoded; ``=`` is the empty one (RFC 5034 §4)."""
    for argument, initial in ((b"PLAIN AGEAYg==", b"\0a\0b"), (b"plain =", b""), (b"PLAIN", None)):
        talk = secure(auth_mechanisms=AUTH)
        assert talk.say(b"AUTH " + argument + b"\r\n") == b""
        assert talk.events == [AuthRequested("PLAIN", initial)]
        engine_of(talk).authenticated("a")
        assert talk.run() == b"+OK Logged in\r\n"
        assert talk.engine.state is State.TRANSACTION


def test_auth_with_challenges() -> None:
    """``+`` and base64 there, base64 back (RFC 5034 §4)."""
    talk = secure(auth_mechanisms=AUTH)
    talk.say(b"AUTH LOGIN\r\n")
    engine_of(talk).challenge(b"User Name")
    assert talk.run() == b"+ VXNlciBOYW1l\r\n"
    talk.say(b"YQ==\r\n")
    assert talk.events[-1] == AuthResponse(b"a")
    engine_of(talk).challenge(b"")
    assert talk.run() == b"+ \r\n"
    talk.say(b"\r\n")
    assert talk.events[-1] == AuthResponse(b"")
    talk.engine.answer(reply.AUTH_FAILED)
    assert talk.run() == reply.AUTH_FAILED.octets
    assert talk.engine.state is State.AUTHORIZATION


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (b"*\r\n", reply.AUTH_CANCELLED),
        (b"a\r\n", reply.AUTH_BASE64),
        (b"YQ== YQ==\r\n", reply.AUTH_BASE64),
        (b"QUIT\r\nCAPA\r\n", None),
        (b"A" * 12289 + b"\r\n", reply.AUTH_TOO_LONG),
        (b"Y\nQ\r\n", reply.BARE_LINE_END),
    ],
)
def test_an_exchange_that_breaks_off_is_over(line: bytes, refusal: reply.Reply | None) -> None:
    """It is cancelled with one -ERR (RFC 5034 §4); a command inside it is a response, not a command."""
    talk = secure(auth_mechanisms=AUTH)
    talk.say(b"AUTH PLAIN\r\n")
    engine_of(talk).challenge(b"")
    talk.run()
    said = talk.say(line)
    if refusal is None:
        assert talk.events[-1] == AuthResponse(b"AB\x13")
        assert talk.engine.state is State.AUTHENTICATING
        return
    assert said == refusal.octets
    assert talk.of(AuthCancelled)
    assert talk.engine.state is State.AUTHORIZATION
    assert all(fault.line == b"***" for fault in talk.events if isinstance(fault, Fault))


def test_a_response_may_be_as_long_as_a_mechanism_needs() -> None:
    """12288 octets are taken (RFC 5034 §4), in the exchange and behind AUTH; other commands stay short."""
    talk = secure(auth_mechanisms=AUTH)
    talk.say(b"AUTH PLAIN " + b"QUFB" * 3000 + b"\r\n")
    assert talk.events == [AuthRequested("PLAIN", b"AAA" * 3000)]
    engine_of(talk).challenge(b"")
    talk.say(b"QUFB" * 3072 + b"\r\n")
    assert talk.events[-1] == AuthResponse(b"AAA" * 3072)


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        (b"AUTH NTLM", reply.AUTH_MECHANISM),
        (b"AUTH SCRAM-SHA-256-PLUS", reply.AUTH_MECHANISM),
        (b"AUTH PLAIN a b", reply.SYNTAX),
        (b"AUTH PLAIN !", reply.AUTH_BASE64),
        (b"AUTH PLAIN A", reply.AUTH_BASE64),
        (b"AUTH  ,", reply.SYNTAX),
    ],
)
def test_auth_that_cannot_be_begun(line: bytes, refusal: reply.Reply) -> None:
    """Unknown, not offered without a binding, or unreadable: one -ERR, and no credentials in the fault."""
    talk = secure(auth_mechanisms=AUTH, binding=False)
    assert talk.say(line + b"\r\n") == refusal.octets
    assert [fault.line for fault in talk.events if isinstance(fault, Fault)] == [b"AUTH ***"]


def test_auth_without_a_word_lists_the_mechanisms() -> None:
    """As clients older than CAPA ask."""
    assert secure(auth_mechanisms=("PLAIN", "LOGIN")).say(b"AUTH\r\n") == b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n"
    assert secure().say(b"AUTH\r\n") == reply.NOT_SUPPORTED.octets


def test_a_client_that_leaves_in_mid_exchange_cancels_it() -> None:
    """The service hears of it before the end."""
    talk = secure(auth_mechanisms=AUTH)
    talk.say(b"AUTH PLAIN\r\n")
    engine_of(talk).challenge(b"")
    talk.hang_up()
    assert talk.events[-2:] == [AuthCancelled(), Ended("connection lost")]


def test_a_login_is_accepted_only_while_it_waits_and_for_somebody() -> None:
    """Our own misuse is told."""
    talk = secure(silent=True, auth_mechanisms=AUTH)
    engine = engine_of(talk)
    with pytest.raises(LocalProtocolError):
        engine.authenticated("alice")
    with pytest.raises(LocalProtocolError):
        engine.challenge(b"")
    talk.say(b"USER alice\r\nPASS secret\r\n")
    with pytest.raises(LocalProtocolError):
        engine.authenticated("")
    with pytest.raises(LocalProtocolError):
        engine.authenticated("alice", reply.AUTH_FAILED)
    with pytest.raises(LocalProtocolError):
        engine.challenge(b"")
    with pytest.raises(LocalProtocolError):
        engine.answer(reply.OK)
    engine.authenticated("alice")


def test_utf8_is_said_before_the_login() -> None:
    """It is remembered, and refused afterwards (RFC 6856 §2), and where it is not offered."""
    talk = secure()
    assert not engine_of(talk).utf8
    assert talk.say(b"UTF8\r\n").startswith(b"+OK")
    assert engine_of(talk).utf8
    talk.say(b"USER alice\r\nPASS secret\r\n")
    assert talk.say(b"UTF8\r\n") == reply.NOT_NOW.octets
    assert secure().say(b"UTF8 x\r\n") == reply.SYNTAX.octets
    assert secure(utf8=False).say(b"UTF8\r\n") == reply.NOT_SUPPORTED.octets


def test_external_is_offered_where_the_profile_has_it() -> None:
    """A listener gives that profile to a client whose certificate is somebody's."""
    talk = secure(auth_mechanisms=("EXTERNAL", "PLAIN"))
    assert b"SASL EXTERNAL PLAIN\r\n" in talk.say(b"CAPA\r\n")
    talk.say(b"AUTH EXTERNAL =\r\n")
    assert talk.events == [AuthRequested("EXTERNAL", b"")]
    assert secure(auth_mechanisms=("PLAIN",)).say(b"AUTH EXTERNAL =\r\n") == reply.AUTH_MECHANISM.octets


def test_an_exchange_survives_no_fault_in_its_first_line() -> None:
    """What cannot be decoded behind AUTH begins nothing: the next line is a command."""
    talk = secure(auth_mechanisms=AUTH)
    assert talk.say(b"AUTH PLAIN =AAA\r\nAUTH PLAIN AAA=BBB\r\n").count(b"-ERR") == 2
    assert talk.say(b"CAPA\r\n").startswith(b"+OK")
