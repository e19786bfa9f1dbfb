"""Invariant: nothing escapes from reading the answers of a server for a comparison, and an answer does not differ from
itself."""

from __future__ import annotations

from fuzz.origins import plan, seeds
from fuzz.words import ENDS, IMAP, POP3_REPLIES, REPLIES

from gatepost.record.answers import READERS, Answer, differences
from gatepost.record.outcomes import refuses

WORDS = REPLIES + POP3_REPLIES + IMAP + ENDS
SEEDS = seeds(
    b"250-mx\r\n250-STARTTLS\r\n250 SIZE 9\r\n550 no\r\n",
    b"+OK\r\nTOP\r\nSTLS\r\n.\r\n-ERR no\r\n",
    b"* CAPABILITY IMAP4rev1\r\n* 1 FETCH (BODY[] {3}\r\nabc)\r\na OK done\r\n",
    choices=3,
)
PROTOCOLS = ("smtp", "pop3", "imap")
COMMANDS = ((b"EHLO a", b"NOOP", b""), (b"CAPA", b"LIST", b"STAT"), (b"a CAPABILITY", b"a FETCH 1 BODY[]", b""))


def target(data: bytes) -> None:
    """Line by line; behind an answer the next one begins."""
    told = plan(data, 3)
    protocol, commands = PROTOCOLS[told.choice], COMMANDS[told.choice]
    command = commands[told.votes % 3]
    reader = READERS[protocol](command)
    found: list[Answer] = []
    for line in told.words.split(b"\r\n"):
        refuses(line, protocol)
        answer = reader.content() if reader.literal else reader.feed(line)
        if answer is not None:
            found.append(answer)
            reader = READERS[protocol](command)
    for answer in found:
        assert differences(answer, answer, exact=True) == ()
        assert differences(answer, answer, exact=False) == ()
        assert answer.goes_on in (True, False)
        assert answer.refused in (True, False)
