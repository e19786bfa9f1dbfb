"""Invariant: only CommandSyntaxError escapes from XCLIENT and XFORWARD, and what was told is told on as the same."""

from __future__ import annotations

from ipaddress import ip_address

from fuzz.words import ADDRESSES

from gatepost.wire.smtp.parameters import CommandSyntaxError
from gatepost.wire.smtp.xclient import ATTRIBUTES, Command, parse, words

WORDS = (
    *(b"NAME=", b"ADDR=", b"PORT=", b"PROTO=ESMTP", b"HELO=", b"LOGIN=", b"SOURCE=LOCAL", b"DESTADDR=", b"IPV6:"),
    *(b"[UNAVAILABLE]", b"[TEMPUNAVAIL]", b"192.0.2.1", b"2001:db8::1", b"+20", b"+3D", b"+E2+80+A8", b" ", b"IDENT="),
    *ADDRESSES,
)
SEEDS = (
    b"NAME=mx.example.org ADDR=192.0.2.1 PORT=40000 PROTO=ESMTP HELO=a LOGIN=alice+40example.org",
    b"NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 HELO=[TEMPUNAVAIL]",
    b"SOURCE=REMOTE IDENT=x",
)
_BOTH: tuple[Command, ...] = ("XCLIENT", "XFORWARD")


def target(data: bytes) -> None:
    """Both commands. What they hear is printable ASCII by then, as of every command."""
    text = data.decode("latin-1")
    if not (text.isascii() and text.isprintable()):
        return
    for command in _BOTH:
        try:
            told = parse(command, text)
        except CommandSyntaxError:
            continue
        if told.address:
            ip_address(told.address)
        assert 0 <= told.port <= 65535
        assert parse(command, words(command, told, ATTRIBUTES[command])) == told
