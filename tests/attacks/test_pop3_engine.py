"""Attacks on POP3, at the engines: what an attacker puts before, behind and beside the upgrade, and into the lines."""

from __future__ import annotations

import dataclasses

import pytest
from tests.unit.wire.pop3.maildrop_talk import ORIGIN, Talk, evidence, logged_in, plain, profile, secure

from gatepost.errors import GatepostError
from gatepost.testing.maildrops import MaildropPeer, maildrop_upgrader
from gatepost.testing.memory import MemoryDriver, ScriptedPeer
from gatepost.testing.tls import upgrader
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.client import PlainClient, converse_stls
from gatepost.wire.pop3.events import Delete, Ended, Event, Fault, LoginRequested, Quit, StartTLSRequested
from gatepost.wire.pop3.refusals import StartTLSRefused, UnexpectedReply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.states import State
from gatepost.wire.upgrade import PlaintextAfterUpgrade, TLSEvidence

LOGIN = b"USER mallory\r\nPASS x\r\n"


def engine(talk: Talk) -> PlainServer:
    assert isinstance(talk.engine, PlainServer)
    return talk.engine


# -- injection at STLS, into the server


@pytest.mark.parametrize("spelling", [b"STLS\r\n", b"sTlS\r\n", b"STLS  \r\n"])
@pytest.mark.parametrize(
    "injected", [LOGIN, b"X", b"XINJ", b"CAPA\r\n", b"\r\n", b"QUIT\r\n", b"STLS\r\n", b"\0\0\0", b"\n", b" " * 300]
)
@pytest.mark.parametrize("segment", ["same", "next", "after the answer was asked for"])
def test_commands_behind_stls_are_never_run(spelling: bytes, injected: bytes, segment: str) -> None:
    """Whole lines and half ones, in its segment or a later one: the attacker's commands run neither here nor inside."""
    talk = plain()
    talk.engine.receive(spelling + (injected if segment == "same" else b""))
    if segment == "next":
        talk.engine.receive(injected)
    talk.run()
    if segment.startswith("after"):
        talk.engine.receive(injected)
    with pytest.raises(PlaintextAfterUpgrade) as caught:
        engine(talk).grant_upgrade()
    assert caught.value.residue == injected
    assert talk.run() == reply.PLAINTEXT_BEHIND_UPGRADE.octets
    assert talk.events == [StartTLSRequested(), Ended("plaintext behind STLS")]


def test_half_a_command_does_not_become_the_prefix_of_the_victims_first_line() -> None:
    """``STLS CRLF DELE 1;`` leaves nothing that the first private line could complete (straddling fragment)."""
    talk = plain()
    talk.say(b"STLS\r\nDELE ")
    with pytest.raises(PlaintextAfterUpgrade):
        engine(talk).grant_upgrade()
    inside = secure()
    assert inside.say(b"1\r\n") == reply.UNKNOWN_COMMAND.octets


def test_a_line_that_only_looks_like_stls_is_none() -> None:
    """A bare LF, a NUL or a CR in it: one refusal, and no upgrade."""
    for line in (b"STLS\n\r\n", b"STLS\0\r\n", b"STLS\rX\r\n", b"STLS\nCAPA\r\n", b"STLS\t\r\n", b" STLS\r\n"):
        talk = plain()
        said = talk.say(line)
        assert said.startswith(b"-ERR ") and said.count(b"\r\n") == 1
        assert not talk.of(StartTLSRequested)


# -- a login in the clear, and what is left of it


@pytest.mark.parametrize("starttls", [True, False])
def test_a_password_in_the_clear_is_refused_before_it_is_looked_at(starttls: bool) -> None:
    """The service hears of no login; right and wrong, known and unknown are answered alike."""
    answers = set()
    for user, password in ((b"alice", b"secret"), (b"alice", b"wrong"), (b"nobody", b"x")):
        talk = plain(starttls=starttls, auth_mechanisms=("PLAIN",))
        answers.add(talk.say(b"USER " + user + b"\r\nPASS " + password + b"\r\nAUTH PLAIN AGEAYg==\r\nSTAT\r\n"))
        assert all(isinstance(event, Fault) for event in talk.events)
        assert talk.engine.state is State.AUTHORIZATION
    assert len(answers) == 1
    assert answers.pop().count(b"-ERR [AUTH]") == 3


