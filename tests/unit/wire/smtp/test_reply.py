"""Replies know their octets."""

from __future__ import annotations

import pytest

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp import reply
from gatepost.wire.smtp.reply import Reply


def test_reply_is_one_line_with_its_enhanced_code() -> None:
    """The usual form."""
    assert Reply(250, "2.0.0", "Ok").octets == b"250 2.0.0 Ok\r\n"
    assert Reply(354, "", "Go on").octets == b"354 Go on\r\n"


def test_reply_repeats_the_enhanced_code_on_each_line() -> None:
    """RFC 2034 §4: every line of a multi-line reply carries it."""
    assert Reply(550, "5.7.1", ("No", "Really")).octets == b"550-5.7.1 No\r\n550 5.7.1 Really\r\n"


@pytest.mark.parametrize("bad", ["a\r\n250 ok", "a\nb", "a\rb", "\x1b[2J", "a\x00b", "a\x85b", "\u2028"])
def test_reply_cannot_be_split_by_its_text(bad: str) -> None:
    """Whatever text goes in, one line of printable characters comes out."""
    octets = Reply(550, "5.0.0", bad).octets
    assert octets.count(b"\r") == octets.count(b"\n") == 1
    assert octets[:-2].decode("ascii").isprintable()
    assert Reply(550, "5.0.0", bad, utf8=True).octets[:-2].decode().isprintable()


def test_reply_keeps_utf8_only_when_told_to() -> None:
    """Beyond ASCII only inside an SMTPUTF8 transaction."""
    assert Reply(550, "5.1.1", "für").octets == b"550 5.1.1 f?r\r\n"
    assert Reply(550, "5.1.1", "für", utf8=True).octets == "550 5.1.1 für\r\n".encode()


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 3000, "a" + "ü" * 3000, ("a", "y" * 600)])
def test_reply_lines_stay_within_the_limit(text: str | tuple[str, ...]) -> None:
    """RFC 5321 §4.5.3.1.5: 512 octets a line; the last one, and only that, ends the reply."""
    lines = Reply(250, "2.0.0", text, utf8=True).octets.split(b"\r\n")[:-1]
    assert all(len(line) <= 510 for line in lines)
    assert [line[3:4] for line in lines] == [b"-"] * (len(lines) - 1) + [b" "]
    for line in lines:
        line.decode()


@pytest.mark.parametrize(
    ("code", "enhanced"), [(199, ""), (600, ""), (250, "5.0.0"), (550, "2.0.0"), (550, "5.0"), (354, "3.0.0")]
)
def test_reply_refuses_codes_that_cannot_be(code: int, enhanced: str) -> None:
    """A wrong code is our own mistake, found when the reply is made."""
    with pytest.raises(LocalProtocolError):
        Reply(code, enhanced, "x")


def test_reply_knows_its_class() -> None:
    """Positive, temporary, permanent."""
    assert reply.OK.positive
    assert reply.DATA_GO_AHEAD.positive
    assert reply.TLS_UNAVAILABLE.temporary
    assert not reply.SYNTAX.positive
    assert not Reply(400, "", "Not now").positive
    assert not reply.SYNTAX.temporary
    assert str(Reply(550, "5.1.1", ("No", "one"))) == "550 5.1.1 No one"


def test_constants_carry_an_enhanced_code_wherever_one_is_due() -> None:
    """RFC 2034 §4: every 2xx, 4xx and 5xx but the greeting and the answers to hello."""
    constants = [value for value in vars(reply).values() if isinstance(value, Reply)]
    assert len(constants) > 30
    assert [constant for constant in constants if not constant.enhanced] == [reply.DATA_GO_AHEAD]
