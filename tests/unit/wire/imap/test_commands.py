"""The client's stream is cut where a server cuts it."""

from __future__ import annotations

import pytest
from tests.unit.wire.imap.imap_talk import commands

from gatepost.wire.imap.commands import CommandReader
from gatepost.wire.imap.events import AnswerLine, ArgumentLine, CommandLine, LiteralData, Malformed
from gatepost.wire.imap.grammar import Literal
from gatepost.wire.imap.states import Reading


def reader(limit: int = 1000) -> CommandReader:
    return CommandReader(limit)


def octets(found: object) -> bytes:
    assert isinstance(found, CommandLine | ArgumentLine | LiteralData | AnswerLine)
    return found.octets


def test_commands_are_told_apart() -> None:
    """Each line is a command, with its tag, its verb in upper case and its arguments."""
    found = commands(reader(), b"a1 noop\r\nB.2 uid fetch 1:* (FLAGS)\r\n")
    assert [(each.tag, each.verb, each.arguments) for each in found if isinstance(each, CommandLine)] == [
        (b"a1", "NOOP", b""),
        (b"B.2", "UID", b"fetch 1:* (FLAGS)"),
    ]


@pytest.mark.parametrize("line", [b"", b" ", b"a1", b"+ NOOP", b'" NOOP', b"a1  NOOP", b"GET / HTTP/1.1", b"a1 \xe9"])
def test_a_line_that_is_no_command_has_no_verb(line: bytes) -> None:
    """What the grammar does not know as a command is told as a line without a verb."""
    (found,) = commands(reader(), line + b"\r\n")
    assert isinstance(found, CommandLine)
    assert found.verb == ""


def test_a_synchronising_literal_waits_for_the_server() -> None:
    """Nothing behind ``{n}`` is read until the server has said ``+`` (RFC 9051 §4.3)."""
    each = reader()
    (line,) = commands(each, b"a1 APPEND INBOX {5}\r\nhello\r\na2 NOOP\r\n")
    assert isinstance(line, CommandLine)
    assert line.literal == Literal(5, sync=True, binary=False)
    each.go_ahead()
    rest = commands(each)
    assert [octets(piece) for piece in rest] == [b"hello", b"\r\n", b"a2 NOOP\r\n"]


def test_a_go_ahead_that_nobody_waits_for_changes_nothing() -> None:
    """Between commands and inside a literal a ``+`` moves nobody: what follows is read as it would have been."""
    each = reader()
    each.go_ahead()
    found = commands(each, b"a1 APPEND x {5+}\r\nab")
    each.go_ahead()
    found += commands(each, b"c\r\n\r\na2 NOOP\r\n")
    assert [octets(piece) for piece in found] == [b"a1 APPEND x {5+}\r\n", b"ab", b"c\r\n", b"\r\n", b"a2 NOOP\r\n"]
    assert [type(piece) for piece in found] == [CommandLine, LiteralData, LiteralData, ArgumentLine, CommandLine]


def test_a_refused_literal_is_a_command() -> None:
    """When the server refuses instead, what follows is the next command, as it is to the server."""
    each = reader()
    commands(each, b"a1 APPEND INBOX {9}\r\na2 NOOP\r\n")
    each.replied(b"a1")
    (found,) = commands(each)
    assert isinstance(found, CommandLine)
    assert found.verb == "NOOP"


def test_an_answer_to_another_command_is_not_a_refusal() -> None:
    """Only the answer to this command ends the wait for its literal."""
    each = reader()
    commands(each, b"a0 NOOP\r\na1 APPEND INBOX {9}\r\na2 NOOP\r\n")
    each.replied(b"a0")
    assert commands(each) == []


def test_a_literal_that_does_not_wait_follows_at_once() -> None:
    """``{n+}`` and ``~{n+}`` are followed by their octets, whatever those look like (RFC 7888)."""
    found = commands(reader(), b"a1 APPEND INBOX ~{14+}\r\na2 STARTTLS\r\n\0 (x)\r\n")
    assert isinstance(found[0], CommandLine)
    assert found[0].literal == Literal(14, sync=False, binary=True)
    assert [octets(piece) for piece in found[1:]] == [b"a2 STARTTLS\r\n\0", b" (x)\r\n"]


