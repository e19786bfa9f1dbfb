"""What stands in place of content that was not recorded."""

from __future__ import annotations

import pytest

from gatepost.record.substitute import sender_of, substitute

SIZES = (*range(400), 1000, 20480, 65537)


@pytest.mark.parametrize("headers", [None, b"Subject: x\r\n"])
def test_size_is_exact_and_lines_are_clean(headers: bytes | None) -> None:
    """For every size: no line begins with a dot, no line end stands alone, and it ends with one where it can."""
    for size in SIZES:
        made = substitute(size, headers=headers)
        assert len(made) == size
        assert made.count(b"\r") == made.count(b"\n") == made.count(b"\r\n")
        assert not made.startswith(b".") and b"\n." not in made
        assert size < 2 or made.endswith(b"\r\n")


def test_recorded_header_is_kept() -> None:
    """What is known of the message is sent as it was."""
    assert substitute(200, headers=b"Subject: x\r\n").startswith(b"Subject: x\r\n\r\nThis stands")


@pytest.mark.parametrize(
    ("command", "sender"),
    [
        (b"MAIL FROM:<a@b.test> SIZE=3", b"a@b.test"),
        (b"mail from:<a@b.test>", b"a@b.test"),
        (b"MAIL FROM:<>", b"replay@localhost.invalid"),
        (b'MAIL FROM:<"a\r\nBcc: x"@b.test>', b"replay@localhost.invalid"),
    ],
)
def test_sender_is_taken_only_when_it_is_plain(command: bytes, sender: bytes) -> None:
    """Nothing that was recorded becomes a line of a header."""
    assert sender_of(command) == sender
