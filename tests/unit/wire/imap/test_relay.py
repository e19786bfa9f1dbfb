"""With a server behind: what passes is unchanged, and what is believed was asked for."""

from __future__ import annotations

import sys

import pytest
from tests.unit.wire.imap.imap_talk import ORIGIN, PROFILE, answer, events_of, hear, relay

from gatepost.errors import LocalProtocolError
from gatepost.testing.tls import evidence
from gatepost.wire.imap.client import Opening
from gatepost.wire.imap.events import Ended, Fault, LoggedIn, LoginFailed, UpgradeAgreed
from gatepost.wire.imap.passing import PassingServer
from gatepost.wire.imap.relay import ClearServer, SecureServer
from gatepost.wire.imap.states import State
from gatepost.wire.upgrade import Origin, PlaintextAfterUpgrade, Role

SERVER = Origin(("192.0.2.9", 143), ("192.0.2.2", 50000), "backend:mail", 0.0, "server")


def test_waits_for_its_server() -> None:
    """What is said before the server is there is read when it is."""
    engine = ClearServer(ORIGIN, PROFILE, logins=True)
    assert hear(engine, b"a NOOP\r\n") == []
    assert engine.to_server() == b""
    assert not engine.expects_client
    engine.opened(Opening(b"", (b"IMAP4rev1",)), greet=False)
    events_of(engine)
    assert engine.to_server() == b"a NOOP\r\n"


def test_greets_with_the_servers_words() -> None:
    """The server's greeting is the client's, but for what cannot pass."""
    engine = ClearServer(ORIGIN, PROFILE, logins=True)
    line = b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] Dovecot ready.\r\n"
    engine.opened(Opening(line, (b"IMAP4rev1", b"STARTTLS", b"AUTH=PLAIN")), greet=True)
    assert engine.outgoing() == b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] Dovecot ready.\r\n"
    with pytest.raises(LocalProtocolError):
        engine.opened(Opening(b"", ()), greet=True)


def test_greets_in_our_words_where_the_server_spoke_before_tls() -> None:
    """A greeting that was heard in the clear is nobody's."""
    engine = ClearServer(ORIGIN, PROFILE, logins=True)
    engine.opened(Opening(b"", (b"IMAP4rev1", b"COMPRESS=DEFLATE", b"ID")), greet=True)
    assert engine.outgoing() == b"* OK [CAPABILITY IMAP4rev1 ID] mx.example.test IMAP ready\r\n"


@pytest.mark.parametrize(
    ("login", "asked", "who"),
    [
        (b'L LOGIN "bo\\"b" pw\r\n', b"", LoggedIn('bo"b', "LOGIN")),
        (b"L LOGIN bob {2}\r\n", b"pw\r\n", LoggedIn("bob", "LOGIN")),
        (b"L LOGIN {3+}\r\nbob {2+}\r\npw\r\n", b"", LoggedIn("bob", "LOGIN")),
        (b"L AUTHENTICATE PLAIN AGJvYgBwdw==\r\n", b"", LoggedIn("bob", "PLAIN")),
        (b"L AUTHENTICATE PLAIN\r\n", b"AGJvYgBwdw==\r\n", LoggedIn("bob", "PLAIN")),
        (b"L AUTHENTICATE PLAIN ====\r\n", b"", LoggedIn("", "PLAIN")),
        (b"L AUTHENTICATE PLAIN AGJvY\r\n", b"", LoggedIn("", "PLAIN")),
        (b"L AUTHENTICATE cGxhaW4\r\n", b"", LoggedIn("", "unknown")),
        (b"L AUTHENTICATE SCRAM-SHA-256 biwsbj1ib2I=\r\n", b"x\r\n", LoggedIn("", "SCRAM-SHA-256")),
    ],
)
def test_sees_logins(login: bytes, asked: bytes, who: LoggedIn) -> None:
    """The server's OK is a login, and whose it is said to be is told."""
    engine = relay()
    assert hear(engine, login) == []
    if asked:
        answer(engine, b"+ \r\n")
        hear(engine, asked)
    assert engine.state is State.LOGGING_IN
    assert answer(engine, b"L OK [CAPABILITY IMAP4rev1] in\r\n") == [who]
    assert engine.authenticated
    assert engine.to_server() == login + asked


