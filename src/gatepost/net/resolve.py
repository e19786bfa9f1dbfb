"""Names to mail exchangers and addresses, behind one small interface.

The rest of the program sees ``Resolver`` and four kinds of answer (``Lookup``); what DNS library stands behind it is
known here alone. An answer is a value, never an exception: whether "no such name" is a bounce or a reason to wait is
for ``delivery.route`` to say, and an error is never mistaken for "there is none" (RFC 5321 §5.1).

Everything a name server can make us hold is bounded: records per answer, entries of the cache, time per look-up.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, Protocol, TypeAlias, final

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.TXT
import dns.resolver
import dns.reversename

from gatepost.config.endpoints import parse_nameserver
from gatepost.errors import ConfigError

MX_LIMIT: Final = 100  # exchangers kept of one answer
ADDRESS_LIMIT: Final = 32  # addresses kept of one name
NAME_LIMIT: Final = 4  # names kept of one address
RECORD_LIMIT: Final = 100  # records kept of one answer
_CACHE_SIZE: Final = 10_000
# RFC 1123 §2.1 host names, and the underscore that real zones use.
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


class Lookup(Enum):
    """How a look-up ended."""

    FOUND = "found"
    NO_DATA = "no such records"  # the name exists, without records of this type
    NO_NAME = "no such name"  # NXDOMAIN, RFC 2308 §2.1
    FAILED = "failed"  # SERVFAIL, time-out, a broken answer: nothing is known


@final
@dataclass(frozen=True, slots=True)
class Exchanger:
    """One MX record: its preference and the host, without the trailing dot; an empty host is the null MX's dot."""

    preference: int
    host: str


@final
@dataclass(frozen=True, slots=True)
class MXAnswer:
    """The mail exchangers of a domain, in the order in which they came."""

    status: Lookup
    exchangers: tuple[Exchanger, ...] = ()
    detail: str = ""


@final
@dataclass(frozen=True, slots=True)
class AddressAnswer:
    """The addresses of a host, IPv6 and IPv4 taking turns so that a dead family costs one attempt.

    ``FOUND`` may carry a ``detail`` too: one of the two families could not be asked.
    """

    status: Lookup
    addresses: tuple[str, ...] = ()
    detail: str = ""


@final
@dataclass(frozen=True, slots=True)
class NamesAnswer:
    """The names that the PTR records of an address give, in lower case. Whoever runs the zone writes them: a name
    counts only when it leads back to the address."""

    status: Lookup
    names: tuple[str, ...] = ()
    detail: str = ""


Record: TypeAlias = str | tuple[int, str] | bytes
"""A record's content: an address (A, AAAA), a name (PTR), preference and name (MX), or octets (TXT)."""


@final
@dataclass(frozen=True, slots=True)
class RecordsAnswer:
    """The records of a name, as they came; names in them without the trailing dot."""

    status: Lookup
    records: tuple[Record, ...] = ()
    detail: str = ""


class Resolver(Protocol):
    """What delivery asks of DNS. Both methods return an answer and raise nothing."""

    async def mx(self, domain: str) -> MXAnswer:
        """The mail exchangers of ``domain`` (an A-label domain, without a trailing dot)."""

    async def addresses(self, host: str, *, local_names: bool = False) -> AddressAnswer:
        """The addresses of ``host``.

        :param local_names: also ask the system (``/etc/hosts`` and the like) when DNS has no answer: for hosts that
            the operator named, never for hosts that a stranger's zone named.
        """


