"""The server engine: commands, limits, order."""

from __future__ import annotations

import time

import pytest
from tests.unit.wire.smtp.serving import ORIGIN, Talk, accept, codes, evidence, opened, plain, profile, secure

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.events import (
    Content,
    ContentAborted,
    ContentBegins,
    ContentEnds,
    Ended,
    Event,
    Fault,
    Hello,
    Mail,
    Quit,
    Recipient,
    Reset,
    Verify,
)
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.smtp.server import PlainServer, SecureServer
from gatepost.wire.smtp.states import State


def test_session_is_served_from_greeting_to_goodbye() -> None:
    """The whole way of one message."""
    talk = plain()
    assert talk.say(b"EHLO client.example\r\n").startswith(b"250-mx.example.org\r\n250-PIPELINING\r\n")
    assert talk.say(b"MAIL FROM:<alice@example.org> SIZE=10\r\n") == b"250 2.1.0 Sender ok\r\n"
    assert talk.say(b"RCPT TO:<bob@example.net>\r\n") == b"250 2.1.5 Recipient ok\r\n"
    assert codes(talk.say(b"DATA\r\n")) == [354]
    assert talk.say(b"Subject: x\r\n\r\n..\r\n.\r\n") == b"250 2.0.0 Ok: queued as 1\r\n"
    assert codes(talk.say(b"QUIT\r\n")) == [221]
    assert talk.content == b"Subject: x\r\n\r\n.\r\n"
    assert [type(event) for event in talk.events] == [
        Hello, Mail, Recipient, ContentBegins, Content, ContentEnds, Quit, Ended,
    ]  # fmt: skip
    assert talk.last() == Ended("quit")


def test_greeting_names_the_service() -> None:
    """RFC 5321 §4.2: our name, then what we speak."""
    engine = PlainServer(ORIGIN, profile())
    engine.greet()
    assert engine.outgoing() == b"220 mx.example.org ESMTP gatepost\r\n"
    with pytest.raises(LocalProtocolError):
        engine.greet()
    engine = PlainServer(ORIGIN, profile(banner="ESMTP at your service"))
    engine.greet()
    assert engine.outgoing() == b"220 mx.example.org ESMTP at your service\r\n"


def test_nothing_is_parsed_before_the_greeting() -> None:
    """An early talker waits, and can be seen to talk early."""
    talk = Talk(PlainServer(ORIGIN, profile()))
    assert talk.say(b"EHLO a\r\n") == b""
    assert talk.engine.backlog == 8
    talk.engine.greet()
    assert codes(talk.run()) == [220, 250]


def test_ehlo_lists_the_extensions_of_the_clear() -> None:
    """STARTTLS without a parameter, no AUTH."""
    lines = plain(auth_mechanisms=("PLAIN",)).say(b"EHLO a\r\n").decode().split("\r\n")[:-1]
    assert [line[4:] for line in lines[1:]] == [
        "PIPELINING", "SIZE 52428800", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING",
        "LIMITS RCPTMAX=1000",
    ]  # fmt: skip


def test_ehlo_lists_the_extensions_of_tls() -> None:
    """AUTH, and no STARTTLS; channel-bound mechanisms only where there is a binding."""
    mechanisms = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN")
    bound = secure(auth_mechanisms=mechanisms, max_messages=5).say(b"EHLO a\r\n")
    assert b"\r\n250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN\r\n" in bound
    assert b"STARTTLS" not in bound
    assert bound.endswith(b"250 LIMITS RCPTMAX=1000 MAILMAX=5\r\n")
    assert b"\r\n250-AUTH SCRAM-SHA-256 PLAIN\r\n" in secure(binding=False, auth_mechanisms=mechanisms).say(
        b"EHLO a\r\n"
    )


def test_helo_gets_one_line_and_no_extensions() -> None:
    """HELO is HELO."""
    talk = plain()
    assert talk.say(b"HELO old.example\r\n") == b"250 mx.example.org\r\n"
    assert talk.last() == Hello("old.example", False)


@pytest.mark.parametrize("line", [b"EHLO", b"EHLO ", b"HELO", b"EHLO a b", "EHLO ü".encode()])
def test_hello_without_a_name_is_501(line: bytes) -> None:
    """And leaves the state as it was."""
    talk = plain()
    assert codes(talk.say(line + b"\r\n")) == [501]
    assert talk.engine.state is State.START


def test_pipelined_group_is_answered_in_order() -> None:
    """RFC 2920: nothing of the input is lost, and replies come in order."""
    talk = plain()
    replies = talk.say(
        b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<bad>\r\n"
        b"NOOP x\r\nVRFY root\r\nEXPN x\r\nHELP\r\nDATA\r\n"
    )
    assert codes(replies) == [250, 250, 250, 501, 250, 252, 502, 214, 354]
    assert Verify("root") in talk.events


