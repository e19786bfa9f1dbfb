"""LMTP: what its server offers."""

from __future__ import annotations

from tests.unit.wire.smtp.serving import plain


def test_server_lists_what_lmtp_asks_for() -> None:
    """RFC 2033 §5: PIPELINING and ENHANCEDSTATUSCODES must be there, 8BITMIME should be."""
    lines = plain(dialect="LMTP").say(b"LHLO client.example\r\n").decode().splitlines()
    assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= {line[4:] for line in lines}