def test_largest_literal_has_63_bits() -> None:
    """RFC 9051 §9, number64; it is not held, so nothing else bounds it here."""
    found = commands(reader(), b"a1 APPEND INBOX {9223372036854775807+}\r\nx")
    assert isinstance(found[0], CommandLine)
    assert found[0].literal == Literal(9223372036854775807, sync=False, binary=False)


def test_empty_literals_are_literals() -> None:
    """``{0}`` waits for its ``+``, ``{0+}`` for nothing, and the line goes on behind both."""
    each = reader()
    commands(each, b"a1 LOGIN {0}\r\n {0+}\r\n\r\na2 NOOP\r\n")
    each.go_ahead()
    found = commands(each)
    assert [type(piece) for piece in found] == [ArgumentLine, ArgumentLine, CommandLine]


def test_authenticate_reads_one_line_for_each_continuation() -> None:
    """Each ``+`` is answered by one line, and the tagged answer ends the exchange (RFC 9051 §6.2.2)."""
    each = reader()
    assert len(commands(each, b"a1 AUTHENTICATE LOGIN\r\n{5}\r\nxx\r\na2 NOOP\r\n")) == 1
    each.go_ahead()
    (first,) = commands(each)
    assert isinstance(first, AnswerLine)
    assert first.octets == b"{5}\r\n"  # no literal: a response is a line
    each.go_ahead()
    assert [octets(piece) for piece in commands(each)] == [b"xx\r\n"]
    each.replied(b"a1")
    assert [octets(piece) for piece in commands(each)] == [b"a2 NOOP\r\n"]


def test_idle_ends_with_done() -> None:
    """Behind IDLE one line is due when the server has said ``+``; commands follow DONE at once."""
    each = reader()
    assert len(commands(each, b"a1 IDLE\r\nDONE\r\na2 NOOP\r\n")) == 1
    each.go_ahead()
    assert [octets(piece) for piece in commands(each)] == [b"DONE\r\n", b"a2 NOOP\r\n"]


def test_what_is_not_done_waits_for_the_server() -> None:
    """What a server makes of another line than DONE is not guessed."""
    each = reader()
    commands(each, b"a1 IDLE\r\na2 NOOP\r\na3 NOOP\r\n")
    each.go_ahead()
    assert [octets(piece) for piece in commands(each)] == [b"a2 NOOP\r\n"]
    each.replied(b"a1")
    assert [octets(piece) for piece in commands(each)] == [b"a3 NOOP\r\n"]


def test_a_command_refused_early_is_read_to_its_end() -> None:
    """A server may say NO while the literal is still coming: the client sends the rest, and the rest is no command."""
    each = reader()
    commands(each, b"a1 APPEND nowhere {12}\r\n")
    each.go_ahead()
    commands(each, b"a2 ")
    each.replied(b"a1")
    found = commands(each, b"STARTTLS \r\na3 NOOP\r\n")
    assert [octets(piece) for piece in found] == [b"STARTTLS ", b"\r\n", b"a3 NOOP\r\n"]


def test_no_literal_follows_the_end_of_its_command() -> None:
    """Behind an early answer another literal cannot be told from a command: the reading ends."""
    each = reader()
    commands(each, b"a1 APPEND nowhere {1}\r\n")
    each.go_ahead()
    each.replied(b"a1")
    found = commands(each, b"x {5+}\r\nhello\r\n")
    assert isinstance(found[-1], Malformed)
    assert each.reading is Reading.BROKEN


@pytest.mark.parametrize(
    "line",
    [
        b'a1 LOGIN "bob {5}',
        b'a1 LOGIN "a\\" {5+}',
        b"a1 LOGIN bob pass{5}",
        b"a1 LOGIN bob {}",
        b"a1 LOGIN bob {-1}",
        b"a1 LOGIN bob {0x5}",
        b"a1 LOGIN bob {5++}",
        b"a1 LOGIN bob {9223372036854775808}",
        b"a1 LOGIN bob {99999999999999999999999}",
        b"a1 LOGIN bob ~~{5}",
        b"a1 LOGIN bob{5}",
        b"{5}",
    ],
)
def test_what_looks_like_a_literal_and_is_none_ends_the_reading(line: bytes) -> None:
    """Where one side could see a literal and the other none, nothing behind it is read."""
    each = reader()
    found = commands(each, line + b"\r\na2 NOOP\r\n")
    assert isinstance(found[0], Malformed)
    assert len(found) == 1
    assert commands(each, b"a3 NOOP\r\n") == []