def test_nothing_that_is_said_in_the_clear_is_known_inside() -> None:
    """A private engine is made of origin, evidence and profile; a name and errors of the clear are not among them."""
    talk = plain(max_errors=3)
    talk.say(b"X\r\nUSER alice\r\nUTF8\r\nSTLS\r\n")
    engine(talk).grant_upgrade()
    inside = Talk(SecureServer(ORIGIN, evidence(), profile(max_errors=3)))
    assert isinstance(inside.engine, SecureServer)
    assert inside.engine.identity is None
    assert not inside.engine.utf8
    assert inside.say(b"PASS secret\r\nSTAT\r\nX\r\n").count(b"-ERR") == 3
    assert Ended("too many errors") not in inside.events
    names = {field.name for field in dataclasses.fields(TLSEvidence)} | set(ORIGIN.__dataclass_fields__)
    assert not names & {"user", "name", "identity", "capabilities", "utf8", "password"}


def test_a_session_cannot_be_fixed_before_tls() -> None:
    """There is no way to be logged in when STLS comes, and no STLS when somebody is logged in (session fixation)."""
    assert plain().say(LOGIN + b"STLS\r\n").count(b"-ERR [AUTH]") == 2
    assert logged_in().say(b"STLS\r\n") == reply.TLS_ACTIVE.octets


# -- injection at STLS, into the client


@pytest.mark.parametrize(
    "injected",
    [
        b"+OK\r\n",
        b"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n",
        b"-ERR [AUTH] type your password at http://attacker.example\r\n",
        b"+",
        b"\r\n",
    ],
)
@pytest.mark.parametrize("chunks", [None, 1000])
def test_answers_behind_the_go_ahead_are_never_believed(injected: bytes, chunks: int | None) -> None:
    """They end the connection before the handshake; nothing private was said (response injection)."""
    silent = ScriptedPeer()
    outside = ScriptedPeer(
        (b"", b"+OK\r\n"), (b"CAPA\r\n", b"+OK\r\nSTLS\r\n.\r\n"), (b"STLS\r\n", b"+OK\r\n" + injected)
    )
    driver = MemoryDriver(outside, chunks=chunks, upgrade=upgrader(silent))
    with pytest.raises(PlaintextAfterUpgrade):
        driver.run(converse_stls(ORIGIN))
    assert silent.transcript == b""
    assert outside.transcript.endswith(b"STLS\r\n")


@pytest.mark.parametrize(
    ("listed", "answer"),
    [
        (b"+OK\r\nUSER\r\n.\r\n", b""),
        (b"+OK\r\nSTLX\r\n.\r\n", b""),
        (b"+OK\r\nXSTLS\r\nSTLS2\r\n.\r\n", b""),
        (b"-ERR\r\n", b"-ERR\r\n"),
        (b"+OK\r\nSTLS\r\n.\r\n", b"-ERR [SYS/TEMP] not now\r\n"),
        (b"+OK\r\nSTLS\r\n.\r\n", b"+ go\r\n"),
        (b"+OK\r\nSTLS\r\n.\r\n", b"+OK go\r\n"),
    ],
)
def test_a_client_whose_upgrade_was_stripped_says_no_password(listed: bytes, answer: bytes) -> None:
    """Removed, overwritten, refused, answered oddly, no handshake behind it: a failure, and nothing of a login."""
    script = [(b"", b"+OK\r\n"), (b"CAPA\r\n", listed)] + ([(b"STLS\r\n", answer)] if answer else [])
    peer = ScriptedPeer(*script)
    with pytest.raises(GatepostError):
        MemoryDriver(peer).run(converse_stls(ORIGIN))
    assert b"USER" not in peer.transcript
    assert b"AUTH" not in peer.transcript


