"""Where mail for a destination goes: a pure decision from what DNS said and what the operator set.

``resolve`` and ``random`` come in as values, so every rule of RFC 5321 §5.1 is tested without a name server:

* MX hosts by preference, equal ones in random order; the domain itself when it has no MX (the implicit MX);
* a null MX (RFC 7505) refuses mail: 5.1.10 at once;
* our own name among the MX hosts ends the list there, and a list that is empty then is a loop: 5.4.6;
* no such domain is permanent (5.1.2); an error of DNS is never "there is none": 4.4.3, tried again;
* ``user@[192.0.2.1]`` goes to that address;
* the host of a ``[[route]]``, or the smarthost, takes what the rules send there, and no MX is asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from gatepost.net.resolve import AddressAnswer, Lookup, MXAnswer

HOST_LIMIT: Final = 20  # hosts of one route that are tried
Kind: TypeAlias = Literal["mx", "implicit", "literal", "route", "smarthost"]
NAMED: Final[tuple[Kind, ...]] = ("route", "smarthost")
"""Kinds whose host the operator named: it may be an address or a local name, and its faults are waited for."""


@final
@dataclass(frozen=True, slots=True)
class Hop:
    """One host to try.

    :param host: its name, or its address where the mail named an address.
    :param port: the TCP port.
    :param preference: the MX preference, 0 where there is none.
    """

    host: str
    port: int
    preference: int = 0


@final
@dataclass(frozen=True, slots=True)
class Route:
    """Hosts in the order in which they are tried."""

    kind: Kind
    hops: tuple[Hop, ...]


@final
@dataclass(frozen=True, slots=True)
class NoRoute:
    """There is nowhere to go, now or ever.

    :param temporary: whether it is worth trying again.
    :param enhanced: the enhanced status code (RFC 3463).
    :param reason: one line for the log and the bounce.
    """

    temporary: bool
    enhanced: str
    reason: str


def address_literal(destination: str) -> str | None:
    """The address in ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]`` (RFC 5321 §4.1.3), or None when it is none."""
    if not (destination.startswith("[") and destination.endswith("]")):
        return None
    text = destination[1:-1]
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def to_smarthost(host: str, port: int) -> Route:
    """The route of everything when a smarthost is set."""
    return Route("smarthost", (Hop(host, port),))


def to_host(host: str, port: int) -> Route:
    """The route to the host that a ``[[route]]`` names."""
    return Route("route", (Hop(host, port),))


def to_literal(destination: str, port: int) -> Route | NoRoute:
    """The route to an address literal."""
    address = address_literal(destination)
    if address is None:
        return NoRoute(False, "5.1.3", f"not an address: {destination}")
    return Route("literal", (Hop(address, port),))


def by_mx(domain: str, answer: MXAnswer, *, hostname: str, port: int, random: Callable[[], float]) -> Route | NoRoute:
    """Order the mail exchangers of a domain.

    :param answer: what DNS said.
    :param hostname: our own name, where mail must not come back to.
    :param port: the port of mail exchangers.
    :param random: a source of numbers in [0, 1), for the order of equal preferences.
    """
    if answer.status is Lookup.FAILED:
        return NoRoute(True, "4.4.3", answer.detail or f"look-up of MX of {domain} failed")
    if answer.status is Lookup.NO_NAME:
        return NoRoute(False, "5.1.2", f"no such domain: {domain}")
    ours = hostname.lower()
    if answer.status is Lookup.NO_DATA:
        if domain.lower() == ours:
            return _loop(domain)
        return Route("implicit", (Hop(domain, port),))
    named = [exchanger for exchanger in answer.exchangers if exchanger.host]
    if not named:
        return NoRoute(False, "5.1.10", f"{domain} accepts no mail (null MX)")
    own = min((one.preference for one in named if one.host.lower() == ours), default=None)
    if own is not None:
        named = [one for one in named if one.preference < own]
        if not named:
            return _loop(domain)
    shuffled = sorted((one.preference, random(), one.host) for one in named)
    return Route("mx", tuple(Hop(host, port, preference) for preference, _, host in shuffled[:HOST_LIMIT]))


def no_address(hop: Hop, kind: Kind, answer: AddressAnswer) -> NoRoute:
    """Why a host cannot be reached whose look-up gave no address.

    The host of an implicit MX is the domain itself: a domain without MX and without address takes no mail (5.1.2). A
    host that the operator named is waited for: the mistake is ours to mend, not a reason to bounce.
    """
    if answer.status is Lookup.FAILED:
        return NoRoute(True, "4.4.3", answer.detail or f"look-up of {hop.host} failed")
    if kind in NAMED:
        named = "the smarthost" if kind == "smarthost" else "the route's host"
        return NoRoute(True, "4.4.4", f"{named} {hop.host} has no address")
    if kind == "implicit":
        return NoRoute(False, "5.1.2", f"{hop.host} has neither MX nor address")
    return NoRoute(False, "5.4.4", f"the mail exchanger {hop.host} has no address")


def loops_back(address: str, port: int, own: frozenset[tuple[str, int]]) -> bool:
    """Whether an address and port are ones that we listen on ourselves.

    :param own: what we are bound to; ``0.0.0.0`` and ``::`` stand for every loopback address and for themselves.
    """
    if (address, port) in own:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.is_unspecified:
        return any(bound == port for _, bound in own)
    wildcard = "0.0.0.0" if parsed.version == 4 else "::"
    return parsed.is_loopback and (wildcard, port) in own


def looping(hop: Hop, address: str, kind: Kind) -> NoRoute:
    """The refusal of a host whose address is our own. One that the operator named is waited for, as above."""
    reason = f"mail loops back: {hop.host}[{address}]:{hop.port} is this server"
    return NoRoute(True, "4.4.6", reason) if kind in NAMED else NoRoute(False, "5.4.6", reason)


def _loop(domain: str) -> NoRoute:
    return NoRoute(False, "5.4.6", f"mail for {domain} loops back: its best mail exchanger is this server")
