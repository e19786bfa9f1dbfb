"""What all couriers of a process share, and which servers a destination has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import final

from gatepost.delivery.approaches import Approaches
from gatepost.delivery.attempt import Target
from gatepost.delivery.ledger import Ledger
from gatepost.delivery.pool import Pool
from gatepost.delivery.route import (
    NAMED,
    Hop,
    NoRoute,
    Route,
    address_literal,
    by_mx,
    looping,
    loops_back,
    no_address,
    to_host,
    to_literal,
    to_smarthost,
)
from gatepost.delivery.routes import Routes
from gatepost.delivery.trouble import Trouble
from gatepost.net.resolve import AddressAnswer, Lookup, Resolver
from gatepost.policy.routes import Way
from gatepost.queue.item import BodyRef
from gatepost.queue.outcome import Outcome, Result


@final
@dataclass(frozen=True, slots=True)
class Office:
    """What all couriers of a process share.

    :param hostname: our name.
    :param port: the port of mail exchangers.
    :param routes: which way mail goes.
    :param own: addresses and ports that we listen on ourselves.
    :param lanes: sessions for one destination at a time.
    :param open_body: how the content of a message is read.
    :param approaches: how each server is approached, where rules have a say in it.
    """

    hostname: str
    port: int
    routes: Routes
    own: frozenset[tuple[str, int]]
    lanes: int
    resolver: Resolver
    pool: Pool
    ledger: Ledger
    open_body: Callable[[BodyRef], Iterable[bytes]]
    random: Callable[[], float]
    approaches: Approaches | None = None


async def targets(way: Way, office: Office) -> AsyncIterator[Target]:
    """The addresses of the servers on a way, in the order in which they are tried, looked up as needed.

    :raises Trouble: when there are none.
    """
    route = await _route(way, office)
    if isinstance(route, NoRoute):
        raise _no_way(route)
    failure: NoRoute | None = None
    unmet: Trouble | None = None
    found = met = False
    for hop in route.hops:
        answer = await _addresses(route, hop, office)
        if not answer.addresses:
            reason = no_address(hop, route.kind, answer)
            failure = failure if failure is not None and failure.temporary else reason
            continue
        if route.kind != "smarthost" and any(loops_back(a, hop.port, office.own) for a in answer.addresses):
            if not found:
                raise _no_way(looping(hop, answer.addresses[0], route.kind))
            break  # RFC 5321 §5.1: ourselves, and all that is behind us, are left out
        for address in answer.addresses:
            found = True
            try:
                target = _target(way, hop, address, route, office)
            except Trouble as trouble:
                unmet = trouble  # of this server: another one may do
                continue
            met = True
            yield target
    if unmet is not None and not met:
        raise unmet
    if not found:
        raise _no_way(failure or NoRoute(True, "4.4.4", f"no server for {way.name}"))


async def _route(way: Way, office: Office) -> Route | NoRoute:
    if way.endpoint is not None:
        return (to_host if way.kind == "route" else to_smarthost)(*way.endpoint)
    destination = way.destination
    if destination.startswith("["):
        return to_literal(destination, office.port)
    answer = await office.resolver.mx(destination)
    return by_mx(destination, answer, hostname=office.hostname, port=office.port, random=office.random)


async def _addresses(route: Route, hop: Hop, office: Office) -> AddressAnswer:
    if address_literal(f"[{hop.host}]") is not None and (route.kind == "literal" or route.kind in NAMED):
        return AddressAnswer(Lookup.FOUND, (hop.host,))
    return await office.resolver.addresses(hop.host, local_names=route.kind in NAMED)


def _target(way: Way, hop: Hop, address: str, route: Route, office: Office) -> Target:
    if office.approaches is None:
        return Target(hop, address, route.kind)
    return office.approaches.target(way, hop, address, route.kind)


def _no_way(reason: NoRoute) -> Trouble:
    result = Result.DEFERRED if reason.temporary else Result.FAILED
    return Trouble(Outcome(result, 0, reason.enhanced, reason.reason))
