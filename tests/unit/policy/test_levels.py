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


NO_STARTTLS, UNTRUSTED = ("4.7.4", "starttls-not-supported"), ("4.7.5", "certificate-not-trusted")
INVALID = ("4.7.5", "validation-failure")
# What waits at level secure: its enhanced code, and its result type by RFC 8460 §4.3.
TYPES: Final[dict[Answer, tuple[str, str]]] = {
    Answer.ABSENT: NO_STARTTLS,
    Answer.REFUSED: NO_STARTTLS,
    Answer.FAILED: INVALID,
    Answer.INJECTED: INVALID,
    Answer.SELF_SIGNED: UNTRUSTED,
    Answer.WRONG_NAME: ("4.7.5", "certificate-host-mismatch"),
    Answer.EXPIRED: ("4.7.5", "certificate-expired"),
    Answer.UNKNOWN_AUTHORITY: UNTRUSTED,
    Answer.RIGHT_PIN: UNTRUSTED,
    Answer.WRONG_PIN: UNTRUSTED,
}


@pytest.mark.parametrize("answer", TYPES)
def test_deferral_has_the_code_and_type_of_its_reason(answer: Answer) -> None:
    """Where TLS begins at once nobody can have left STARTTLS out: such a server fails the handshake."""
    assert foresee("secure", answer)[2:] == TYPES[answer]
    assert foresee("secure", answer, implicit=True)[2:] == (INVALID if TYPES[answer] == NO_STARTTLS else TYPES[answer])


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
