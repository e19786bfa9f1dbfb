"""What may be shown of what a client said."""

from __future__ import annotations

from gatepost.wire.witness import shown_residue


def test_residue_shows_its_commands_and_nothing_behind_them() -> None:
    """An operator sees what was injected; a password that a broken client sent too early is not in the log."""
    residue = b"mail FROM:<x@y>\r\nAUTH PLAIN AGEAc2VjcmV0\r\nsecret\r\nRSET\r\nPASS secret"
    assert shown_residue(residue) == b"MAIL ***\r\nAUTH ***\r\n***\r\nRSET\r\nPASS ***"


def test_residue_is_looked_at_up_to_a_limit() -> None:
    """However much a client sends, little is written."""
    assert shown_residue(b"NOOP\r\n" * 1000, 12) == b"NOOP\r\nNOOP\r\n"
    assert shown_residue(b"") == b""
