"""One listener in one process, whatever it speaks: its settings, and what it offers to whom."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from gatepost.config.policies import ground_of
from gatepost.config.schema import Config, Listener
from gatepost.policy.inbound import InboundDecision
from gatepost.record.recorder import Recorder
from gatepost.service.policies import Policies
from gatepost.tls.contexts import ServerContexts

REMEMBERED: Final = 4096  # addresses whose terms are kept

T = TypeVar("T")


class ListenerPort(ABC, Generic[T]):
    """What the sessions of a listener are made with. A protocol says what terms are to it.

    :param number: the listener's place in the configuration.
    :param contexts: its TLS contexts, made before the fork.
    :param clock: seconds since the Unix epoch.
    :param policies: the rules about clients, where there are any.
    """

    __slots__ = (
        "_generation", "_ground", "_known", "_policies", "clock", "contexts", "handshake_seconds", "implicit", "name",
        "now", "number", "protocol", "recorder",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        listener: Listener,
        number: int,
        contexts: ServerContexts | None,
        *,
        clock: Callable[[], float],
        policies: Policies | None,
    ) -> None:
        self.name: Final = listener.name
        self.protocol: Final = str(listener.protocol)
        self.recorder: Recorder | None = None
        """What sessions are recorded with, where any may be."""
        self.number: Final = number
        self.contexts: Final = contexts
        self.implicit: Final = listener.tls == "implicit"
        self.handshake_seconds: Final = config.limits.handshake_timeout
        self.now: Final = loop.time
        self.clock: Final = clock
        self._policies: Final = policies
        self._ground: Final = ground_of(config, listener)
        self._known: dict[str, T] = {}  # what is offered to an address
        self._generation: object = None

    def terms(self, address: str) -> T:
        """What a client at this address is offered."""
        policies = self._policies
        if policies is not None and self._generation is not policies.generation:
            self._generation = policies.generation
            self._known.clear()
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._usual(address) if policies is None else self._decide(policies, address)
        return known

    def _decide(self, policies: Policies, address: str) -> T:
        decision = policies.inbound.decide(address, self._ground)
        contexts = policies.contexts(decision, self.contexts)
        refusal = ""
        if decision.refused:
            refusal = "the policy denies TLS, and this listener knows nothing else"
        elif self.implicit and contexts is None:
            refusal = "TLS cannot be spoken as the policy asks"
        return self._decided(policies, address, decision, contexts, refusal)

    @abstractmethod
    def _usual(self, address: str) -> T:
        """The terms where there are no rules."""

    @abstractmethod
    def _decided(
        self,
        policies: Policies,
        address: str,
        decision: InboundDecision,
        contexts: ServerContexts | None,
        refusal: str,
    ) -> T:
        """The terms that rules lead to.

        :param contexts: for the handshake as they want it; None where TLS is not to be had.
        :param refusal: why the connection is closed before anything is said; usually empty.
        """
