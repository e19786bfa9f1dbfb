"""Invariant: as of the SMTP client, in the dialect LMTP, which hears a reply for each recipient."""

from __future__ import annotations

from fuzz.origins import plan, seeds
from fuzz.smtp_asking import SESSIONS, ask
from fuzz.words import ENDS, REPLIES

WORDS = REPLIES + ENDS
SEEDS = seeds(
    b"220 mx.example.org LMTP\r\n250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n220 go\r\n",
    b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.1.5 one\r\n452 4.2.2 full\r\n250 ok\r\n",
    b"220 mx\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n250 ok\r\n421 bye\r\n",
    choices=SESSIONS,
)


def target(data: bytes) -> None:
    """The four sessions, as of the SMTP client."""
    ask(plan(data, SESSIONS), "LMTP")