def test_it_ends_the_reading_behind_a_literal_too() -> None:
    """A command's later lines are read as strictly as its first one; it is told under the command's tag."""
    each = reader()
    found = commands(each, b"a1 LOGIN {3+}\r\nbob x{5}\r\na2 NOOP\r\n")
    broken = found[-1]
    assert isinstance(broken, Malformed)
    assert (broken.reason, broken.tag) == ("no literal can stand there", b"a1")
    assert commands(each, b"a3 NOOP\r\n") == []


@pytest.mark.parametrize(
    "line",
    [b"a1 SELECT foo}", b'a1 SELECT "{5}"', b"a1 SEARCH TEXT {a b}", b'a1 LOGIN "{5}" "\\"{3}"', b"a} NOOP"],
)
def test_braces_that_announce_nothing_pass(line: bytes) -> None:
    """A brace inside a quoted string or at the end of an atom is text."""
    (found,) = commands(reader(), line + b"\r\n")
    assert isinstance(found, CommandLine)
    assert found.literal is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a1 NOOP\na2 NOOP\r\n", "bare line feed"),
        (b"a1 NOOP\ra2 NOOP\r\n", "bare carriage return"),
        (b"a1 NO\0OP\r\n", "NUL in a line"),
        (b"a1 " + b"x" * 2000, "line too long"),
    ],
)
def test_lines_that_cannot_be_read_end_the_reading(data: bytes, reason: str) -> None:
    """Only CRLF ends a line, and only so many octets stand in one."""
    each = reader()
    (found,) = commands(each, data)
    assert isinstance(found, Malformed)
    assert (found.reason, found.tag) == (reason, b"a1")


@pytest.mark.parametrize("line", [b'pass"word\0', b"pass(word NOOP\0", b"(a1 NOOP\0", b"\0"])
def test_what_a_line_begins_with_is_a_tag_only_where_it_ends_like_one(line: bytes) -> None:
    """Otherwise the answer is nobody's in particular, and says no part of the line back."""
    (found,) = commands(reader(), line + b"\r\n")
    assert isinstance(found, Malformed)
    assert found.tag == b"*"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"a1 LOGIN bob secret\r\n", b"a1 LOGIN"),
        (b"a1 login {3+}\r\nbob {6+}\r\nsecret\r\n", b"a1 login"),
        (b"a1 AUTHENTICATE PLAIN c2VjcmV0\r\n", b"a1 AUTHENTICATE PLAIN"),
        (b"a1 AUTHENTICATE secret\0\r\n", b"a1 AUTHENTICATE ***"),
        (b"a1 AUTHENTICATE secret\r\n", b"a1 AUTHENTICATE"),
        (b"a1 authenticate scram-sha-256 secret\r\n", b"a1 authenticate scram-sha-256"),
        (b"a1 LOGIN bob secret{5}\r\n", b"a1 LOGIN ***"),
    ],
)
def test_credentials_are_marked(data: bytes, shown: bytes) -> None:
    """What may be a credential is marked as it is read; the name of a mechanism is none."""
    seen = b""
    for piece in commands(reader(), data):
        if isinstance(piece, Malformed):
            seen += piece.line
        else:
            seen += octets(piece)[: piece.hidden]
    assert b"secret" not in seen
    assert seen.strip() == shown


def test_lines_that_are_no_commands_are_marked() -> None:
    """A password that came too early or too late, as a line of its own, is not shown."""
    each = reader()
    (early,) = commands(each, b"secret\r\n")
    assert isinstance(early, CommandLine)
    assert early.hidden == 0
    commands(each, b"a1 AUTHENTICATE PLAIN\r\n")
    each.replied(b"a1")
    (late,) = commands(each, b"AGJvYgBzZWNyZXQ=\r\n")
    assert isinstance(late, CommandLine)
    assert late.hidden == 0


def test_literals_pass_as_they_come() -> None:
    """A literal is not collected: each piece is given on at once, and nothing is held."""
    each = reader()
    commands(each, b"a1 APPEND x {52428800+}\r\n")
    for _ in range(100):
        (piece,) = commands(each, b"x" * 65536)
        assert len(octets(piece)) == 65536
        assert each.backlog == 0
