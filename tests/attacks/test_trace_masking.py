"""The attacker is the server, or answers in its place, and wants a password in the trace that its owner shows."""

from __future__ import annotations

import pytest

from gatepost.net.redaction import Redactor

SECRET = b"AHUAUzNjcjN0UGE1NXdvcmQ="


def shown(redactor: Redactor, *, client: bytes = b"", server: bytes = b"") -> bytes:
    """What is shown of what one side says."""
    pieces = redactor.to_server(client) if client else redactor.from_server(server)
    return b"".join(piece.data for piece in pieces)


@pytest.mark.parametrize("asked", [b"EHLO me\r\n", b"NOOP\r\n", b"RCPT TO:<DATA>\r\n"])
def test_attacker_cannot_have_a_login_taken_for_the_text_of_a_message(asked: bytes) -> None:
    """Goal: 354 where nobody asked for it, so that the commands behind it count as content and are shown."""
    redactor = Redactor()
    shown(redactor, client=asked)
    shown(redactor, server=b"354 go ahead\r\n")
    assert SECRET not in shown(redactor, client=b"AUTH PLAIN " + SECRET + b"\r\n")


def test_attacker_cannot_have_a_login_behind_a_message_taken_for_its_text() -> None:
    """Goal: the same by a second 354, behind a message that was sent and accepted."""
    redactor = Redactor()
    shown(redactor, client=b"DATA\r\n")
    shown(redactor, server=b"354 go ahead\r\n")
    text = b"AUTH is a word here\r\n.\r\n"
    assert shown(redactor, client=text) == text
    shown(redactor, server=b"250 accepted\r\n354 go ahead\r\n")
    assert SECRET not in shown(redactor, client=b"AUTH PLAIN " + SECRET + b"\r\n")