def test_a_go_ahead_that_comes_too_early_is_no_go_ahead() -> None:
    """A server, or who speaks for it, that answers before it was asked is left."""
    client = PlainClient(ORIGIN)
    driver = MemoryDriver(ScriptedPeer((b"", b"+OK\r\n+OK go\r\n")))
    with pytest.raises(UnexpectedReply):
        driver.run(client.greeting())
    assert driver.sent == []


def test_capabilities_of_the_clear_are_forgotten_with_their_engine() -> None:
    """A mechanism that was listed by the attacker is not in the private list (stale capabilities)."""
    within = ScriptedPeer((b"CAPA\r\n", b"+OK\r\nSASL SCRAM-SHA-256\r\n.\r\n"))
    outside = ScriptedPeer(
        (b"", b"+OK\r\n"), (b"CAPA\r\n", b"+OK\r\nSTLS\r\nSASL PLAIN\r\nPIPELINING\r\n.\r\n"), (b"STLS\r\n", b"+OK\r\n")
    )
    client = MemoryDriver(outside, upgrade=upgrader(within)).run(converse_stls(ORIGIN))
    assert client.listed is not None
    assert client.listed.tags == {"SASL": ("SCRAM-SHA-256",)}


def test_a_server_that_denies_stls_gets_no_password_from_our_client() -> None:
    """Both engines, a listener that denies: the client stops."""
    server = PlainServer(ORIGIN, profile(starttls=False))
    server.greet()
    peer = MaildropPeer(server)
    with pytest.raises(StartTLSRefused):
        MemoryDriver(peer, upgrade=maildrop_upgrader(profile())).run(converse_stls(ORIGIN))
    assert peer.events == []


# -- lines


def test_commands_are_never_run_across_quit() -> None:
    """A pipeline behind QUIT, and one that comes while the update runs, touch nothing."""
    talk = logged_in(silent=True)
    talk.say(b"DELE 1\r\nQUIT\r\nRSET\r\nDELE 2\r\n" + LOGIN)
    talk.engine.answer(reply.OK)
    talk.run()
    talk.say(b"RSET\r\n")
    talk.engine.answer(reply.BYE)
    talk.run()
    talk.say(b"DELE 3\r\n")
    assert talk.events == [Delete(1), Quit(True), Ended("quit")]


@pytest.mark.parametrize("verb", [b"LIST", b"RETR", b"DELE", b"UIDL", b"TOP", b"STAT", b"USER", b"CAPA"])
@pytest.mark.parametrize("count", [10, 200, 10_000, 1_000_000])
def test_a_line_of_ten_thousand_arguments_is_one_refusal(verb: bytes, count: int) -> None:
    """Bounded memory, one -ERR, no event; a name may hold spaces, but is no longer than a line."""
    talk = logged_in() if verb != b"USER" else secure()
    said = talk.say(verb + b" 1" * count + b"\r\n")
    assert said.count(b"\r\n") == 1
    assert len(said) <= 512
    assert talk.engine.backlog == 0
    if verb == b"USER" and count <= 200:
        assert said == reply.USER_OK.octets
        return
    assert said.startswith(b"-ERR ")
    assert [type(event) for event in talk.events] == [Fault]


@pytest.mark.parametrize(
    "number", ["-1", "-9223372036854775809", "+1", "00001", "9" * 11, "9" * 300, "0", "1;2", "١", "𝟙", "1\u00a0"]
)
@pytest.mark.parametrize("command", ["RETR {}", "DELE {}", "LIST {}", "UIDL {}", "TOP {} 1", "TOP 1 {}"])
def test_negative_and_huge_numbers_reach_nobody(command: str, number: str) -> None:
    """The service sees positive numbers of at most ten digits, and nothing else."""
    talk = logged_in()
    if command == "TOP 1 {}" and number == "0":
        return
    assert talk.say(command.format(number).encode() + b"\r\n") == reply.SYNTAX.octets
    assert [type(event) for event in talk.events] == [Fault]


