"""Advice for a port that begins the other way."""

from __future__ import annotations

from gatepost.cli.manner import manner_hint
from gatepost.errors import DeadlineExceeded, HandshakeError, VerificationError


def test_silence_in_place_of_a_greeting_suggests_tls_from_the_start() -> None:
    """A port with implicit TLS waits for the client, so that no greeting comes."""
    assert "--implicit" in manner_hint(DeadlineExceeded("no greeting in time"), implicit=False)
    assert manner_hint(DeadlineExceeded("no final in time"), implicit=False) == ""


def test_text_in_place_of_a_handshake_suggests_starttls() -> None:
    """A port with STARTTLS answers a handshake with its greeting."""
    assert "--implicit" in manner_hint(HandshakeError("plaintext arrived", plaintext=True), implicit=True)
    assert manner_hint(HandshakeError("no common version"), implicit=True) == ""
    assert manner_hint(VerificationError("expired", reason="expired"), implicit=True) == ""
