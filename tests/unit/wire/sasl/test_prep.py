"""SASLprep (RFC 4013 §3 and RFC 3454)."""

from __future__ import annotations

import pytest

from gatepost.wire.sasl import PreparationError, saslprep


@pytest.mark.parametrize(
    ("given", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u00ad", ""),
        ("", ""),
    ],
)
def test_prepares_the_examples_of_rfc_4013(given: str, prepared: str) -> None:
    """Mapping, normalization and case are those of the RFC's own table."""
    assert saslprep(given) == prepared


@pytest.mark.parametrize(
    "given",
    ["\u0007", "\u0627\u0031", "a\r\nb", "a\0b", "\x7f", "\ue000", "\ufffd", "\u2028", "\x85\u00e9", "\u0627a\u0627"],
)
def test_refuses_what_is_prohibited(given: str) -> None:
    """Controls, private use, replacement characters and mixed directions are errors that do not quote the string."""
    with pytest.raises(PreparationError) as caught:
        saslprep(given)
    assert given not in str(caught.value)


def test_refuses_unassigned_code_points_only_for_storage() -> None:
    """A query may hold what Unicode 3.2 did not assign, a stored string may not (RFC 3454 §7)."""
    assert saslprep("\u0221x") == "\u0221x"
    with pytest.raises(PreparationError):
        saslprep("\u0221x", stored=True)


def test_refuses_endless_strings() -> None:
    """A long string is refused before any work is done on it."""
    with pytest.raises(PreparationError):
        saslprep("\u00aa" * 1025)


def test_right_to_left_text_is_taken_when_it_stands_alone() -> None:
    """An Arabic name is a name."""
    assert saslprep("\u0627\u0628") == "\u0627\u0628"
