"""CRLF becomes LF, wherever the content was cut, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.mailbox.lineends import LineEndCounter


def convert(*chunks: bytes) -> tuple[bytes, LineEndCounter]:
    counter = LineEndCounter()
    return b"".join(counter.convert(chunks)), counter


@pytest.mark.parametrize(
    ("chunks", "stored"),
    [
        ((b"a\r\nb\r\n",), b"a\nb\n"),
        ((b"a\r", b"\nb"), b"a\nb"),
        ((b"a\r", b"b"), b"a\rb"),
        ((b"a\r",), b"a\r"),
        ((b"\r", b"\r", b"\n"), b"\r\n"),
        ((b"\r", b"", b"\n"), b"\n"),
        ((b"a\nb\x00\xff",), b"a\nb\x00\xff"),
        ((), b""),
    ],
)
def test_only_crlf_changes(chunks: tuple[bytes, ...], stored: bytes) -> None:
    """A CR or LF alone, NULs and high octets are stored as they came."""
    assert convert(*chunks)[0] == stored


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"xyz", b""]), max_size=30))
def test_conversion_does_not_depend_on_the_cuts(chunks: list[bytes]) -> None:
    """However the network cut the content, the file is the same."""
    whole = b"".join(chunks)
    stored, counter = convert(*chunks)
    assert stored == whole.replace(b"\r\n", b"\n")
    assert counter.stored == len(stored)
    assert counter.on_wire == len(stored) + stored.count(b"\n")


def test_size_on_the_wire_is_that_of_crlf_content() -> None:
    """A reader that is told the size counts CRLF line ends (RFC 1939 §11)."""
    content = b"Subject: x\r\n\r\nbody\r\n"
    assert convert(content[:11], content[11:])[1].on_wire == len(content)
