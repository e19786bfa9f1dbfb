"""BER as LDAP writes it: what is read and written of it."""

from __future__ import annotations

import pytest

from gatepost.testing.memory import MemoryDriver, ScriptedPeer
from gatepost.wire.recipes import ber
from gatepost.wire.recipes.conversation import Conversation
from gatepost.wire.recipes.recipe import UnexpectedWords


def read(octets: bytes, limit: int = 1000) -> bytes:
    """The content of the first message."""
    return MemoryDriver(ScriptedPeer((b"", octets))).run(ber.message(Conversation(1.0), limit, "message"))


@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 256, 65536])
def test_what_is_written_is_read(length: int) -> None:
    """Lengths in the short form, and in the long one where they must be."""
    content = b"x" * length
    written = ber.element(ber.SEQUENCE, content)
    assert ber.elements(written) == [(ber.SEQUENCE, content)]
    if length <= 1000:
        assert read(written) == content


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2147483647])
def test_numbers_come_back(number: int) -> None:
    """None of them looks negative."""
    ((tag, content),) = ber.elements(ber.integer(number))
    assert (tag, ber.number(content)) == (ber.INTEGER, number)


def test_lengths_may_be_longer_than_they_must() -> None:
    """Some servers always write four octets."""
    assert read(b"\x30\x84\0\0\0\1x") == b"x"
    assert ber.elements(b"\4\x84\0\0\0\1x") == [(4, b"x")]


@pytest.mark.parametrize(
    "octets",
    [b"\x31\1x", b"\x30\x80x\0\0", b"\x30\x85\0\0\0\0\1x", b"\x30\x84\x7f\xff\xff\xff", b"\x30\x82\3\xe9"],
    ids=["set", "indefinite", "long length", "huge", "over the limit"],
)
def test_what_is_no_message_is_refused_by_its_head(octets: bytes) -> None:
    """Nothing is waited for that will not be read."""
    with pytest.raises(UnexpectedWords):
        read(octets)


@pytest.mark.parametrize(
    "octets",
    [b"\4", b"\4\2x", b"\4\x80", b"\4\x81", b"\4\x84\xff\xff\xff\xff", b"\4\x85\0\0\0\0\0", b"\x1f\1x", b"\4\1xy"],
)
def test_elements_fill_what_they_stand_in(octets: bytes) -> None:
    """Cut short, too long, indefinite, or with a tag of several octets: refused."""
    with pytest.raises(UnexpectedWords):
        ber.elements(octets)


@pytest.mark.parametrize("octets", [b"", b"\x80", b"\xff", b"\0\0\0\0\1"])
def test_numbers_that_ldap_does_not_have_are_refused(octets: bytes) -> None:
    """Negative, empty, too long."""
    with pytest.raises(UnexpectedWords):
        ber.number(octets)
