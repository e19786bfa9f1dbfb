"""Invariant: whatever a server says, a client half ends with a token, a peer's error or a deadline, says little, holds
little, and ends alike for every cut of a line."""

from __future__ import annotations

from fuzz.origins import ORIGIN, plan
from fuzz.talking import talk_three_ways
from fuzz.words import BINARY, ENDS, IMAP, POP3_REPLIES, REPLIES, XML

from gatepost.testing.recipes import CLIENT_TERMS
from gatepost.wire.dialogue import Dialogue
from gatepost.wire.recipes.recipe import Recipe
from gatepost.wire.recipes.table import RECIPES

NAMES = sorted(RECIPES)
OF_OCTETS = ("ldap", "mysql", "postgres", "raw", "xmpp", "xmpp-server")
OPENINGS = {
    "ftp": b"220 hi\r\n211-x\r\n AUTH TLS\r\n211 x\r\n234 go\r\n",
    "imap": b"* OK hi\r\n* CAPABILITY STARTTLS\r\na1 OK\r\na2 OK go\r\n",
    "irc": b":s CAP * LS :tls\r\n:s 670 * :go\r\n",
    "ldap": b"0\x0c\x02\x01\x01x\x07\n\x01\0\4\0\4\0",
    "lmtp": b"220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n",
    "mysql": b"R\0\0\0\n8.0\0\1\0\0\0gatepost\0\1\xaa-\2\0\x08\0\x15"
    + bytes(10)
    + b"gatepost1234\0mysql_native_password\0",
    "nntp": b"200 x\r\n101 x\r\nSTARTTLS\r\n.\r\n382 go\r\n",
    "pop3": b"+OK\r\n+OK\r\nSTLS\r\n.\r\n+OK\r\n",
    "postgres": b"S",
    "sieve": b'"STARTTLS"\r\n"SIEVE" "a"\r\nOK\r\nOK {3}\r\nabc\r\n',
    "smtp": b"220 x\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n",
    "xmpp": b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' "
    b"version='1.0'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
    b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
}
WORDS = (
    b'"STARTTLS"\r\n', b"OK\r\n", b"OK {3}\r\n", b"200 x\r\n", b"101 x\r\nSTARTTLS\r\n.\r\n", b"382 x\r\n",
    b"234 x\r\n", b"211-x\r\n AUTH TLS\r\n211 x\r\n", b":s CAP * LS :tls\r\n", b":s CAP * LS * :\r\n",
    b":s 670 *\r\n", b"PING x\r\n", b"S", b"N", b"E", b"\x30\x84", *REPLIES, *POP3_REPLIES, *IMAP, *XML, *BINARY,
    *ENDS,
)  # fmt: skip
SEEDS = tuple(
    bytes((NAMES.index(name) + len(NAMES) * size, 0)) + words for name, words in OPENINGS.items() for size in (0, 9)
)


def half(recipe: Recipe) -> Dialogue[None]:
    """A client's half, and its token."""
    ready = yield from recipe.client(ORIGIN, CLIENT_TERMS)
    assert ready.spend() is ORIGIN


def target(data: bytes) -> None:
    """One recipe an input."""
    told = plan(data, len(NAMES))
    name = NAMES[told.choice]
    talk_three_ways(lambda: half(RECIPES[name]), told, of_lines=name not in OF_OCTETS)