def test_content_sent_before_the_go_ahead_is_content() -> None:
    """Commands behind DATA are content, whoever was impatient; what follows the end is commands again."""
    talk = plain()
    replies = talk.say(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nQUIT\r\n.\r\nNOOP\r\nQUIT\r\n")
    assert codes(replies) == [250, 250, 250, 354, 250, 250, 221]
    assert talk.content == b"QUIT\r\n"


def test_nothing_is_parsed_while_an_event_waits() -> None:
    """The answer may come much later; until then the rest is backlog."""
    talk = plain(decide=lambda event: None)
    talk.say(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
    assert isinstance(talk.last(), Mail)
    assert talk.engine.waiting
    assert talk.engine.backlog == 15
    assert talk.engine.next_event() is None
    talk.engine.answer(reply.SENDER_OK)
    talk.run()
    assert isinstance(talk.last(), Recipient)


@pytest.mark.parametrize("verb", [b"RSET", b"EHLO a", b"HELO a"])
def test_transaction_is_cleared_by_rset_and_hello(verb: bytes) -> None:
    """RFC 5321 §4.1.4: each drops it, and says so."""
    talk = opened(plain())
    assert codes(talk.say(verb + b"\r\nRCPT TO:<x@y>\r\nDATA\r\n")) == [250, 503, 503]
    assert talk.engine.recipients == 0
    assert talk.of(Reset) or len(talk.of(Hello)) == 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"MAIL FROM:<a@b>", [503]),
        (b"EHLO a\r\nRCPT TO:<a@b>", [250, 503]),
        (b"EHLO a\r\nDATA", [250, 503]),
        (b"EHLO a\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>", [250, 250, 503]),
        (b"EHLO a\r\nMAIL FROM:<a@b>\r\nDATA", [250, 250, 503]),
        (b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nMAIL FROM:<a@b>", [250, 250, 250, 503]),
        (b"EHLO a\r\nMAIL FROM:<a@b>\r\nSTARTTLS", [250, 250, 503]),
        (b"EHLO a\r\nAUTH PLAIN AGEAYg==", [250, 502]),
        (b"BOGUS", [500]),
        (b"", [500]),
        (b" EHLO a", [500]),
        (b"EXPN list", [502]),
        (b"TURN", [500]),
        (b"VRFY", [501]),
        (b"RSET x", [501]),
        (b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA x", [250, 250, 250, 501]),
        (b"noop\r\nrSeT  \r\nquit\t", [250, 250, 221]),
    ],
)
def test_command_out_of_order_is_refused(said: bytes, expected: list[int]) -> None:
    """One reply for each command, with the code that RFC 5321 §4.3.2 names."""
    assert codes(plain().say(said + b"\r\n")) == expected


def test_refused_sender_and_recipient_do_not_advance() -> None:
    """A negative answer leaves the state, the next command may do better."""
    no = Reply(550, "5.7.1", "No")

    def decide(event: Event) -> Reply | None:
        return no if isinstance(event, (Mail, Recipient)) and "evil" in str(event) else accept(event)

    talk = plain(decide)
    assert codes(
        talk.say(
            b"EHLO a\r\nMAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<evil@d>\r\nDATA\r\n"
            b"RCPT TO:<c@d>\r\n"
        )
    ) == [250, 550, 503, 250, 550, 503, 250]
    assert talk.engine.recipients == 1


def test_recipients_above_the_limit_are_put_off() -> None:
    """RFC 5321 §4.5.3.1.10: 452, and no error of the client's."""
    talk = opened(plain(max_recipients=100), recipients=100)
    assert talk.engine.recipients == 100
    assert talk.say(b"RCPT TO:<one@more>\r\n" * 50) == reply.TOO_MANY_RECIPIENTS.octets * 50
    assert not talk.of(Fault)


def test_messages_above_the_limit_are_put_off() -> None:
    """RFC 9422 MAILMAX."""
    talk = plain(max_messages=1)
    talk.say(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n")
    assert codes(talk.say(b"MAIL FROM:<a@b>\r\n")) == [452]


def test_declared_size_above_the_limit_is_refused_at_mail() -> None:
    """RFC 1870 §6: 552 before a single octet of content."""
    talk = plain(max_size=1000)
    assert codes(talk.say(b"EHLO a\r\nMAIL FROM:<a@b> SIZE=1001\r\nMAIL FROM:<a@b> SIZE=1000\r\n")) == [250, 552, 250]


def test_smtputf8_holds_for_its_transaction_only() -> None:
    """RFC 6531: addresses beyond ASCII where MAIL asked for it, and nowhere else."""
    talk = plain()
    said = "EHLO a\r\nMAIL FROM:<ü@b> SMTPUTF8\r\nRCPT TO:<ö@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<ö@b>\r\nMAIL\r\n"
    assert codes(talk.say(said.encode())) == [250, 250, 250, 250, 250, 553, 503]


@pytest.mark.parametrize("line", [b"NOOP \xff", b"NOOP \x00", b"NO\x00OP", b"NOOP \x1b[2J", b"\x7f", b"NOOP \xc2\x85"])
def test_line_with_controls_is_refused(line: bytes) -> None:
    """NUL, controls and what is no UTF-8: 500."""
    assert codes(plain().say(line + b"\r\nNOOP\r\n")) == [500, 250]


@pytest.mark.parametrize("line", [b"NOOP a\nNOOP", b"NOOP\rNOOP", b"NOOP\n"])
def test_bare_line_end_in_a_command_is_one_refusal(line: bytes) -> None:
    """What a bare CR or LF seems to separate is not a second command."""
    assert codes(plain().say(line + b"\r\nNOOP\r\n")) == [500, 250]


@pytest.mark.parametrize("length", [2049, 20_000, 200_000])
def test_long_line_gets_one_reply(length: int) -> None:
    """An over-long line is one 500 and is skipped to its end."""
    assert codes(plain().say(b"NOOP " + b"x" * length + b"\r\nNOOP\r\n")) == [500, 250]


@pytest.mark.parametrize("length", [512, 2048])
def test_line_within_the_limit_is_taken(length: int) -> None:
    """RFC 5321 §4.5.3.1.4 asks for 512."""
    assert codes(plain().say(b"NOOP " + b"x" * (length - 5) + b"\r\n")) == [250]


def test_other_commands_are_measured_where_auth_may_be_long() -> None:
    """Room for AUTH is no room for MAIL."""
    talk = secure(auth_mechanisms=("PLAIN",))
    assert codes(talk.say(b"NOOP " + b"x" * 3000 + b"\r\nNOOP\r\n")) == [500, 250]


def test_unknown_command_is_not_echoed() -> None:
    """Nothing that was sent comes back (cross-protocol reflection)."""
    assert b"alert" not in plain().say(b"<script>alert(1)</script>\r\n").lower()


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST / HTTP/1.1", b"options * HTTP/1.1", b"PRI * HTTP/2.0"])
def test_web_request_ends_the_session_at_once(line: bytes) -> None:
    """A browser steered to a mail port gets nothing served, whatever its body says."""
    talk = plain()
    assert codes(talk.say(line + b"\r\nHost: x\r\n\r\nEHLO a\r\nMAIL FROM:<a@b>\r\n")) == [421]
    assert talk.last() == Ended("web request")


def test_errors_above_the_limit_end_the_session() -> None:
    """The last one is answered with 421."""
    talk = plain(max_errors=10)
    assert codes(talk.say(b"BOGUS\r\n" * 100)) == [500] * 10 + [421]
    assert talk.last() == Ended("too many errors")
    assert talk.say(b"NOOP\r\n") == b""


def test_shutdown_ends_with_the_given_reply() -> None:
    """421 before an end of our own wish, and the open message is dropped."""
    talk = opened(plain())
    talk.say(b"DATA\r\nhalf")
    talk.engine.shutdown(Reply(421, "4.3.2", "Going down"))
    assert talk.run() == b"421 4.3.2 Going down\r\n"
    assert talk.events[-2:] == [ContentAborted(), Ended("shutdown")]
    talk.engine.shutdown(Reply(421, "4.3.2", "Going down"))
    assert talk.run() == b""


def test_answer_421_ends_the_session() -> None:
    """A service that answers 421 means it."""
    talk = plain(decide=lambda event: Reply(421, "4.3.0", "No") if isinstance(event, Mail) else None)
    assert codes(talk.say(b"EHLO a\r\nMAIL FROM:<a@b>\r\nNOOP\r\n")) == [250, 421]
    assert talk.last() == Ended("shutdown")


def test_refused_client_is_served_nothing_but_quit() -> None:
    """RFC 5321 §3.1: 554 in place of the greeting, 503 until QUIT; chunks are still consumed."""
    talk = Talk(PlainServer(ORIGIN, profile()))
    talk.engine.refuse(Reply(554, "5.7.1", "No service"))
    assert codes(talk.say(b"EHLO a\r\nBDAT 6\r\nQUIT\r\nMAIL FROM:<a@b>\r\nQUIT\r\n")) == [554, 503, 503, 503, 221]
    turned = Talk(PlainServer(ORIGIN, profile()))
    turned.engine.refuse(Reply(421, "4.7.0", "Later"))
    assert codes(turned.run()) == [421]
    assert turned.last() == Ended("turned away")


def test_handshake_that_is_not_enough_is_served_nothing_but_quit() -> None:
    """RFC 3207 §4.1: 554 to every command but QUIT, and nothing unasked."""
    talk = Talk(SecureServer(ORIGIN, evidence(), profile()))
    talk.engine.refuse(Reply(554, "5.7.1", "Certificate needed"), greeting=False)
    assert codes(talk.run()) == []
    assert codes(talk.say(b"EHLO a\r\nNOOP\r\nX\r\nQUIT\r\n")) == [554, 554, 554, 221]


def test_engine_refuses_answers_that_do_not_fit() -> None:
    """Our own mistakes raise, and change nothing."""
    talk = plain(decide=lambda event: None)
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(reply.OK)
    talk.say(b"EHLO a\r\nMAIL FROM:<a@b>\r\n")
    for wrong in (reply.DATA_GO_AHEAD, Reply(354, "", "x")):
        with pytest.raises(LocalProtocolError):
            talk.engine.answer(wrong)
    with pytest.raises(LocalProtocolError):
        talk.engine.answer_each([reply.OK])
    with pytest.raises(LocalProtocolError):
        talk.engine.refuse(Reply(554, "5.7.1", "x"))
    talk.engine.answer(reply.SENDER_OK)
    talk.say(b"RCPT TO:<a@b>\r\n")
    talk.engine.answer(reply.RECIPIENT_OK)
    talk.say(b"DATA\r\n")
    with pytest.raises(LocalProtocolError):
        talk.engine.answer(reply.OK)


@pytest.mark.parametrize("said", [b"", b"NOOP", b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCP"])
def test_lost_connection_ends_the_session(said: bytes) -> None:
    """What was complete is served, half a line is not."""
    talk = plain()
    talk.say(said)
    talk.hang_up()
    assert talk.last() == Ended("connection lost")
    assert not talk.of(ContentAborted)


@pytest.mark.no_cover  # it measures time, and a tracer takes some
def test_segment_of_ten_thousand_commands_is_served_without_recursion() -> None:
    """A packet of short lines costs what its length costs."""
    talk = plain()
    began = time.process_time()
    assert codes(talk.say(b"NOOP\r\n" * 10_000)) == [250] * 10_000
    once = time.process_time() - began
    began = time.process_time()
    talk.say(b"NOOP\r\n" * 40_000)
    assert time.process_time() - began < max(once * 16, 0.5)


def test_fault_carries_the_line_but_no_credentials() -> None:
    """For the log: the beginning of a command that is known; of others the word, and nothing once one was misspelt."""
    talk = plain(max_errors=100)
    talk.say(b"BOGUS \x1b\r\n" + b"x" * 500 + b"\r\nAUTH PLAIN c2VjcmV0\r\nc2VjcmV0\r\nauth plain \x00c2VjcmV0\r\n")
    talk.say(b"MAIL c2VjcmV0\r\nEHLO a\r\nMAIL FROM:x\r\nAUTH\tPLAIN c2VjcmV0\r\n")
    lines = [event.line for event in talk.events if isinstance(event, Fault)]
    assert lines == [
        b"BOGUS ***", b"***", b"AUTH ***", b"***", b"AUTH ***", b"MAIL c2VjcmV0", b"MAIL FROM:x", b"AUTH ***",
    ]  # fmt: skip


def test_shutdown_while_a_message_is_being_stored_does_not_abort_it() -> None:
    """Its content is complete: whether it was kept is for the service to know."""
    talk = opened(plain(lambda event: None if isinstance(event, ContentEnds) else accept(event)))
    talk.say(b"DATA\r\nx\r\n.\r\n")
    talk.engine.shutdown(Reply(421, "4.3.2", "Going down"))
    assert codes(talk.run()) == [421]
    assert not talk.of(ContentAborted)


def test_profile_refuses_settings_that_cannot_be() -> None:
    """Found when the listener is made, not when a peer arrives."""
    for settings in (
        {"hostname": "a b"},
        {"hostname": ""},
        {"hostname": "ü"},
        {"starttls": False, "require_tls": True},
        {"line_limit": 509},
        {"max_errors": -1},
        {"max_recipients": 0},
        {"max_size": 0},
    ):
        with pytest.raises(LocalProtocolError):
            profile(**settings)


def test_allowance_stops_between_two_commands() -> None:
    """Beyond it nothing is read, also nothing that the engine answers itself; a new one goes on where it stopped."""
    engine = PlainServer(ORIGIN, profile())
    engine.greet()
    engine.outgoing()
    engine.receive(b"NOOP\r\n" * 5)
    engine.receive_eof()
    engine.allowance = 3
    assert engine.next_event() is None
    assert engine.outgoing().count(b"250 ") == 3
    engine.allowance = 3
    assert isinstance(engine.next_event(), Ended)
    assert engine.outgoing().count(b"250 ") == 2
