"""Answers of several lines: line ends, dots, counts, and TOP."""

from __future__ import annotations

import pytest

from gatepost.wire.pop3.multiline import MultilineWriter, top_filter, wire_octets

# Content, what goes out before the final dot.
CASES = [
    (b"", b""),
    (b"a", b"a\r\n"),
    (b"a\n", b"a\r\n"),
    (b"a\r\n", b"a\r\n"),
    (b".", b"..\r\n"),
    (b".\n", b"..\r\n"),
    (b"..\n", b"...\r\n"),
    (b"a\n.\nb\n", b"a\r\n..\r\nb\r\n"),
    (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
    (b"\n\n.\n", b"\r\n\r\n..\r\n"),
    (b"a\rb\n", b"a\rb\r\n"),
    (b"a\r.\r\n", b"a\r.\r\n"),
    (b"a\r", b"a\r\r\n"),
    (b"a\r\r\n", b"a\r\r\n"),
    (b"\0\xff\n", b"\0\xff\r\n"),
    (b"mixed\nends\r\nin\none", b"mixed\r\nends\r\nin\r\none\r\n"),
]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(("content", "wire"), CASES)
def test_writer_makes_line_ends_and_stuffs_dots(content: bytes, wire: bytes, size: int) -> None:
    """For every cut; and its count is what a client counts, before stuffing (RFC 1939 §11)."""
    writer = MultilineWriter()
    written = b"".join(map(writer.write, pieces(content, size))) + writer.finish()
    assert written == wire + b".\r\n"
    unstuffed = b"".join(line.removeprefix(b".") + b"\r\n" for line in wire.split(b"\r\n")[:-1])
    assert writer.octets == len(unstuffed) == wire_octets(pieces(content, size))


def test_writer_takes_empty_pieces() -> None:
    """They change nothing."""
    writer = MultilineWriter()
    assert writer.write(b"") + writer.write(b"a\r") + writer.write(b"") + writer.write(b"\n") == b"a\r\n"
    assert writer.finish() == b".\r\n"


MESSAGE = b"Subject: a\nX: b\n\n1\n2\n\n4"


@pytest.mark.parametrize("crlf", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("lines", "body"), [(0, b""), (1, b"1\n"), (2, b"1\n2\n"), (3, b"1\n2\n\n"), (4, b"1\n2\n\n4"), (99, b"1\n2\n\n4")]
)
def test_top_is_the_header_the_blank_line_and_so_many_lines(lines: int, body: bytes, size: int, crlf: bool) -> None:
    """For every cut and either line end (RFC 1939 §7)."""
    message, expected = MESSAGE, b"Subject: a\nX: b\n\n" + body
    if crlf:
        message, expected = message.replace(b"\n", b"\r\n"), expected.replace(b"\n", b"\r\n")
    assert b"".join(top_filter(pieces(message, size), lines)) == expected


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", b""),
        (b"A: b", b"A: b"),
        (b"A: b\n", b"A: b\n"),
        (b"A: b\n\n", b"A: b\n\n"),
        (b"\nbody\n", b"\n"),
        (b"\r\nbody\r\n", b"\r\n"),
        (b"A: b\n\r\nbody\n", b"A: b\n\r\n"),
        (b"A: b\n\rno end\n\nbody", b"A: b\n\rno end\n\n"),
        (b"A: b\r\r\nC: d\r\n\r\nbody", b"A: b\r\r\nC: d\r\n\r\n"),
    ],
)
def test_top_finds_the_blank_line_wherever_it_is(message: bytes, expected: bytes, size: int) -> None:
    """No body, no header, mixed line ends, and a CR that is no line."""
    assert b"".join(top_filter(pieces(message, size), 0)) == expected


def test_top_reads_no_further_than_it_must() -> None:
    """The rest of a large message is not read from the disk."""
    read = 0

    def source() -> object:
        nonlocal read
        for piece in (b"A: b\n\n", b"1\n", b"2\n", b"3\n"):
            read += 1
            yield piece

    found = source()
    assert hasattr(found, "__next__")
    assert b"".join(top_filter(found, 1)) == b"A: b\n\n1\n"  # type: ignore[arg-type]
    assert read == 2


def test_empty_pieces_of_a_message_mean_nothing() -> None:
    """Before the blank line, behind it, and to the counter."""
    message = [b"", b"A: b\n", b"", b"\n", b"", b"1\n", b"", b"2"]
    assert b"".join(top_filter(message, 5)) == b"".join(message)
    assert b"".join(top_filter(message, 1)) == b"A: b\n\n1\n"
    assert wire_octets(message) == len(b"A: b\r\n\r\n1\r\n2\r\n")
