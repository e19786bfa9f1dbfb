"""Invariant: as of the SMTP server, in the dialect LMTP, with one reply for each recipient, and with bare line feeds
taken for line ends."""

from __future__ import annotations

from fuzz.origins import plan, seeds
from fuzz.smtp_serving import ENGINES, profiles, serve
from fuzz.words import ADDRESSES, ENDS, SMTP

OURS, GATE = profiles({"dialect": "LMTP", "normalise": True, "max_recipients": 3})
WORDS = SMTP + ADDRESSES + ENDS
SEEDS = seeds(
    b"LHLO client.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    b"Subject: hi\n\n..dot\n.\nQUIT\n",
    b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nRCPT TO:<g@h>\r\n"
    b"BDAT 4\r\nab\r\nBDAT 3 LAST\r\nc\nRSET\r\n",
    choices=ENGINES,
)


def target(data: bytes) -> None:
    """The four engines, as of the SMTP server."""
    serve(plan(data, ENGINES), OURS, GATE)
