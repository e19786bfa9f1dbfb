"""The server engines: commands, faults, numbers, answers of several lines, ends."""

from __future__ import annotations

import pytest
from tests.unit.wire.pop3.maildrop_talk import ORIGIN, Talk, logged_in, plain, profile, secure, signs
from tests.unit.wire.shown import Shown

from gatepost.errors import LocalProtocolError
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.events import (
    Delete,
    Ended,
    Fault,
    ListAsked,
    Quit,
    Retrieve,
    StatAsked,
    Top,
    UidlAsked,
    Undelete,
)
from gatepost.wire.pop3.reply import Reply
from gatepost.wire.pop3.server import PlainServer, SecureServer
from gatepost.wire.pop3.states import State


def test_greeting_is_said_once_and_offers_no_apop() -> None:
    """One +OK without a timestamp (RFC 1939 §7, APOP); a second time is our own misuse."""
    engine = PlainServer(ORIGIN, profile())
    engine.greet()
    assert engine.outgoing() == b"+OK mx.example.org POP3 gatepost\r\n"
    with pytest.raises(LocalProtocolError):
        engine.greet()


def test_commands_wait_for_the_greeting() -> None:
    """A client that talks first is answered behind the greeting (RFC 1939 §4)."""
    talk = Talk(PlainServer(ORIGIN, profile()))
    assert talk.say(b"CAPA\r\nQUIT\r\n") == b""
    talk.engine.greet()
    assert talk.run().startswith(b"+OK mx.example.org")


def test_capabilities_of_the_clear_list_stls_and_no_login() -> None:
    """Neither USER nor SASL nor UTF8 stands where nobody can log in (RFC 2595 §4)."""
    answer = plain(auth_mechanisms=("PLAIN",)).say(b"CAPA\r\n")
    assert answer.splitlines() == [
        b"+OK Capabilities follow", b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"EXPIRE NEVER",
        b"STLS", b"IMPLEMENTATION gatepost", b".",
    ]  # fmt: skip


def test_capabilities_inside_tls_list_the_logins_and_no_stls() -> None:
    """They differ before and after, PLUS is there only with a channel binding, and no version is told."""
    mechanisms = ("SCRAM-SHA-256-PLUS", "PLAIN")
    answer = secure(auth_mechanisms=mechanisms, login_delay=60, expire=30).say(b"CAPA\r\n")
    assert answer.splitlines()[6:] == [
        b"EXPIRE 30", b"LOGIN-DELAY 60", b"USER", b"SASL SCRAM-SHA-256-PLUS PLAIN", b"UTF8 USER",
        b"IMPLEMENTATION gatepost", b".",
    ]  # fmt: skip
    unbound = secure(auth_mechanisms=mechanisms, binding=False, user_pass=False).say(b"CAPA\r\n")
    assert b"\r\nSASL PLAIN\r\nUTF8\r\n" in unbound
    assert b"USER" not in unbound
    assert b"UTF8" not in secure(utf8=False).say(b"CAPA\r\n")


def test_capabilities_are_told_after_the_login_too() -> None:
    """CAPA is legal in TRANSACTION (RFC 2449 §5)."""
    assert logged_in().say(b"CAPA\r\n") == secure().say(b"CAPA\r\n")


def test_each_command_is_its_event() -> None:
    """What a client asks of the mailbox reaches the service, one at a time and in order."""
    talk = logged_in()
    replies = talk.say(
        b"STAT\r\nLIST\r\nLIST 1\r\nUIDL\r\nUIDL 9999999999\r\nRETR 1\r\nTOP 1 0\r\nTOP 2  10\r\nDELE 1\r\nRSET\r\n"
        b"NOOP\r\nQUIT\r\n"
    )
    assert talk.events == [
        StatAsked(), ListAsked(None), ListAsked(1), UidlAsked(None), UidlAsked(9999999999), Retrieve(1), Top(1, 0),
        Top(2, 10), Delete(1), Undelete(), Quit(True), Ended("quit"),
    ]  # fmt: skip
    assert replies.endswith(b"+OK Done\r\n" * 3 + b"+OK Bye\r\n")


