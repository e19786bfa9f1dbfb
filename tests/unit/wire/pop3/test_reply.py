"""Status lines, arguments, profiles."""

from __future__ import annotations

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.pop3 import reply
from gatepost.wire.pop3.exchange import parse_status
from gatepost.wire.pop3.grammar import ArgumentError, parse_number, parse_optional_number, parse_top
from gatepost.wire.pop3.profile import ServerProfile
from gatepost.wire.pop3.refusals import MalformedReply
from gatepost.wire.pop3.reply import LINE_LIMIT, Reply


@pytest.mark.parametrize(
    ("made", "octets"),
    [
        (Reply(True), b"+OK\r\n"),
        (Reply(True, "2 320"), b"+OK 2 320\r\n"),
        (Reply(False, "no"), b"-ERR no\r\n"),
        (Reply(False, "no", "SYS/TEMP"), b"-ERR [SYS/TEMP] no\r\n"),
        (Reply(False, "", "AUTH"), b"-ERR [AUTH]\r\n"),
        (Reply(True, "a\r\n+OK b\0é"), b"+OK a??+OK b??\r\n"),
        (Reply(True, "[AUTH] text"), b"+OK ([AUTH] text\r\n"),
    ],
)
def test_reply_is_one_line_of_printable_characters(made: Reply, octets: bytes) -> None:
    """Whatever text goes in; and a text is never taken for a response code (RFC 2449 §8)."""
    assert made.octets == octets


def test_reply_has_at_most_512_octets() -> None:
    """RFC 1939 §3, RFC 2449 §4."""
    long = Reply(True, "x" * 1000)
    assert len(long.octets) == LINE_LIMIT
    assert long.octets.endswith(b"x\r\n")


@pytest.mark.parametrize("code", ["auth", "A B", "A]", "/", "A/", "[A]", "A\r"])
def test_reply_refuses_what_is_no_code(code: str) -> None:
    """A code is made of levels between slashes."""
    with pytest.raises(LocalProtocolError):
        Reply(False, "x", code)


def test_reply_knows_whether_it_may_pass() -> None:
    """IN-USE, LOGIN-DELAY and SYS/TEMP pass; AUTH and SYS/PERM do not (RFC 3206 §4, §5; RFC 2449 §8.1)."""
    assert all(made.temporary for made in (reply.IN_USE, reply.LOGIN_DELAY, reply.SYSTEM_TEMPORARY))
    assert not any(made.temporary for made in (reply.AUTH_FAILED, reply.SYSTEM_PERMANENT, reply.OK))
    assert str(reply.AUTH_FAILED) == "-ERR [AUTH] Authentication failed"


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (b"+OK", Reply(True)),
        (b"+OK ", Reply(True)),
        (b"-ERR [in-use] busy", Reply(False, "busy", "IN-USE")),
        (b"-ERR [SYS/TEMP]", Reply(False, "", "SYS/TEMP")),
        (b"-ERR [AUTH]x", Reply(False, "x", "AUTH")),
        (b"+OK [not a code] x", Reply(True, "[not a code] x")),
        (b"+OK \x1b[2J\xff", Reply(True, "\\x1b[2J\\xff")),
    ],
)
def test_status_line_is_read(line: bytes, read: Reply) -> None:
    """Codes in any case; text made printable."""
    assert parse_status(line) == read


@pytest.mark.parametrize("line", [b"", b"+ok", b"+OKAY", b"-ERRx", b"250 ok", b"* OK", b" +OK", b"+", b"OK"])
def test_what_is_no_status_line_is_refused(line: bytes) -> None:
    """In particular +OK in another case or with a tail (RFC 1939 §3: upper case)."""
    with pytest.raises(MalformedReply):
        parse_status(line)


def test_numbers_are_what_they_look_like() -> None:
    """Positive, at most ten digits; a number of lines may be 0."""
    assert parse_number("1") == 1
    assert parse_optional_number("") is None
    assert parse_optional_number("9999999999") == 9_999_999_999
    assert parse_top("1 0") == (1, 0)
    for text in ("", "0", "-1", "+1", "01", "1 ", " 1", "١", "²", "1e3", "0x1", "1_0", "99999999999", "1\n"):
        with pytest.raises(ArgumentError):
            parse_number(text)
    for text in ("1", "-1 1", "0 1", "01 1", "1 -1", "1 00", "1 01", "1 1 1", "1 99999999999", "1 ٠", "1\t1"):
        with pytest.raises(ArgumentError):
            parse_top(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"hostname": ""},
        {"hostname": "a b"},
        {"hostname": "é"},
        {"banner": "<1896.697170952@dbc.mtview.ca.us>"},
        {"line_limit": 252},
        {"max_errors": -1},
        {"login_delay": -1},
        {"expire": -1},
    ],
)
def test_profile_refuses_what_cannot_be(settings: dict[str, object]) -> None:
    """Also a banner that would offer APOP (RFC 1939 §7)."""
    with pytest.raises(LocalProtocolError):
        ServerProfile(**{"hostname": "mx.example.org", **settings})  # type: ignore[arg-type]


def test_profile_lists_mail_that_is_deleted_at_once() -> None:
    """EXPIRE 0 is a policy, NEVER another (RFC 2449 §6.7)."""
    assert b"EXPIRE 0\r\n" in ServerProfile(hostname="a", expire=0).plain_capabilities
    assert b"EXPIRE NEVER\r\n" in ServerProfile(hostname="a").plain_capabilities
