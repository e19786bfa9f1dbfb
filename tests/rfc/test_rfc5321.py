"""SMTP: the clauses that no other test shows."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from tests.unit.wire.smtp.serving import codes, opened, plain

from gatepost.config.schema import Limits
from gatepost.wire.smtp.dialects import SMTP


@pytest.mark.parametrize("word", sorted(SMTP.words))
def test_command_words_are_taken_in_any_letter_case(word: str) -> None:
    """RFC 5321 §2.4: whatever is answered to a word, the same is answered to its other spellings."""
    lines = [spelling.encode() + b" a\r\n" for spelling in (word, word.lower(), word.title(), word.swapcase())]
    assert len({plain().say(line) for line in lines}) == 1


@pytest.mark.parametrize("length", [998, 999, 5000])
def test_line_of_content_may_have_1000_octets(length: int) -> None:
    """RFC 5321 §4.5.3.1.6: with its CRLF; ours may have more."""
    talk = opened(plain())
    line = b"x" * length + b"\r\n"
    assert codes(talk.say(b"DATA\r\n" + line + b".\r\n")) == [354, 250]
    assert talk.content == line


def test_limits_cannot_be_set_below_those_of_the_standard() -> None:
    """RFC 5321 §4.5.3.1: 100 recipients at least; what an operator writes below that is refused."""
    assert Limits().recipients >= 100
    with pytest.raises(ValidationError):
        Limits(recipients=99)


def test_server_waits_five_minutes_for_a_command() -> None:
    """RFC 5321 §4.5.3.2.7: as it comes."""
    assert Limits().command_timeout >= 300
