"""The ladder of levels, as a table."""

from __future__ import annotations

from typing import Final

import pytest

from gatepost.policy.levels import DEMANDS, LADDER, SEATS, Answer, Fate, Level, foresee, raised, reached

P, C, W = Fate.PRIVATE, Fate.IN_CLEAR, Fate.WAITS
# Columns: none, may, encrypt, fingerprint, verify, secure. Written by hand from Postfix's TLS_README.
TABLE: Final[dict[Answer, tuple[Fate, ...]]] = {
    Answer.ABSENT: (C, C, W, W, W, W),
    Answer.REFUSED: (C, C, W, W, W, W),
    Answer.FAILED: (C, C, W, W, W, W),
    Answer.INJECTED: (C, W, W, W, W, W),
    Answer.GOOD: (C, P, P, W, P, P),
    Answer.SELF_SIGNED: (C, P, P, W, W, W),
    Answer.WRONG_NAME: (C, P, P, W, W, W),
    Answer.EXPIRED: (C, P, P, W, W, W),
    Answer.UNKNOWN_AUTHORITY: (C, P, P, W, W, W),
    Answer.RIGHT_PIN: (C, P, P, P, W, W),
    Answer.WRONG_PIN: (C, P, P, W, W, W),
}


@pytest.mark.parametrize("answer", Answer)
def test_levels_foresee_every_answer(answer: Answer) -> None:
    """What waits has a code and a TLSRPT type; what is sent has neither."""
    found = [foresee(level, answer) for level in DEMANDS]
    assert tuple(each.fate for each in found) == TABLE[answer]
    assert all(bool(each.enhanced) == bool(each.tlsrpt) == (each.fate is W) for each in found)


def test_levels_are_postfixs_in_its_order() -> None:
    """Each level has its meaning or its seat."""
    assert LADDER == ("none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure")
    assert set(LADDER) == {*DEMANDS, *SEATS}


@pytest.mark.parametrize("level", DEMANDS)
def test_implicit_tls_and_logins_raise_what_would_go_in_the_clear(level: Level) -> None:
    """A password never travels in the clear; implicit TLS has no clear to go in."""
    for login, implicit in ((True, False), (False, True)):
        assert raised(level, login=login, implicit=implicit) == ("encrypt" if level in ("none", "may") else level)
    assert raised(level, login=False, implicit=False) == level
    assert all(foresee(level, answer, implicit=True).fate is not Fate.IN_CLEAR for answer in Answer)


def test_levels_that_were_reached() -> None:
    """From how the certificate was judged; a verified one was verified for the name that the level goes by."""
    assert [reached("may", status) for status in (None, "none", "untrusted", "verified")] == [
        "none", "encrypt", "encrypt", "verify",
    ]  # fmt: skip
    assert reached("secure", "verified") == "secure"
    assert reached("fingerprint", "pinned") == "fingerprint"
