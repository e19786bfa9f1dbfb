"""Invariant: whatever answers come from DNS, a look-up returns one and raises nothing; hosts in it are host names,
addresses are addresses, and there is a limited number of them."""

from __future__ import annotations

import asyncio
import re
import warnings
from ipaddress import ip_address
from typing import Any

import dns.exception
import dns.message
import dns.rdatatype
import dns.resolver
import dns.reversename
from fuzz.origins import plan
from fuzz.words import BINARY

from gatepost.net.resolve import ADDRESS_LIMIT, MX_LIMIT, NAME_LIMIT, RECORD_LIMIT, DNSResolver, Lookup

HOST = re.compile(r"[a-z0-9._-]{1,255}")
REVERSE = "1.2.0.192.in-addr.arpa"
QUESTIONS = (
    ("example.org", "MX"),
    ("example.org", "A"),
    ("example.org", "AAAA"),
    ("example.org", "TXT"),
    (REVERSE, "PTR"),
)
_TEXTS = (
    "example.org. 60 IN MX 10 mx.example.org.\nexample.org. 60 IN MX 20 Mx2.example.org.",
    "example.org. 60 IN CNAME a.example.\na.example. 60 IN A 192.0.2.1",
    "example.org. 60 IN AAAA 2001:db8::1",
    'example.org. 60 IN TXT "v=spf1 " "-all"',
    f"{REVERSE}. 60 IN PTR mx.example.org.",
)


def answer(number: int, text: str) -> bytes:
    """A good answer, as it is on the wire."""
    name, kind = QUESTIONS[number]
    return dns.message.from_text(
        f"id 0\nopcode QUERY\nrcode NOERROR\nflags QR RD RA\n;QUESTION\n{name}. IN {kind}\n;ANSWER\n{text}\n"
    ).to_wire()


WORDS = (
    *BINARY, b"\xc0\x0c", b"\x02mx\x07example\x03org\0", b"\0\x01\0\x01\0\0\0\x3c\0\4\xc0\0\2\1", b"\0\x0f\0\x01",
    b"\0\x05\0\x01", b"\0\x06\0\x01",
)  # fmt: skip
SEEDS = (
    *(bytes((number, 0)) + answer(number, text) for number, text in enumerate(_TEXTS)),
    b"\0\0" + answer(0, "example.org. 60 IN MX 0 ."),
)


class Answered:
    """In place of the resolver of the library: reads octets as the answer to every question, as it would."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire

    async def resolve(self, name: Any, kind: Any, **settings: Any) -> dns.resolver.Answer:
        """What the library makes of a response."""
        message = dns.message.from_wire(self._wire, one_rr_per_rrset=False)
        if not isinstance(message, dns.message.QueryMessage):
            raise dns.exception.DNSException
        asked = dns.message.make_query(name, kind)
        message.question = asked.question  # a response to another question is none
        return dns.resolver.Answer(asked.question[0].name, kind, asked.question[0].rdclass, message)


async def ask(resolver: DNSResolver) -> None:
    """Every question."""
    mx = await resolver.mx("example.org")
    assert len(mx.exchangers) <= MX_LIMIT
    assert all(not each.host or HOST.fullmatch(each.host) for each in mx.exchangers)
    addresses = await resolver.addresses("example.org")
    assert len(addresses.addresses) <= ADDRESS_LIMIT
    assert all(ip_address(each) for each in addresses.addresses)
    names = await resolver.names("192.0.2.1")
    assert len(names.names) <= NAME_LIMIT
    assert all(HOST.fullmatch(each) for each in names.names)
    for kind in ("A", "AAAA", "MX", "PTR", "TXT"):
        records = await resolver.records("example.org", kind)
        assert len(records.records) <= RECORD_LIMIT
        assert records.status is not Lookup.FOUND or all(
            isinstance(each, str | bytes | tuple) for each in records.records
        )


def target(data: bytes) -> None:
    """One response for all questions."""
    told = plan(data)
    resolver = DNSResolver(["192.0.2.53"])
    resolver._resolver = Answered(told.words)  # type: ignore[assignment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(ask(resolver))
