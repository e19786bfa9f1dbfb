"""What the names of Maildir files say, and the unique ids made of them."""

from __future__ import annotations

import re

import pytest

from gatepost.mailbox.filenames import FileName, parse, seconds_of, unique_id

OURS = "1700000000.M250000Q0123456789abcdef0123456789abcdef.mx.example.org"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (f"{OURS},S=12,W=14", FileName(OURS, 12, 14, "")),
        (f"{OURS},S=12,W=14:2,FS", FileName(OURS, 12, 14, "FS")),
        (f"{OURS},W=14,S=12:2,", FileName(OURS, 12, 14, "")),
        (f"{OURS},S=12", FileName(OURS, 12, None, "")),
        ("5.foreign.host", FileName("5.foreign.host", None, None, "")),
        ("5.a=b.host,S=1,W=2", FileName("5.a=b.host", 1, 2, "")),
        ("5.host,S=x,W=2", FileName("5.host,S=x", None, 2, "")),
        ("5.host,S=1,X=7,W=2", FileName("5.host,X=7", 1, 2, "")),
        ("5.host:1,experimental", FileName("5.host", None, None, "")),
        ("5.host,S=٣,W=٤", FileName("5.host,S=٣,W=٤", None, None, "")),
    ],
)
def test_name_is_read_into_identity_sizes_and_flags(name: str, found: FileName) -> None:
    """Whoever wrote it, and in whichever order."""
    assert parse(name) == found


def test_identity_survives_everything_that_programs_do_to_a_name() -> None:
    """Flags, and the size repair of Dovecot."""
    names = (OURS, f"{OURS}:2,S", f"{OURS},S=12:2,FS", f"{OURS},S=12,W=14:2,abc", f"{OURS},S=13,W=15")
    assert {parse(name).identity for name in names} == {OURS}


def test_size_of_too_many_digits_is_not_believed_to_be_a_size() -> None:
    """A name cannot make a number of a thousand digits."""
    assert (parse(f"x,S={'9' * 200},W={'9' * 200}").size or 0) < 10**18


def test_seconds_come_first_in_a_name() -> None:
    """The order of messages."""
    assert [seconds_of(name) for name in (OURS, "12.x", "x.12", "", "9" * 40)] == [1700000000, 12, 0, 0, 0]


@pytest.mark.parametrize("name", ["plain.name", "!", "a" * 70, OURS[:70]])
def test_fitting_identity_is_the_unique_id(name: str) -> None:
    """What the operator sees on disk is what the client sees."""
    assert unique_id(name) == name


@pytest.mark.parametrize("name", ["a" * 71, "with blank", "umlaut.ä", "odd\udcff", "line\nend", "", "~tilde", "\x7f"])
def test_unfit_identity_is_hashed_into_a_fit_one(name: str) -> None:
    """RFC 1939 §7: 1 to 70 characters of 0x21 to 0x7E; and no two identities have the same id."""
    made = unique_id(name)
    assert re.fullmatch(r"~[0-9a-f]{64}", made)
    assert made == unique_id(name) != unique_id(name + "x")


def test_twins_are_told_apart() -> None:
    """Files of one identity get ids of their own, which neither has alone."""
    assert len({unique_id("x"), unique_id("x", 1, 5), unique_id("x", 2, 5)}) == 3
