"""Bodies of messages, in a row or in a file."""

from __future__ import annotations

from gatepost.queue.item import BodyRef, FileBody, InlineBody


def test_both_kinds_of_bodies_tell_their_length_and_no_content() -> None:
    """Who counts octets need not know where they are; what is printed of a message has none of them."""
    bodies: list[BodyRef] = [InlineBody(b"a secret\r\n"), FileBody("a-name", 10, "00" * 32)]
    assert [body.length for body in bodies] == [10, 10]
    assert "secret" not in repr(bodies)
