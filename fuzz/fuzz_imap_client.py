"""Invariant: whatever a server behind says first, opening it ends with what it lists, or with a RemoteProtocolError;
and a response that is rewritten stays one response, of which only capabilities are gone."""

from __future__ import annotations

import re

from fuzz.origins import ORIGIN, plan, seeds
from fuzz.talking import talk_three_ways
from fuzz.words import ENDS, IMAP

from gatepost.wire.dialogue import Dialogue
from gatepost.wire.imap.capabilities import in_the_clear, rewrite, unasked_limit
from gatepost.wire.imap.client import log_out, open_here
from gatepost.wire.imap.identification import own_fields
from gatepost.wire.recipes.recipe import ClientTerms
from gatepost.wire.recipes.table import RECIPES

SESSIONS = 3
NAME = re.compile(rb'"((?:[^"\\]|\\.)*)" (?:"(?:[^"\\]|\\.)*"|NIL)', re.IGNORECASE)
WORDS = IMAP + ENDS
SEEDS = seeds(
    b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN COMPRESS=DEFLATE] hi\r\n",
    b"* OK hi\r\n* CAPABILITY IMAP4rev2 LITERAL- AUTH=SCRAM-SHA-256-PLUS\r\ng1 OK done\r\n",
    b"* OK hi\r\n* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\na2 OK go\r\n",
    b'* BYE\r\n("name" "a\\"b" "x-originating-ip" NIL)\r\n* PREAUTH x\r\n',
    choices=SESSIONS,
)


def opening() -> Dialogue[None]:
    """In the clear, or inside TLS from the beginning."""
    found = yield from open_here(60.0)
    assert found.greeting.endswith(b"\r\n")
    assert all(in_the_clear(found.capabilities))
    unasked_limit(found.listed)


def upgrading() -> Dialogue[None]:
    """Up to the handshake."""
    yield from RECIPES["imap"].client(ORIGIN, ClientTerms())


def leaving() -> Dialogue[None]:
    """The end."""
    yield from log_out(60.0)


def target(data: bytes) -> None:
    """The dialogues, and each line by itself."""
    told = plan(data, SESSIONS)
    talk_three_ways((opening, upgrading, leaving)[told.choice], told)
    for line in told.words.split(b"\r\n"):
        rewritten = rewrite(line + b"\r\n", starttls=bool(told.votes & 1), logins=bool(told.votes & 2)).octets
        assert rewritten.count(b"\r\n") == 1
        assert rewritten.endswith(b"\r\n")
        fields = own_fields(line)
        assert fields is None or not any(name.lower().startswith(b"x-originating-") for name in NAME.findall(fields))
