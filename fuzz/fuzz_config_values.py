"""Invariant: only ValueError escapes from reading the values of keys, and what they become is written as it is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

from fuzz.words import ADDRESSES, ENDS, VALUES

from gatepost.config import endpoints, entries, names, quantities
from gatepost.policy.addresses import AddressList
from gatepost.policy.names import NameList

CHECKS: tuple[Callable[[str], str], ...] = (
    names.check_domain, names.check_local_part, names.check_address, entries.check_name, entries.check_exempt,
    entries.check_certificate_name, entries.check_certificate_mailbox, entries.check_fingerprint,
    entries.check_mailbox_entry, entries.check_sender, entries.check_country,
)  # fmt: skip
READERS: tuple[Callable[[str], object], ...] = (
    endpoints.parse_endpoint, endpoints.parse_bind, endpoints.parse_nameserver, endpoints.address_of,
    lambda text: endpoints.parse_endpoint(text, default_port=25),
    quantities.parse_duration, quantities.parse_size, entries.is_address_entry, entries.file_of,
)  # fmt: skip
WORDS = (*VALUES, *ADDRESSES, *ENDS)
SEEDS = (
    b"192.0.2.0/24", b"192.0.2.1-192.0.2.9", b"192.0.2.*", b"!2001:db8::/32", b"::ffff:192.0.2.1", b"127.0.0.1:25",
    b"[2001:db8::1]:25", b"mx.example.org:587", b"5d", b"1.5h", b"50 MiB", b"52428800", b"a@example.org", b"a@", b"<>",
    b".example.org", b"b\xc3\xbccher.example", b"sha256:" + b"ab:" * 31 + b"ab", b"DE", b"file:/etc/x", b"*",
    b"192.0.2.0/24\n!192.0.2.128/25\n10.0.0.0/8",
)  # fmt: skip


def target(data: bytes) -> None:
    """Every reader takes the same text; its lines are a list of addresses."""
    text = data.decode("utf-8", "replace")
    for check in CHECKS:
        with suppress(ValueError):
            checked = check(text)
            assert check(checked) == checked
    for read in READERS:
        with suppress(ValueError):
            read(text)
    with suppress(ValueError):
        host, port = endpoints.parse_endpoint(text)
        assert endpoints.parse_endpoint(endpoints.format_endpoint(host, port)) == (host, port)
    with suppress(ValueError):
        seconds = quantities.parse_duration(text)
        assert quantities.parse_duration(quantities.format_duration(seconds)) == seconds >= 0
    with suppress(ValueError):
        listed = AddressList(text.split("\n"))
        assert all(isinstance(listed.matches(edge), bool) for edge in listed.edges())
        assert all(ip_address(edge) for edge in listed.edges())
    with suppress(ValueError):
        entries.check_addresses(text.split("\n"))
    NameList(text.split("\n")).matches(text)
