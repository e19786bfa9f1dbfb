"""Before TLS the gate answers by itself, and nobody logs in."""

from __future__ import annotations

import pytest
from tests.unit.wire.imap.imap_talk import ORIGIN, PROFILE, events_of, hear

from gatepost.errors import LocalProtocolError
from gatepost.wire.imap.events import Ended, Fault, StartTLSRequested
from gatepost.wire.imap.profile import Profile
from gatepost.wire.imap.server import PlainServer
from gatepost.wire.imap.states import State
from gatepost.wire.upgrade import PlaintextAfterUpgrade

LISTED = b"IMAP4rev1 LITERAL+ IDLE STARTTLS LOGINDISABLED"


@pytest.fixture
def server() -> PlainServer:
    """Greeted."""
    engine = PlainServer(ORIGIN, PROFILE)
    engine.greet()
    assert engine.outgoing() == b"* OK [CAPABILITY %b] mx.example.test IMAP ready\r\n" % LISTED
    return engine


def test_greets_once(server: PlainServer) -> None:
    """There is one greeting."""
    with pytest.raises(LocalProtocolError):
        server.greet()


def test_answers_what_needs_no_server(server: PlainServer) -> None:
    """CAPABILITY, NOOP, ID and LOGOUT are answered, in the order in which they were asked."""
    events = hear(server, b'a CAPABILITY\r\nb NOOP\r\nc ID ("name" "x")\r\nd LOGOUT\r\ne NOOP\r\n')
    assert server.outgoing() == (
        b"* CAPABILITY %b\r\na OK Capability completed\r\nb OK Noop completed\r\n"
        b"* ID NIL\r\nc OK Id completed\r\n* BYE Logging out\r\nd OK Logout completed\r\n" % LISTED
    )
    assert events == [Ended("logout")]


@pytest.mark.parametrize(
    "login",
    [
        b"a LOGIN bob secret\r\n",
        b"a LOGIN {3}\r\n",
        b"a LOGIN {3+}\r\nbob {6+}\r\nsecret\r\n",
        b"a AUTHENTICATE PLAIN\r\n",
        b"a authenticate PLAIN c2VjcmV0\r\n",
    ],
)
def test_refuses_logins_in_the_clear(server: PlainServer, login: bytes) -> None:
    """With [PRIVACYREQUIRED], without a look at who it is, and without asking for the rest (RFC 5530 §3)."""
    (fault,) = hear(server, login)
    assert server.outgoing() == b"a NO [PRIVACYREQUIRED] Logins wait for TLS: STARTTLS\r\n"
    assert isinstance(fault, Fault)
    assert b"secret" not in fault.line
    hear(server, b"b NOOP\r\n")
    assert server.outgoing() == b"b OK Noop completed\r\n"


def test_refuses_everything_else(server: PlainServer) -> None:
    """There is no server behind this conversation."""
    hear(server, b"a SELECT INBOX\r\nb STARTTLS now\r\nc CAPABILITY x\r\nwhat\r\n")
    lines = server.outgoing().splitlines()
    assert [line.split()[1] for line in lines] == [b"BAD"] * 4


def test_counts_errors(server: PlainServer) -> None:
    """Beyond the limit it says goodbye."""
    events = hear(server, b"a SELECT x\r\n" * 20)
    assert events[-1] == Ended("too many errors")
    assert server.outgoing().endswith(b"* BYE Too many errors\r\n")


def test_drops_long_literals(server: PlainServer) -> None:
    """A literal that comes unasked is dropped up to a bound, and behind it the conversation ends."""
    events = hear(server, b"a LOGIN {100000+}\r\n" + b"x" * 9000)
    assert events[-1] == Ended("literal too long")
    assert server.outgoing().startswith(b"* BYE [TOOBIG]")


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_turns_web_browsers_away(server: PlainServer, end: bytes) -> None:
    """The first line of a web request ends it, also where it cannot be read as a line."""
    assert hear(server, b"GET / HTTP/1.1" + end + b"Host: x\r\n\r\n")[-1] == Ended("web request")


