"""What is remembered of a mail: client network, sender, recipient (RFC 6647 §2.4).

The network stands for the client, since a big sender comes again from a neighbour of the address it came from first.
Where a domain vouches for its clients (SPF), it may stand for all of them: the biggest senders come from anywhere.
"""

from __future__ import annotations

import ipaddress
from hashlib import blake2b
from typing import Final, NamedTuple

KEY_OCTETS: Final = 16
VOUCHED: Final = "spf:"
"""Begins what stands for the clients that a domain vouches for."""
TEXT_LIMIT: Final = 128  # characters of an address that are kept for people to read; the key is made of the whole


class Prefixes(NamedTuple):
    """How long the prefixes are that stand for a client, in bits."""

    ipv4: int = 24
    ipv6: int = 64


class Triplet(NamedTuple):
    """One client network, one sender, one recipient.

    :param network: as ``192.0.2.0/24``, or ``spf:example.com`` for the clients that this domain vouches for.
    :param sender: in lower case; empty for the null path.
    :param recipient: in lower case.
    """

    network: str
    sender: str
    recipient: str

    @property
    def key(self) -> bytes:
        """What it is found by: 16 octets, however long the addresses are."""
        whole = "\0".join(self).encode("utf-8", "surrogatepass")
        return blake2b(whole, digest_size=KEY_OCTETS, person=b"greylist").digest()


def network_of(address: str, prefixes: Prefixes) -> str:
    """The network that stands for a client. An IPv4 address inside of an IPv6 one is the IPv4 address.

    :raises ValueError: when it is no IP address.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    length = prefixes.ipv4 if parsed.version == 4 else prefixes.ipv6
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))


def triplet_of(address: str, sender: str, recipient: str, prefixes: Prefixes, domain: str = "") -> Triplet:
    """The triplet of a mail.

    :param sender: the reverse path; empty for the null path.
    :param domain: stands for the client in place of its network; one that is too long for a row does not.
    :raises ValueError: when the address is none.
    """
    vouched = f"{VOUCHED}{domain}" if domain and len(domain) <= TEXT_LIMIT else ""
    return Triplet(vouched or network_of(address, prefixes), sender.lower(), recipient.lower())
