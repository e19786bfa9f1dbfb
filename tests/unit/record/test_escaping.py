"""What a peer said does nothing where it is shown."""

from __future__ import annotations

import unicodedata

import pytest
from tests.unit.record.conversation import HOSTILE, hostile_session

from gatepost.record.columns import heading, rows
from gatepost.record.escaping import shown, shown_line, shown_text
from gatepost.record.summary import summarise

FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def harmless(text: str) -> bool:
    """No control, no direction, no other line, and nothing that is drawn as nothing."""
    return not any(unicodedata.category(char) in FORBIDDEN for char in text) and not set(text) & set(
        "\u3164\u115f\ufe0f"
    )


@pytest.mark.parametrize("octets", HOSTILE)
def test_octets_become_harmless_text(octets: bytes) -> None:
    """ESC, BEL, CR, bidirectional controls, zero width, octets that are no UTF-8: all are escaped."""
    assert harmless(shown(octets)) and harmless(shown_line(octets))
    assert harmless(shown_text(octets.decode("utf-8", "surrogateescape")))


def test_text_that_is_printable_stays() -> None:
    """Names with accents, Cyrillic and Thai vowel signs are left as they are."""
    for text in ("Grüße", "почта", "ที่อยู่", "e\u0301"):
        assert shown(text.encode()) == text == shown_text(text)


def test_octets_can_be_had_back() -> None:
    """A backslash of the peer is doubled, so that an escape of ours cannot be forged."""
    assert shown(b"\\x1b\x1b") == "\\\\x1b\\x1b"


def test_marks_do_not_pile_up() -> None:
    """Forty accents on one letter would be drawn over the lines above."""
    text = shown(("z" + "\u0300" * 40).encode())
    assert text.count("\u0300") == 3


def test_nothing_in_a_row_a_heading_or_a_list_is_dangerous() -> None:
    """Wherever a peer has a word: names of certificates, reasons, SNI, ALPN, headers, outcomes."""
    session = hostile_session()
    for row in rows(session):
        assert all(map(harmless, (row.text, row.note, row.digest, *row.details, *row.quoted)))
    assert all(map(harmless, heading(session).values()))
    assert all(map(harmless, summarise(session).cells()))
