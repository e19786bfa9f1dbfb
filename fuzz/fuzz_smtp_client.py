"""Invariant: whatever a server says, a client ends with a value or a RemoteProtocolError, texts are printable, memory
is bounded, and the end does not depend on how the octets of a line are cut."""

from __future__ import annotations

from fuzz.origins import plan, seeds
from fuzz.smtp_asking import SESSIONS, ask
from fuzz.words import ENDS, REPLIES

WORDS = REPLIES + ENDS
SEEDS = seeds(
    b"220 mx.example.org ESMTP\r\n250-mx\r\n250-AUTH PLAIN LOGIN\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
    b"220 go\r\n",
    b"220 mx\r\n250-mx\r\n250-8BITMIME\r\n250 AUTH LOGIN\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 ok\r\n"
    b"250 ok\r\n"
    b"250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 queued\r\n",
    b"220 mx\r\n500 what\r\n250 mx\r\n220 x\r\n334 \r\n235 ok\r\n250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n"
    b"250 ok\r\n",
    b"250 ok\r\n552 5.5.3 many\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n503 no\r\n250 ok\r\n421 bye\r\n",
    choices=SESSIONS,
)


def target(data: bytes) -> None:
    """Up to the upgrade, a session with a login, what a gate passes on, and a session that is greeted already."""
    ask(plan(data, SESSIONS), "SMTP")