def test_sees_failed_logins() -> None:
    """A NO is a failure; a BAD is a mistake; after both somebody may try again."""
    engine = relay()
    hear(engine, b"a LOGIN bob wrong\r\n")
    assert answer(engine, b"a NO [AUTHENTICATIONFAILED] no\r\n") == [LoginFailed("bob", "LOGIN")]
    hear(engine, b"b LOGIN bob\r\n")
    assert answer(engine, b"b BAD what\r\n") == []
    assert engine.state is State.NOT_AUTHENTICATED


def test_begins_no_command_before_a_login_is_answered() -> None:
    """What follows a LOGIN waits, so that its meaning is known."""
    engine = relay()
    hear(engine, b"a LOGIN bob pw\r\nb SELECT INBOX\r\n")
    assert engine.to_server() == b"a LOGIN bob pw\r\n"
    answer(engine, b"a OK in\r\n")
    assert engine.to_server() == b"b SELECT INBOX\r\n"


@pytest.mark.parametrize("command", [b"COMPRESS DEFLATE", b"STARTTLS", b"UNAUTHENTICATE", b"XCLIENT ADDR=1.2.3.4"])
def test_refuses_what_would_make_it_blind(command: bytes) -> None:
    """The command is answered, and the server does not hear of it."""
    engine = relay(authenticated=True)
    (fault,) = hear(engine, b"c " + command + b"\r\n")
    assert isinstance(fault, Fault)
    assert engine.outgoing().startswith(b"c BAD ")
    assert engine.to_server() == b""


@pytest.mark.parametrize("mechanism", [b"EXTERNAL", b"SCRAM-SHA-256-PLUS", b"external =", b'"EXTERNAL"'])
def test_refuses_mechanisms_that_do_not_pass(mechanism: bytes) -> None:
    """Whoever authenticates with the gate's certificate would be the gate."""
    engine = relay()
    hear(engine, b"c AUTHENTICATE " + mechanism + b"\r\nd NOOP\r\n")
    assert engine.outgoing().startswith(b"c NO [CANNOT]")
    assert engine.to_server() == b"d NOOP\r\n"


def test_own_answers_wait_for_the_end_of_a_response() -> None:
    """Nothing of ours stands inside a literal."""
    engine = relay(authenticated=True)
    hear(engine, b"a FETCH 1 BODY[]\r\n")
    answer(engine, b"* 1 FETCH (BODY[] {4}\r\nab")
    hear(engine, b"b COMPRESS DEFLATE\r\n")
    assert engine.outgoing() == b"* 1 FETCH (BODY[] {4}\r\nab"
    answer(engine, b"cd)\r\n")
    assert engine.outgoing() == b"cd)\r\nb BAD No compression through this gate\r\n"


def test_refuses_long_literals_before_a_login() -> None:
    """Before a login literals have a bound, behind it they have none."""
    engine = relay()
    hear(engine, b"a LOGIN {9000}\r\nb LOGIN bob {8000}\r\n")
    assert engine.outgoing().startswith(b"a NO [TOOBIG]")
    assert engine.to_server() == b"b LOGIN bob {8000}\r\n"
    engine = relay(authenticated=True)
    hear(engine, b"a APPEND x {52428800}\r\n")
    assert engine.to_server() == b"a APPEND x {52428800}\r\n"


def test_a_second_literal_beyond_the_bound_ends_it() -> None:
    """The server has half of the command: there is no way back."""
    engine = relay()
    hear(engine, b"a LOGIN {8000}\r\n")
    answer(engine, b"+ go\r\n")
    events = hear(engine, b"x" * 8000 + b" {8000}\r\n")
    assert events == [Ended("literal refused")]