@final
class DNSResolver:
    """Asks the configured name servers, or the system's, and remembers answers for their time to live.

    :param nameservers: ``address`` or ``address:port``; None for those of ``/etc/resolv.conf``.
    :param timeout: seconds for one question to one server.
    :param lifetime: seconds for a look-up with all its retries.
    :raises ConfigError: when the system names no server.
    :raises ValueError: when a name server is none.
    """

    def __init__(
        self, nameservers: Sequence[str] | None = None, *, timeout: float = 5.0, lifetime: float = 15.0
    ) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
        except dns.resolver.NoResolverConfiguration as error:
            raise ConfigError("the system names no DNS server", hint="set [delivery] resolver") from error
        if nameservers is not None:
            pairs = [parse_nameserver(text) for text in nameservers]
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in pairs]
        self._resolver.timeout = timeout
        self._resolver.lifetime = lifetime
        self._resolver.cache = dns.resolver.LRUCache(_CACHE_SIZE)
        self._resolver.use_edns(0, 0, 1232)
        self._backend = dns.asyncbackend.get_backend("asyncio")

    async def mx(self, domain: str) -> MXAnswer:
        """See ``Resolver.mx``."""
        status, answer, detail = await self._ask(domain, dns.rdatatype.MX)
        if answer is None:
            return MXAnswer(status, (), detail)
        found = []
        for record in list(answer)[:MX_LIMIT]:
            assert isinstance(record, dns.rdtypes.ANY.MX.MX)
            host = record.exchange.to_text(omit_final_dot=True)
            if record.exchange == dns.name.root:
                found.append(Exchanger(record.preference, ""))
            elif _HOST.fullmatch(host):
                found.append(Exchanger(record.preference, host.lower()))
        if not found:
            return MXAnswer(Lookup.FAILED, (), f"no MX record of {domain} names a host")
        return MXAnswer(Lookup.FOUND, tuple(found))

    async def addresses(self, host: str, *, local_names: bool = False) -> AddressAnswer:
        """See ``Resolver.addresses``."""
        if host.rstrip(".").lower() == "localhost":  # RFC 6761 §6.3: never asked of DNS
            return AddressAnswer(Lookup.FOUND, ("127.0.0.1", "::1"))
        six, four = await asyncio.gather(self._ask(host, dns.rdatatype.AAAA), self._ask(host, dns.rdatatype.A))
        merged = _take_turns(*([str(record) for record in part[1] or ()] for part in (six, four)))
        detail = "; ".join(part[2] for part in (six, four) if part[0] is Lookup.FAILED)
        if merged:
            return AddressAnswer(Lookup.FOUND, merged, detail)
        if local_names and (found := await _system_addresses(host)):
            return AddressAnswer(Lookup.FOUND, found)
        if detail:
            return AddressAnswer(Lookup.FAILED, (), detail)
        return AddressAnswer(four[0], (), four[2])

    async def names(self, address: str) -> NamesAnswer:
        """What an address is called; no more than ``NAME_LIMIT`` names."""
        reverse = dns.reversename.from_address(address.partition("%")[0]).to_text()
        status, answer, detail = await self._ask(reverse, dns.rdatatype.PTR)
        hosts = [str(record).removesuffix(".").lower() for record in list(answer or ())[:NAME_LIMIT]]
        return NamesAnswer(status, tuple(host for host in hosts if _HOST.fullmatch(host)), detail)

    async def records(self, name: str, kind: Literal["A", "AAAA", "MX", "PTR", "TXT"]) -> RecordsAnswer:
        """All records of one kind, for rules that are written in DNS; no more than ``RECORD_LIMIT``.

        :param name: ASCII, taken octet for octet: a backslash in it means nothing. One that cannot be asked does not
            exist.
        """
        try:
            labels = name.removesuffix(".").encode("ascii").split(b".")
            question = dns.name.Name([*labels, b""])
        except (dns.exception.DNSException, ValueError):
            return RecordsAnswer(Lookup.NO_NAME, (), "no name that DNS can have")
        status, answer, detail = await self._ask(question, dns.rdatatype.from_text(kind))
        return RecordsAnswer(status, tuple(_content(record) for record in list(answer or ())[:RECORD_LIMIT]), detail)

    async def _ask(
        self, name: str | dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> tuple[Lookup, dns.resolver.Answer | None, str]:
        what = f"{kind.name} of {name}"
        try:
            question = dns.name.from_text(name) if isinstance(name, str) else name
            answer = await self._resolver.resolve(question, kind, search=False, backend=self._backend)
        except dns.resolver.NXDOMAIN:
            return Lookup.NO_NAME, None, f"no such name: {name}"
        except dns.resolver.NoAnswer:
            return Lookup.NO_DATA, None, f"no {kind.name} record: {name}"
        except dns.exception.Timeout:
            return Lookup.FAILED, None, f"look-up of {what} timed out"
        except dns.resolver.NoNameservers:
            return Lookup.FAILED, None, f"look-up of {what} failed: no name server could answer"
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Lookup.FAILED, None, f"look-up of {what} failed: {type(error).__name__}"
        return Lookup.FOUND, answer, ""


def _content(record: object) -> Record:
    """What a record says."""
    if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
        return b"".join(record.strings)
    if isinstance(record, dns.rdtypes.ANY.MX.MX):
        return record.preference, record.exchange.to_text(omit_final_dot=True)
    return str(record).removesuffix(".")


def _take_turns(six: Sequence[str], four: Sequence[str]) -> tuple[str, ...]:
    """Merge two families, IPv6 first, one each in turn."""
    merged: list[str] = []
    for index in range(max(len(six), len(four))):
        merged += six[index : index + 1]
        merged += four[index : index + 1]
    return tuple(merged[:ADDRESS_LIMIT])


async def _system_addresses(host: str) -> tuple[str, ...]:
    """What the system's own name service says; empty when it knows nothing."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESS_LIMIT]