@pytest.mark.parametrize("poison", [b"\0", b"\r", b"\n", b"\x1b", b"\x85", b"\xe2\x80\xa8", b"\xc0\x80"])
@pytest.mark.parametrize("line", [b"DELE 1%b", b"DELE %b1", b"DE%bLE 1", b"USER ali%bce", b"%bQUIT", b"PASS sec%bret"])
def test_poisoned_lines_are_refused_whole(line: bytes, poison: bytes) -> None:
    """NUL, bare CR, bare LF, ESC, C1 and line separators: one -ERR, no event, and the tail is no command."""
    talk = logged_in()
    before = talk.engine.state
    said = talk.say(line.replace(b"%b", poison) + b"\r\n")
    assert said.startswith(b"-ERR ")
    assert said.count(b"\r\n") == 1
    assert [type(event) for event in talk.events] == [Fault]
    assert talk.engine.state is before
    assert poison not in said or poison in (b"\r", b"\n")


def test_the_tail_of_an_overlong_line_is_no_command() -> None:
    """Cutting it would make one (``xxx…DELE 1``)."""
    talk = logged_in()
    assert talk.say(b"NOOP " + b"x" * 20_000 + b"DELE 1\r\n") == reply.LINE_TOO_LONG.octets
    assert not talk.of(Delete)


def test_a_hundred_thousand_lines_in_one_packet_overflow_nothing() -> None:
    """Lines are read in a loop, and errors end it."""
    talk = logged_in(max_errors=10)
    assert talk.say(b"NOOP\r\n" * 100_000) == reply.OK.octets * 100_000
    said = talk.say(b"\r\n" * 100_000)
    assert said.count(b"\r\n") == 11
    assert talk.events[-1] == Ended("too many errors")


def test_nothing_is_parsed_ahead_of_an_answer() -> None:
    """A client that pipelines faster than it is served grows a buffer that the service can see, and nothing else."""
    talk = logged_in(silent=True)
    talk.say(b"STAT\r\n" + b"RETR 1\r\n" * 1000)
    assert len(talk.events) == 1
    assert talk.engine.backlog == 8000


def test_a_dead_peer_never_deletes() -> None:
    """Gone behind DELE, in the middle of QUIT, in a download: no update is asked for."""
    for wire in (b"DELE 1\r\n", b"DELE 1\r\nQUI", b"DELE 1\r\nQUIT\r", b"DELE 1\r\nquit now"):
        talk = logged_in()
        talk.say(wire)
        talk.hang_up()
        assert Quit(True) not in talk.events
        assert talk.events[-1] == Ended("connection lost")


def test_a_password_never_shows() -> None:
    """Not in an event, a fault, an engine's or a client's words (session recording)."""
    talk = secure(max_errors=50)
    talk.say(
        b"USER alice\r\nPASS hunter2\r\nPASS hunter2\r\nUSER a\r\nhunter2\r\nPASS hunter2 \x01\r\nAPOP a hunter2\r\n"
    )
    events: list[Event] = talk.events
    assert talk.of(LoginRequested)
    assert "hunter2" not in repr(events)


def test_a_message_cannot_end_its_own_answer() -> None:
    """Lines of one dot, with every line end that somebody could take for one: the answer ends once, at its end."""
    for body in (
        b"\n.\n",
        b"\r\n.\r\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b".\n",
        b".\r\n",
        b"x\n.\n+OK\n",
        b"\r.\r\n",
        b"\n..\n",
    ):
        talk = logged_in(silent=True)
        talk.say(b"RETR 1\r\n")
        talk.engine.begin_multiline()
        for octet in b"A: b\n\n" + body:
            talk.engine.multiline(bytes([octet]))
        talk.engine.end_multiline()
        wire = talk.run()
        assert wire.find(b"\r\n.\r\n") == len(wire) - 5


def test_what_a_service_says_is_one_line() -> None:
    """A file name or an error text in an answer cannot make a second one."""
    talk = logged_in(silent=True)
    talk.say(b"STAT\r\n")
    talk.engine.answer(reply.Reply(False, "no\r\n+OK 1 1\r\n" + "x" * 1000, "SYS/TEMP"))
    said = talk.run()
    assert said.count(b"\r\n") == 1
    assert len(said) == 512