def test_literals_unasked_pass_where_the_server_takes_them() -> None:
    """A server that does not list LITERAL+ would read the literal as commands."""
    engine = relay(Opening(b"", (b"IMAP4rev1",)))
    hear(engine, b"a LOGIN {3+}\r\nbob {2+}\r\npw\r\nb NOOP\r\n")
    assert engine.outgoing().startswith(b"a BAD ")
    assert engine.to_server() == b"b NOOP\r\n"
    answer(engine, b"* CAPABILITY IMAP4rev1 LITERAL-\r\nb OK x\r\n")
    hear(engine, b"c LOGIN {3+}\r\nbob {2+}\r\npw\r\n")
    assert engine.to_server() == b"c LOGIN {3+}\r\nbob {2+}\r\npw\r\n"


def test_idle_is_the_clients_turn() -> None:
    """While the client idles nothing is asked of the server, and what the server says passes."""
    engine = relay(authenticated=True)
    hear(engine, b"a IDLE\r\n")
    assert not engine.expects_client
    answer(engine, b"+ idling\r\n* 4 EXISTS\r\n")
    assert engine.idling
    assert engine.expects_client
    hear(engine, b"DONE\r\n")
    assert not engine.idling
    assert not engine.expects_client
    answer(engine, b"a OK done\r\n")
    assert engine.expects_client
    assert engine.to_server() == b"a IDLE\r\nDONE\r\n"


@pytest.mark.parametrize(
    "said",
    [b"x OK early\r\n", b"* PREAUTH in\r\n", b"* OK " + b"x" * 70000, b"* 1 FETCH (X {-1}\r\n"],
)
def test_a_server_that_breaks_the_protocol_is_left(said: bytes) -> None:
    """An answer to what was not asked, a PREAUTH, endless statuses: the conversation is over."""
    engine = relay()
    (end,) = answer(engine, said)
    assert isinstance(end, Ended)
    assert end.reason.startswith("server: ")
    assert engine.outgoing() == b"* BYE [UNAVAILABLE] The server behind broke the protocol\r\n"
    assert not engine.authenticated


def test_success_of_half_a_command_is_not_believed() -> None:
    """An OK to a LOGIN whose password was not sent yet is nobody's."""
    engine = relay()
    hear(engine, b"a LOGIN bob {6}\r\n")
    (end,) = answer(engine, b"a OK in\r\n")
    assert isinstance(end, Ended)
    assert not engine.authenticated


def test_another_commands_success_is_no_login() -> None:
    """A LOGIN under the tag of a command that is not answered is refused: nobody could tell the answers apart."""
    engine = relay()
    hear(engine, b"a NOOP\r\na LOGIN bob wrong\r\n")
    assert engine.outgoing() == b"a BAD That tag is in use\r\n"
    assert answer(engine, b"a OK done\r\n") == []
    assert engine.to_server() == b"a NOOP\r\n"
    assert not engine.authenticated


def test_errors_are_counted_in_a_row_behind_a_login() -> None:
    """Long sessions do not end by small faults that add up; a row of them does."""
    engine = relay(authenticated=True)
    for _ in range(30):
        hear(engine, b"\r\na NOOP\r\n")
        answer(engine, b"a OK\r\n")
    assert not engine.over
    assert hear(engine, b"\r\n" * 20)[-1] == Ended("too many errors")


def test_logout_ends_it() -> None:
    """The server's BYE and its answer pass, commands behind LOGOUT do not."""
    engine = relay(authenticated=True)
    hear(engine, b"a LOGOUT\r\nb NOOP\r\n")
    assert engine.to_server() == b"a LOGOUT\r\n"
    assert answer(engine, b"* BYE bye\r\na OK done\r\n") == [Ended("logout")]
    assert engine.outgoing() == b"* BYE bye\r\na OK done\r\n"


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (b"", b"* BYE [UNAVAILABLE] gone\r\n"),
        (b"* BYE later\r\n", b"* BYE later\r\n"),
        (b"* 1 EXISTS\r\n* 2 EX", b"* 1 EXISTS\r\n* BYE [UNAVAILABLE] gone\r\n"),
        (b"* 1 FETCH (BODY[] {9}\r\nab", b"* 1 FETCH (BODY[] {9}\r\nab"),
    ],
)
def test_a_lost_server_is_told_where_that_is_safe(said: bytes, last: bytes) -> None:
    """A goodbye at the end of a response, never inside one, and none where the server has said one."""
    engine = relay(authenticated=True)
    hear(engine, b"a NOOP\r\n")
    answer(engine, said)
    engine.lost("gone")
    (end,) = events_of(engine)
    assert isinstance(end, Ended)
    assert engine.outgoing() == last


