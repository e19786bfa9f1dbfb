"""What DNS calls an address, confirmed forward: whoever runs the reverse zone can write any name there.

SECURITY: a stranger decides which address is asked about and what the answers say; see ``asking`` for what is bounded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, Protocol, final

from gatepost.net.asking import Allowance, Asking
from gatepost.net.resolve import AddressAnswer, NamesAnswer

SECONDS: Final = 5.0  # for all questions about one address
AT_ONCE: Final = 32  # addresses that are asked about
WAITING: Final = 256  # addresses that wait for their turn; more are given up at once
KEPT: Final = 4096  # answers
KEPT_SECONDS: Final = 300.0


class Asked(Protocol):
    """What is asked of DNS (``net.resolve.DNSResolver``)."""

    async def names(self, address: str) -> NamesAnswer: ...
    async def addresses(self, host: str, *, local_names: bool = False) -> AddressAnswer: ...


@final
class ConfirmedNames:
    """Looks up confirmed names, a bounded number at a time, and remembers them for a while.

    :param resolver: asks DNS.
    :param now: seconds, on a clock that does not jump.
    :param seconds: how long one address may take.
    """

    __slots__ = ("_asking", "_resolver")

    def __init__(self, resolver: Asked, now: Callable[[], float], *, seconds: float = SECONDS) -> None:
        self._resolver: Final = resolver
        allowance = Allowance(seconds, AT_ONCE, WAITING, KEPT, KEPT_SECONDS)
        self._asking: Final = Asking[str, tuple[str, ...]](now, allowance)

    def known(self, address: str) -> tuple[str, ...] | None:
        """The names, where they were found lately; None when DNS has to be asked."""
        return self._asking.known(address)

    async def find(self, address: str) -> tuple[str, ...]:
        """The names of an address that lead back to it; none when there are none, or DNS gives no answer in time."""
        if (known := self.known(address)) is not None:
            return known
        names = await self._asking.find(lambda: self._ask(address))
        if names is None:
            return ()  # not kept: the next mail may ask again
        self._asking.keep(address, names)
        return names

    async def _ask(self, address: str) -> tuple[str, ...]:
        found = await self._resolver.names(address)
        own = ipaddress.ip_address(address)
        confirmed = []
        for name in found.names:
            forward = await self._resolver.addresses(name)
            if any(ipaddress.ip_address(each) == own for each in forward.addresses):
                confirmed.append(name)
        return tuple(confirmed)