@pytest.mark.parametrize(
    "line",
    [
        b"RETR", b"RETR 0", b"RETR -1", b"RETR +1", b"RETR 01", b"RETR 1 1", b"RETR 1.", b"RETR 0x1", b"RETR 1e3",
        b"RETR 99999999999", b"RETR \xd9\xa1", b"RETR \xc2\xb2", b"RETR 1_0", b"DELE", b"DELE -1", b"DELE 1 2 3",
        b"LIST -1", b"LIST 1 2", b"LIST *", b"LIST 1:3", b"UIDL 0", b"UIDL a", b"TOP", b"TOP 1", b"TOP 1 -1",
        b"TOP -1 1", b"TOP 1 01", b"TOP 0 1", b"TOP 1 2 3", b"TOP 1 99999999999", b"STAT 1", b"RSET 1", b"CAPA x",
        b"LIST " + b"1 " * 500,
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(line: bytes) -> None:
    """One -ERR, one fault, no event, and the state is what it was."""
    talk = logged_in()
    assert talk.say(line + b"\r\n") == reply.SYNTAX.octets
    assert talk.events == [Fault(f"malformed {line[:4].decode().strip()}", line.strip()[:128])]
    assert talk.engine.state is State.TRANSACTION


def test_pipelined_commands_are_answered_in_order() -> None:
    """Nothing behind an event is parsed before its answer, and nothing is lost (RFC 2449 §6.6)."""
    talk = logged_in(silent=True)
    assert talk.say(b"STAT\r\nDELE 1\r\nNOOP\r\n") == b""
    assert talk.events == [StatAsked()]
    assert talk.engine.waiting
    assert talk.engine.backlog == len(b"DELE 1\r\nNOOP\r\n")
    talk.engine.answer(Reply(True, "1 2"))
    assert talk.run() == b"+OK 1 2\r\n"
    assert talk.events[-1] == Delete(1)
    talk.engine.answer(reply.NO_SUCH_MESSAGE)
    assert talk.run() == b"-ERR No such message\r\n+OK Done\r\n"
    assert not talk.engine.waiting


def test_message_travels_in_pieces_and_stuffed() -> None:
    """What is outgoing may be taken after every piece; dots are stuffed across the joints."""
    talk = logged_in(silent=True)
    talk.say(b"RETR 1\r\n")
    engine = talk.engine
    engine.begin_multiline("9 octets")
    assert engine.outgoing() == b"+OK 9 octets\r\n"
    assert engine.writing
    wire = b""
    for piece in (b".a\r", b"", b"\n.", b"b\n"):
        engine.multiline(piece)
        wire += engine.outgoing()
    assert engine.end_multiline() == len(b".a\r\n.b\r\n")
    assert wire + engine.outgoing() == b"..a\r\n..b\r\n.\r\n"
    assert not engine.waiting
    assert not engine.writing


def test_an_answer_of_several_lines_is_asked_for_and_begun_once() -> None:
    """Our own misuse is told: no such event, a second beginning, one line in place of several."""
    talk = logged_in(silent=True)
    engine = talk.engine
    for misuse in (engine.begin_multiline, engine.end_multiline, lambda: engine.multiline(b"x")):
        with pytest.raises(LocalProtocolError):
            misuse()
    with pytest.raises(LocalProtocolError):
        engine.answer(reply.OK)
    talk.say(b"LIST\r\n")
    with pytest.raises(LocalProtocolError):
        engine.answer(reply.OK)
    engine.begin_multiline()
    for misuse in (engine.begin_multiline, lambda: engine.answer(reply.NO_SUCH_MESSAGE)):
        with pytest.raises(LocalProtocolError):
            misuse()
    engine.end_multiline()
    talk.say(b"LIST 1\r\n")
    with pytest.raises(LocalProtocolError):
        engine.begin_multiline()


def test_an_answer_of_several_lines_may_be_refused() -> None:
    """A message that is not there is one -ERR."""
    talk = logged_in(silent=True)
    talk.say(b"RETR 5\r\nUIDL 1\r\n")
    talk.engine.answer(reply.NO_SUCH_MESSAGE)
    assert talk.run() == reply.NO_SUCH_MESSAGE.octets
    talk.engine.answer(Reply(True, "1 abc"))
    assert talk.run() == b"+OK 1 abc\r\n"


def test_a_message_that_cannot_be_finished_has_no_end() -> None:
    """A shutdown inside an answer adds nothing to it: half a message is never taken for a whole one."""
    talk = logged_in(silent=True)
    talk.say(b"RETR 1\r\n")
    talk.engine.begin_multiline("x")
    talk.engine.multiline(b"half")
    talk.engine.shutdown(reply.SYSTEM_TEMPORARY)
    assert talk.run() == b"+OK x\r\nhalf"
    assert talk.events[-1] == Ended("shutdown")
    talk.engine.shutdown()
    assert talk.run() == b""


def test_shutdown_says_what_it_is_told_or_nothing() -> None:
    """With a reason where somebody waits for an answer; without a word after a timeout (RFC 1939 §3)."""
    talk = logged_in(silent=True)
    talk.say(b"STAT\r\n")
    talk.engine.shutdown(reply.SHUTTING_DOWN)
    assert talk.run() == b"-ERR [SYS/TEMP] Shutting down\r\n"
    other = logged_in()
    with pytest.raises(LocalProtocolError):
        other.engine.shutdown(reply.OK)
    other.engine.shutdown()
    assert other.run() == b""
    assert other.events == [Ended("shutdown")]
    turned_away = Talk(PlainServer(ORIGIN, profile()))
    turned_away.engine.shutdown(reply.TOO_MANY_CONNECTIONS)
    assert turned_away.run() == b"-ERR [SYS/TEMP] Too many connections\r\n"


def test_quit_in_a_pipeline_ends_parsing() -> None:
    """What stands behind QUIT is not served, before the login, after it, and while the update runs."""
    for talk in (plain(), secure(), logged_in()):
        replies = talk.say(b"QUIT\r\nCAPA\r\nDELE 1\r\nSTLS\r\n")
        assert replies == b"+OK Bye\r\n"
        assert talk.events[-1] == Ended("quit")
        assert talk.say(b"CAPA\r\n") == b""
    talk = logged_in(silent=True)
    talk.say(b"QUIT\r\nDELE 1\r\n")
    assert talk.engine.backlog == 0
    talk.say(b"DELE 2\r\n")
    assert talk.events == [Quit(True)]
    talk.engine.answer(reply.NOT_ALL_REMOVED)
    assert talk.run() == b"-ERR Some deleted messages were not removed\r\n"
    assert talk.events == [Quit(True), Ended("quit")]
    assert talk.say(b"STAT\r\n") == b""


def test_quit_without_a_login_updates_nothing() -> None:
    """The service learns that there is nothing to delete (RFC 1939 §4)."""
    talk = plain()
    talk.say(b"quit\r\n")
    assert talk.events == [Quit(False), Ended("quit")]


def test_a_connection_that_is_lost_deletes_nothing() -> None:
    """The end of the stream is no QUIT (RFC 1939 §6), also behind half of one."""
    talk = logged_in()
    talk.say(b"DELE 1\r\nQUIT")
    talk.hang_up()
    assert talk.events == [Delete(1), Ended("connection lost")]


def test_what_was_said_before_the_end_of_the_stream_is_served() -> None:
    """QUIT and FIN in one segment: the update is asked for, answered, and over."""
    talk = logged_in(silent=True)
    talk.engine.receive(b"DELE 1\r\nQUIT\r\n")
    talk.hang_up()
    talk.engine.answer(reply.OK)
    talk.run()
    assert talk.events == [Delete(1), Quit(True)]
    talk.engine.answer(reply.BYE)
    talk.run()
    assert talk.events[-1] == Ended("quit")


@pytest.mark.parametrize(
    ("line", "refusal", "reason"),
    [
        (b"X\r\n", reply.UNKNOWN_COMMAND, "unknown command"),
        (b"\r\n", reply.UNKNOWN_COMMAND, "unknown command"),
        (b" CAPA\r\n", reply.UNKNOWN_COMMAND, "unknown command"),
        (b"CAPA\x00\r\n", reply.BAD_LINE, "control characters"),
        (b"CAPA\t\r\n", reply.BAD_LINE, "control characters"),
        (b"CAPA \xc2\x85\r\n", reply.BAD_LINE, "control characters"),
        (b"CAPA \xff\r\n", reply.BAD_LINE, "octets that are no UTF-8"),
        (b"CA\nPA\r\n", reply.BARE_LINE_END, "bare line feed"),
        (b"CAPA\rQUIT\r\n", reply.BARE_LINE_END, "bare carriage return"),
        (b"CAPA " + b"x" * 1024 + b"\r\n", reply.LINE_TOO_LONG, "line too long"),
        (b"x" * 100_000 + b"\r\n", reply.LINE_TOO_LONG, "line too long"),
    ],
)
@pytest.mark.parametrize("make", [plain, secure, logged_in], ids=["clear", "inside", "logged in"])
def test_a_bad_line_is_one_refusal(line: bytes, refusal: Reply, reason: str, make: object) -> None:
    """One -ERR for one line, whatever its length; its tail is no command."""
    assert callable(make)
    talk = make(auth_mechanisms=("PLAIN",)) if make is not plain else plain()
    assert talk.say(line + b"QUIT\r\n") == refusal.octets + b"+OK Bye\r\n"
    assert [fault.reason for fault in talk.of(Fault)] == [reason]


def test_errors_are_counted_and_end_the_conversation() -> None:
    """The answer to the one too many is the last; what stands behind is not read."""
    talk = secure(max_errors=2)
    replies = talk.say(b"X\r\nY\r\nZ\r\nCAPA\r\n")
    assert replies == reply.UNKNOWN_COMMAND.octets * 2 + reply.TOO_MANY_ERRORS.octets
    assert talk.events[-1] == Ended("too many errors")
    assert talk.engine.backlog == 0


@pytest.mark.parametrize("make", [plain, secure, logged_in], ids=["clear", "inside", "logged in"])
def test_a_browser_is_sent_away_at_its_first_line(make: object) -> None:
    """Nothing of what it sent is read further or said back (cross-protocol attacks)."""
    assert callable(make)
    talk = make()
    said = talk.say(b"POST /<script> HTTP/1.1\r\nHost: a\r\n\r\nUSER alice\r\n")
    assert said == b"-ERR This is a mail server\r\n"
    assert [type(event) for event in talk.events] == [Fault, Ended]


def test_input_is_never_said_back() -> None:
    """No refusal holds anything of the line that it refuses (reflection)."""
    talk = secure()
    talk.say(b"USER alice\r\n")
    for line in (b"evil\r\n", b"STAT evil\r\n", b"RETR evil\r\n", b"AUTH evil\r\n", b"PASS evil\r\n"):
        assert b"evil" not in talk.say(line)


def test_names_of_secrets_stay_out_of_faults() -> None:
    """Credentials, and what may be one, are three stars in what reaches the log."""
    talk = plain(max_errors=50)
    talk.say(
        b"PASS hunter2\r\nAUTH PLAIN aHVudGVyMg==\r\nAPOP a hunter2\r\nhunter2\r\nPASShunter2\r\nPASS hunter2\x00\r\n"
    )
    talk.say(b"PASS hunter2\nx\r\n")
    shown = b" ".join(fault.line for fault in talk.events if isinstance(fault, Fault))
    assert b"hunter2" not in shown
    assert b"aHVu" not in shown
    assert signs(talk.say(b"CAPA\r\n"))[0] == "+"


def test_bytes_after_the_end_are_dropped() -> None:
    """An engine that is over holds nothing."""
    talk = plain()
    talk.say(b"QUIT\r\n")
    talk.engine.receive(b"x" * 1000)
    assert talk.engine.backlog == 0


def test_memory_is_bounded_while_a_line_has_no_end() -> None:
    """A line without an end is skipped, not kept."""
    talk = secure(auth_mechanisms=("PLAIN",))
    for _ in range(100):
        talk.say(b"x" * 10_000)
        assert talk.engine.backlog <= 12288
    assert len(talk.of(Fault)) == 1


@pytest.mark.parametrize("exact", [True, False])
def test_witness_is_shown_the_order_of_the_wire(exact: bool) -> None:
    """A message stands behind its +OK and before what is said next, though all of it leaves in one write."""
    talk = logged_in()
    engine, witness = talk.engine, Shown()
    engine.witness = witness
    engine.receive(b"RETR 1\r\nSTAT\r\n")
    assert isinstance(engine.next_event(), Retrieve)
    engine.begin_multiline("here", exact=exact)
    for piece in (b"one\r\n", b"two\r\n"):
        engine.multiline(piece)
    engine.end_multiline()
    assert isinstance(engine.next_event(), StatAsked)
    engine.answer(Reply(True, "1 10"))
    assert engine.outgoing() == b"+OK here\r\none\r\ntwo\r\n.\r\n+OK 1 10\r\n"
    engine.receive(b"NOOP\r\n")
    assert engine.next_event() is None
    engine.outgoing()
    assert witness.seen == [
        b"C RETR 1", b"S +OK here", b"D one\r\n", b"D two\r\n", b"E", b"C STAT", b"S +OK 1 10",
        b"C NOOP", b"S +OK Done",
    ]  # fmt: skip


def test_witness_is_shown_no_part_of_a_login() -> None:
    """The words of an exchange are hidden, also where they are too long to be read; that it is given up is shown."""
    talk = secure(silent=True, auth_mechanisms=("PLAIN",))
    talk.engine.witness = witness = Shown()
    assert isinstance(talk.engine, SecureServer)
    for said in (b"AGFsaWNlAHNlY3JldA==", b"A" * 20000, b"*"):
        talk.say(b"AUTH PLAIN\r\n")
        talk.engine.challenge(b"who?")
        talk.run()
        talk.say(said + b"\r\n")
        if talk.engine.waiting:
            talk.engine.answer(reply.AUTH_FAILED)
        talk.run()
    assert [line for line in witness.seen if line[:4] != b"S -E"] == [
        b"C AUTH PLAIN***", b"S + ***", b"C ***",
        b"C AUTH PLAIN***", b"S + ***", b"C ***",
        b"C AUTH PLAIN***", b"S + ***", b"C *",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "shown"),
    [(b"CAPA 1\rx", b"C CAPA 1\r"), (b"PASS sec\rret", b"C PASS***"), (b"sec ret\xff\r", b"C sec***")],
)
def test_witness_is_shown_of_a_line_that_cannot_be_read_what_carries_no_credentials(line: bytes, shown: bytes) -> None:
    """The beginning of a known command is evidence; what may be a password is not."""
    talk = secure()
    talk.engine.witness = witness = Shown()
    talk.say(line + b"\r\n")
    assert witness.seen[0] == shown


def test_witness_is_told_that_a_message_stays_without_its_end() -> None:
    """A transcript does not take half a message for a whole one."""
    talk = logged_in(silent=True)
    talk.engine.witness = witness = Shown()
    talk.say(b"RETR 1\r\n")
    talk.engine.begin_multiline("here")
    talk.engine.multiline(b"one\r\n")
    talk.engine.shutdown()
    talk.run()
    assert witness.seen == [b"C RETR 1", b"S +OK here", b"D one\r\n", b"E half"]


def test_allowance_stops_between_two_commands() -> None:
    """Beyond it nothing is read, also nothing that the engine answers itself; a new one goes on where it stopped."""
    engine = PlainServer(ORIGIN, profile())
    engine.greet()
    engine.outgoing()
    engine.receive(b"CAPA\r\n" * 5)
    engine.receive_eof()
    engine.allowance = 3
    assert engine.next_event() is None
    assert engine.outgoing().count(b"+OK ") == 3
    engine.allowance = 3
    assert isinstance(engine.next_event(), Ended)
    assert engine.outgoing().count(b"+OK ") == 2
