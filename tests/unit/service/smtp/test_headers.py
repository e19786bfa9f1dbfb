"""What is read of a message's header section, and what is not."""

import time

import pytest

from gatepost.service.smtp.headers import HEADER_LIMIT, Header, HeaderGate


def test_gate_holds_the_header_back_until_it_is_whole() -> None:
    """Nothing is written before the whole header section was seen, wherever the content is cut."""
    content = b"From: a@b.example\r\nSubject: x\r\n\r\nbody\r\n"
    for cut in range(len(content)):
        gate = HeaderGate()
        first = gate.feed(content[:cut])
        if first is None:
            assert gate.feed(content[cut:]) == content
        else:
            assert b"\r\n\r\n" in first


def test_gate_passes_a_header_without_end() -> None:
    """A header section cannot be used to fill the memory."""
    gate = HeaderGate()
    assert gate.feed(b"x" * HEADER_LIMIT) is None
    passed = gate.feed(b"x")
    assert passed is not None
    assert len(passed) == HEADER_LIMIT + 1


def test_gate_gives_back_a_message_that_is_all_header() -> None:
    """A message without a blank line is kept whole."""
    gate = HeaderGate()
    assert gate.feed(b"Subject: x\r\n") is None
    assert gate.finish() == b"Subject: x\r\n"


def test_header_counts_hops_in_the_header_section_only() -> None:
    """Received fields quoted in a body are not hops."""
    header = Header(b"RECEIVED: a\r\nReceived: b\r\n c\r\nSubject: x\r\n\r\nReceived: d\r\n")
    assert header.count(b"received") == 2
    assert header.has(b"subject")
    assert not header.has(b"date")


def test_header_knows_a_message_without_one() -> None:
    """Content that begins with its body has no header section."""
    assert Header(b"hello there\r\n\r\nDate: x\r\n").missing
    assert Header(b"\r\nDate: x\r\n").missing
    assert not Header(b"Date: x\r\n").missing


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"From: a@b.example\r\n", ["a@b.example"]),
        (b"From: =?utf-8?q?J=C3=BCrgen?= <j@b.example>,\r\n c@d.example\r\n", ["j@b.example", "c@d.example"]),
        (b'From: "x@evil.example" <a@b.example>\r\n', ["a@b.example"]),
        (b"Subject: x\r\n", []),
        (b"From: nobody\r\n", None),
        (b"From:\r\n", None),
    ],
)
def test_header_reads_authors(field: bytes, expected: list[str] | None) -> None:
    """The authors are the addresses of the From field; what cannot be read is not guessed."""
    assert Header(field + b"\r\n").addresses(b"from") == expected


def test_header_reads_every_from_field() -> None:
    """A second From field cannot hide an author."""
    header = Header(b"From: a@b.example\r\nFrom: evil@c.example\r\n\r\n")
    assert header.addresses(b"from") == ["a@b.example", "evil@c.example"]


def test_gate_searches_each_octet_once() -> None:
    """A header that comes one octet at a time costs no more than its length."""
    gate = HeaderGate()
    piece = b"X-Long: " + b"y" * 60 + b"\r\n"
    for _ in range(3000):
        assert gate.feed(piece) is None
    began = time.process_time()
    for _ in range(20_000):
        gate.feed(b"z")
    assert time.process_time() - began < 2  # searching all of it again each time takes half a minute


def test_header_takes_no_notice_of_blanks_before_a_colon() -> None:
    """`From :` is a From field to readers (RFC 5322 §4.5), so it is one here."""
    header = Header(b"Subject: x\r\nFrom : evil@c.example\r\nReceived\t: y\r\n\r\n")
    assert header.addresses(b"from") == ["evil@c.example"]
    assert header.count(b"received") == 1
