"""Invariant: whatever comes, nothing escapes, replies are well-formed, memory is bounded, an end is an end, and events
and replies do not depend on how the octets are cut."""

from __future__ import annotations

from fuzz.origins import plan, seeds
from fuzz.smtp_serving import ENGINES, profiles, serve
from fuzz.words import ADDRESSES, ENDS, SMTP

OURS, GATE = profiles({})
WORDS = SMTP + ADDRESSES + ENDS
SEEDS = seeds(
    b"EHLO client.example\r\nMAIL FROM:<a@example.org> SIZE=20\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
    b"Subject: hi\r\n\r\n..dot\r\n.\r\nRSET\r\nQUIT\r\n",
    b"EHLO a\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nMAIL FROM:<> BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<\xc3\xbc@b>\r\n"
    b"BDAT 4\r\nab\r\nBDAT 3 LAST\r\nc\r\nNOOP\r\n",
    b"EHLO a\r\nSTARTTLS\r\n\x16\x03\x01\x00\x05\x01",
    b"EHLO a\r\nAUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n*\r\nXCLIENT ADDR=192.0.2.9\r\nVRFY x\r\nHELP\r\n",
    b"HELO a\r\nMAIL FROM:<a@b> AUTH=<> ENVID=x+2By RET=HDRS\r\n"
    b"RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+3Dx@d\r\nDATA\r\nx\ny\rz\0\r\n.\r\n",
    choices=ENGINES,
)


def target(data: bytes) -> None:
    """The engine in the clear, inside TLS, inside TLS at a gate, and the one that stays in the clear."""
    serve(plan(data, ENGINES), OURS, GATE)
