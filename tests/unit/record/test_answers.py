"""Reading answers, recorded or live, and comparing them."""

from __future__ import annotations

import pytest

from gatepost.record.answers import Answer, IMAPAnswer, POP3Answer, SMTPAnswer, differences


def test_smtp_reply_ends_with_its_last_line() -> None:
    """250- goes on, 250 ends; behind EHLO the lines are capabilities, each mechanism by itself."""
    reader = SMTPAnswer(b"EHLO me")
    assert reader.feed(b"250-mx.test\r\n") is None
    assert reader.feed(b"250-AUTH PLAIN LOGIN\r\n") is None
    answer = reader.feed(b"250 8bitmime\r\n")
    assert answer is not None and answer.status == "250"
    assert answer.capabilities == frozenset({"AUTH LOGIN", "AUTH PLAIN", "8BITMIME"})


@pytest.mark.parametrize(
    ("command", "lines", "status"),
    [
        (b"STAT", [b"+OK 2 320"], "+OK"),
        (b"RETR 1", [b"+OK", b"Subject: x", b"", b"+OK this is no answer", b"."], "+OK"),
        (b"RETR 9", [b"-ERR no such message"], "-ERR"),
        (b"LIST", [b"+OK", b"1 10", b"."], "+OK"),
        (b"LIST 1", [b"+OK 1 10"], "+OK"),
        (b"AUTH PLAIN", [b"+ "], "+"),
        (b"", [b"+OK ready <1@x>"], "+OK"),
    ],
)
def test_pop3_answer_ends_where_its_command_says(command: bytes, lines: list[bytes], status: str) -> None:
    """Which answers have several lines depends on the command and its arguments."""
    reader = POP3Answer(command)
    assert all(reader.feed(line) is None for line in lines[:-1])
    answer = reader.feed(lines[-1])
    assert answer is not None and answer.status == status


def test_pop3_content_of_a_record_stands_for_the_lines() -> None:
    """Before its +OK or behind it, content ends the answer, which has no dot in the record."""
    behind = POP3Answer(b"RETR 1")
    assert behind.feed(b"+OK 100 octets") is None
    assert behind.content() == Answer("+OK", (b"+OK 100 octets",))
    before = POP3Answer(b"RETR 1")
    assert before.content() is None
    assert before.feed(b"+OK 100 octets") == Answer("+OK", (b"+OK 100 octets",))


def test_pop3_capabilities_are_a_set() -> None:
    """The lines between +OK and the dot."""
    reader = POP3Answer(b"CAPA")
    for line in (b"+OK", b"TOP", b"SASL PLAIN LOGIN"):
        assert reader.feed(line) is None
    answer = reader.feed(b".")
    assert answer is not None and answer.capabilities == frozenset({"TOP", "SASL LOGIN", "SASL PLAIN"})


def test_imap_answer_ends_with_its_tag_or_a_question() -> None:
    """Untagged responses belong to it; + asks for more; a literal is announced."""
    reader = IMAPAnswer(b"a1 FETCH 1 BODY[]")
    assert reader.feed(b"* 1 FETCH (BODY[] {12}\r\n") is None
    assert reader.literal == 12
    assert reader.feed(b")\r\n") is None
    assert reader.literal == 0
    answer = reader.feed(b"A1 OK done\r\n")
    assert answer is not None and answer.status == "OK"
    asked = IMAPAnswer(b"a2 AUTHENTICATE PLAIN").feed(b"+ \r\n")
    assert asked is not None and asked.status == "+" and asked.goes_on


def test_imap_capabilities_come_in_two_ways() -> None:
    """As a response, and as a code in the greeting."""
    greeting = IMAPAnswer(b"").feed(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello")
    assert greeting is not None and greeting.capabilities == frozenset({"IMAP4REV1", "STARTTLS"})
    reader = IMAPAnswer(b"a CAPABILITY")
    assert reader.feed(b"* CAPABILITY IMAP4rev1 IDLE") is None
    answer = reader.feed(b"a OK")
    assert answer is not None and answer.capabilities == frozenset({"IMAP4REV1", "IDLE"})


@pytest.mark.parametrize(
    ("recorded", "now", "exact", "found"),
    [
        (Answer("250", (b"250 a",)), Answer("250", (b"250 b",)), False, ()),
        (Answer("250", (b"250 a",)), Answer("250", (b"250 b",)), True, ("another text",)),
        (Answer("250"), Answer("550"), False, ("550 where it was 250",)),
        (
            Answer("250", (), frozenset({"SIZE 1", "DSN"})),
            Answer("250", (), frozenset({"DSN", "PIPELINING"})),
            False,
            ("not offered: SIZE 1", "offered besides: PIPELINING"),
        ),
        (Answer("250", (), frozenset({"DSN"})), Answer("250", (), frozenset({"DSN"})), False, ()),
        (Answer("250", (), frozenset({"DSN"})), Answer("500"), False, ("500 where it was 250",)),
    ],
)
def test_differences_are_codes_and_capabilities(
    recorded: Answer, now: Answer, exact: bool, found: tuple[str, ...]
) -> None:
    """Texts differ from server to server, and count only where that was asked for."""
    assert differences(recorded, now, exact=exact) == found


def test_answer_that_does_not_end_holds_little() -> None:
    """Of a million lines a hundred are kept."""
    reader = SMTPAnswer(b"HELP")
    for _ in range(10_000):
        assert reader.feed(b"214-more") is None
    answer = reader.feed(b"214 end")
    assert answer is not None and len(answer.lines) == 100 and answer.lines[-1] == b"214 end"