def test_nothing_is_heard_of_a_server_behind_the_end() -> None:
    """A connection that breaks, or a server that goes on talking, adds nothing to a conversation that is over."""
    engine = relay(authenticated=True)
    hear(engine, b"a LOGOUT\r\n")
    assert not engine.farewell
    answer(engine, b"* BYE bye\r\na OK done\r\n")
    assert engine.farewell
    engine.outgoing()
    assert answer(engine, b"* 1 EXISTS\r\n") == []
    engine.lost("gone")
    assert (events_of(engine), engine.outgoing()) == ([], b"")
    late = b"x" * 1000
    held = sys.getrefcount(late)
    engine.receive_from_server(late)
    assert sys.getrefcount(late) == held  # it is not kept


def test_what_a_client_says_that_cannot_be_read_ends_it() -> None:
    """The client is told under its tag; the server hears what was read before, and nothing of the rest."""
    engine = relay(authenticated=True)
    events = hear(engine, b"a NOOP\r\nb NOOP\nc NOOP\r\n")
    assert events == [Fault("bare line feed", b"b NOOP\n"), Ended("bare line feed")]
    assert engine.outgoing().startswith(b"b BAD bare line feed\r\n* BYE ")
    assert engine.to_server() == b"a NOOP\r\n"


def test_logins_pass_inside_tls() -> None:
    """With the evidence of the handshake at hand for whoever judges them."""
    engine = SecureServer(ORIGIN, proof := evidence(), PROFILE)
    assert engine.evidence is proof
    engine.opened(Opening(b"", (b"IMAP4rev1",)), greet=False)
    hear(engine, b"a LOGIN bob pw\r\n")
    assert answer(engine, b"a OK in\r\n") == [LoggedIn("bob", "LOGIN")]


def test_a_command_behind_a_refused_literal_passes() -> None:
    """The server wants no literal, so the client's next line is a command: both take it for one."""
    engine = relay(authenticated=True)
    hear(engine, b"a APPEND x {9}\r\n")
    answer(engine, b"a NO full\r\n")
    hear(engine, b"b NOOP\r\n")
    assert engine.to_server() == b"a APPEND x {9}\r\nb NOOP\r\n"
    assert engine.pending == 1


def test_a_client_that_leaves_inside_a_command_is_not_waited_for() -> None:
    """The server would wait for the rest of it for ever, whatever else it has to answer."""
    engine = relay(authenticated=True)
    hear(engine, b"a NOOP\r\nb APPEND x {9+}\r\nabc")
    engine.receive_eof()
    assert events_of(engine) == [Ended("connection lost")]


def test_a_client_that_is_done_gets_its_answers() -> None:
    """At the end of the client's stream what was asked is answered, then it is over."""
    engine = relay(authenticated=True)
    engine.receive(b"a NOOP\r\n")
    engine.receive_eof()
    assert events_of(engine) == []
    assert answer(engine, b"a OK done\r\n") == [Ended("connection lost")]


def test_pending_commands_have_a_bound() -> None:
    """Beyond it nothing more is read until the server has answered."""
    engine = relay(authenticated=True)
    hear(engine, b"a NOOP\r\n" * 1000)
    assert engine.pending == 256
    assert engine.backlog == (1000 - 256) * 8
    answer(engine, b"a OK x\r\n" * 256)
    assert engine.pending == 256