def test_what_cannot_be_told_apart_ends_it(server: PlainServer) -> None:
    """A BAD under the command's tag and a goodbye: of what follows nobody knows where a command begins."""
    events = hear(server, b"a NOOP\nb STARTTLS\r\nc STARTTLS\r\n")
    assert events == [Fault("bare line feed", b"a NOOP\n"), Ended("bare line feed")]
    assert server.outgoing() == b"a BAD bare line feed\r\n* BYE Closing: what follows cannot be told apart\r\n"


def test_says_goodbye_once(server: PlainServer) -> None:
    """A service that shuts down what is over already says nothing more."""
    server.shutdown("Shutting down")
    server.shutdown("Shutting down")
    assert server.outgoing() == b"* BYE [UNAVAILABLE] Shutting down\r\n"
    assert events_of(server) == [Ended("shutdown")]


def test_grants_starttls(server: PlainServer) -> None:
    """The OK is queued, the engine is spent, and only the token is left (RFC 9051 §6.2.1)."""
    assert hear(server, b"a starttls\r\n") == [StartTLSRequested()]
    ready, early = server.grant_upgrade()
    assert early is None
    assert ready.spend() is ORIGIN
    assert server.outgoing() == b"a OK Begin TLS now\r\n"
    assert server.state is State.UPGRADED
    with pytest.raises(LocalProtocolError):
        server.receive(b"x")


def test_refuses_starttls_for_now(server: PlainServer) -> None:
    """Where TLS cannot be had the conversation goes on."""
    hear(server, b"a STARTTLS\r\n")
    server.refuse_upgrade()
    hear(server, b"b NOOP\r\n")
    assert server.outgoing() == b"a NO [UNAVAILABLE] TLS is not available now\r\nb OK Noop completed\r\n"


def test_refuses_what_stands_behind_starttls(server: PlainServer) -> None:
    """A BAD in place of the OK, and the end; the octets are evidence and never a command."""
    hear(server, b"a STARTTLS\r\nb CAPABILITY\r\nc LOGIN bob x")
    with pytest.raises(PlaintextAfterUpgrade) as found:
        server.grant_upgrade()
    assert found.value.residue == b"b CAPABILITY\r\nc LOGIN bob x"
    assert server.outgoing() == b"a BAD Octets stood behind STARTTLS\r\n* BYE Closing\r\n"
    assert events_of(server) == [Ended("plaintext behind STARTTLS")]


def test_passes_an_eager_hello_on(server: PlainServer) -> None:
    """What begins as a ClientHello goes to the TLS engine."""
    hear(server, b"a STARTTLS\r\n\x16\x03\x01\x00\x10\x01")
    _, early = server.grant_upgrade()
    assert early is not None
    assert early.open() == b"\x16\x03\x01\x00\x10\x01"


def test_the_end_of_the_stream_ends_it(server: PlainServer) -> None:
    """What came before is still answered."""
    server.receive(b"a NOOP\r\nb NO")
    server.receive_eof()
    assert events_of(server) == [Ended("connection lost")]
    assert server.outgoing() == b"a OK Noop completed\r\n"


@pytest.mark.parametrize("hostname", ["", "a b", "x" * 300, "mx\r\n"])
def test_profiles_are_checked(hostname: str) -> None:
    """What cannot stand in a greeting is refused when the profile is made."""
    with pytest.raises(LocalProtocolError):
        Profile(hostname=hostname)


def test_profiles_have_sensible_limits() -> None:
    """Limits that nobody could log in with are refused."""
    with pytest.raises(LocalProtocolError):
        Profile(hostname="mx", early_line_limit=10)


def test_nothing_is_granted_that_was_not_asked_for(server: PlainServer) -> None:
    """A wrong call is told as one."""
    with pytest.raises(LocalProtocolError):
        server.grant_upgrade()
    with pytest.raises(LocalProtocolError):
        server.refuse_upgrade()


def test_a_literal_for_id_is_not_asked_for(server: PlainServer) -> None:
    """One that waits is refused, one that does not is dropped."""
    hear(server, b'a ID ({4}\r\nb ID ({4+}\r\nname "x")\r\nc LOGOUT now\r\nd NOOP {3+}\r\nabc\r\n')
    answers = [line.split()[:2] for line in server.outgoing().splitlines()]
    assert answers == [[b"a", b"BAD"], [b"*", b"ID"], [b"b", b"OK"], [b"c", b"BAD"], [b"d", b"BAD"]]