class TestPassing:
    """STARTTLS that is asked of the server."""

    @pytest.fixture
    def engine(self) -> PassingServer:
        engine = PassingServer(ORIGIN, PROFILE)
        engine.opened(Opening(b"* OK hi\r\n", (b"IMAP4rev1", b"STARTTLS")), greet=True)
        assert engine.outgoing() == b"* OK hi\r\n"
        return engine

    def test_lists_the_servers_starttls(self, engine: PassingServer) -> None:
        """It is the server's to offer; that logins wait for it is ours to say."""
        hear(engine, b"a CAPABILITY\r\n")
        answer(engine, b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN COMPRESS=DEFLATE\r\na OK x\r\n")
        assert engine.outgoing() == b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK x\r\n"

    def test_goes_on_where_the_server_refuses(self, engine: PassingServer) -> None:
        """The server's refusal passes, and the reading goes on."""
        hear(engine, b"a STARTTLS\r\nb NOOP\r\n")
        assert engine.to_server() == b"a STARTTLS\r\n"
        answer(engine, b"a NO not now\r\n")
        assert engine.outgoing() == b"a NO not now\r\n"
        assert engine.to_server() == b"b NOOP\r\n"

    def test_is_spent_where_the_server_agrees(self, engine: PassingServer) -> None:
        """Both sides are handed over, and the server's words are the last in the clear."""
        hear(engine, b"a STARTTLS\r\n")
        assert answer(engine, b"a OK go\r\n") == [UpgradeAgreed()]
        assert engine.outgoing() == b""
        near, early, far = engine.hand_over(SERVER)
        assert (near.role, early, far.role) == (Role.SERVER, None, Role.CLIENT)
        assert engine.outgoing() == b"a OK go\r\n"
        assert engine.state is State.UPGRADED
        with pytest.raises(LocalProtocolError):
            engine.hand_over(SERVER)

    @pytest.mark.parametrize(
        ("client", "server", "role"),
        [(b"b CAPABILITY\r\n", b"", Role.SERVER), (b"", b"* CAPABILITY IMAP4rev1\r\n", Role.CLIENT)],
    )
    def test_lets_no_plaintext_cross(self, engine: PassingServer, client: bytes, server: bytes, role: Role) -> None:
        """Whoever says something behind STARTTLS or its OK: it is not passed on, and nothing is upgraded."""
        hear(engine, b"a STARTTLS\r\n" + client)
        answer(engine, b"a OK go\r\n" + server)
        with pytest.raises(PlaintextAfterUpgrade) as found:
            engine.hand_over(SERVER)
        assert (found.value.role, found.value.residue) == (role, client or server)
        assert engine.outgoing().startswith(b"a BAD ")
        assert engine.state is State.ENDED
        assert engine.to_server() == b"a STARTTLS\r\n"

    def test_waits_for_the_answers_before_it(self, engine: PassingServer) -> None:
        """What was asked before is answered before, so that nothing of it comes behind the go-ahead."""
        hear(engine, b"a NOOP\r\nb STARTTLS\r\n")
        assert engine.to_server() == b"a NOOP\r\n"
        answer(engine, b"a OK\r\n")
        assert engine.to_server() == b"b STARTTLS\r\n"

    def test_knows_no_starttls_behind_a_login(self, engine: PassingServer) -> None:
        """STARTTLS is for those who are nobody yet (RFC 9051 §6.2.1)."""
        hear(engine, b"a LOGIN bob pw\r\n")
        answer(engine, b"a OK in\r\n")
        engine.to_server()
        hear(engine, b"b STARTTLS\r\n")
        assert engine.to_server() == b""

    def test_refuses_logins_in_the_clear(self) -> None:
        """In the clear nobody logs in, whatever the server would say."""
        engine = PassingServer(ORIGIN, PROFILE)
        engine.opened(Opening(b"* OK hi\r\n", (b"IMAP4rev1",)), greet=True)
        hear(engine, b"a LOGIN bob pw\r\nb STARTTLS now\r\n")
        assert engine.to_server() == b""
        assert b"a NO [PRIVACYREQUIRED]" in engine.outgoing()
