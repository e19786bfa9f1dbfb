"""What the sessions of one gate share within one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

from gatepost.config.gate_protocols import READ, SMTP_LIKE
from gatepost.config.schema import Config, Gate
from gatepost.observe.metrics import Counters
from gatepost.policy.inbound import Asked, InboundDecision, Starttls
from gatepost.service.gate.backends import Pool
from gatepost.service.greylisting import Greylisting
from gatepost.service.limits import Limits
from gatepost.service.policies import Policies
from gatepost.service.port import ListenerPort
from gatepost.service.tally import Tally
from gatepost.tls.contexts import ServerContexts
from gatepost.wire.recipes.table import recipe

_NO_CLEAR: Final = "the policy denies TLS, and in the clear this gate knows nothing but the way into it"


@final
class GateTerms:
    """What a client is offered at a gate; many connections share it, and nobody changes it.

    :param starttls: ``offer``, ``require`` or ``deny``, as ``mode`` and the rules say together; ``deny`` too where TLS
        is not to be had. Meaningless at a gate with implicit TLS. With ``mode = "pass"``, ``offer`` means that the
        server behind is asked.
    :param contexts: for the handshake; None where TLS is not to be had.
    :param wanted: ``offer``, ``require``, ``deny`` or ``implicit``, for the log.
    :param rule: what decided that, for the log.
    :param refusal: why the connection is closed before anything is said; usually empty.
    :param asked: whether the client is asked for a certificate.
    :param asked_by: by what, for the log; empty where it is not.
    :param normalise: whether a bare LF of this client is a line end.
    """

    __slots__ = ("asked", "asked_by", "contexts", "normalise", "refusal", "rule", "starttls", "wanted")

    def __init__(
        self,
        starttls: Starttls,
        contexts: ServerContexts | None,
        wanted: str,
        rule: str = "listener",
        refusal: str = "",
        *,
        asked: Asked = "none",
        asked_by: str = "",
        normalise: bool = False,
    ) -> None:
        self.starttls: Final = starttls
        self.contexts: Final = contexts
        self.wanted: Final = wanted
        self.rule: Final = rule
        self.refusal: Final = refusal
        self.asked: Final = asked
        self.asked_by: Final = asked_by
        self.normalise: Final = normalise


@final
class GateTally(Tally):
    """What a gate counts beside what every listener does. What does not apply to a protocol stays 0."""

    __slots__ = ("messages", "octets_in", "octets_out", "recipients", "refused")

    def __init__(self, counters: Counters, gate: str) -> None:
        super().__init__(counters, "gate", gate)
        self.messages: Final = counters.index("gate_messages_total", listener=gate)
        self.recipients: Final = counters.index("gate_recipients_total", listener=gate)
        self.refused: Final = counters.index("gate_refused_total", listener=gate)
        self.octets_in: Final = counters.index("gate_bytes_total", listener=gate, direction="in")
        self.octets_out: Final = counters.index("gate_bytes_total", listener=gate, direction="out")


@final
@dataclass(frozen=True, slots=True)
class GateServices:
    """What the gates of one process share.

    :param clock: seconds since the Unix epoch.
    :param policies: the rules about clients, where there are any.
    :param greylisting: what puts strangers off, where a gate of this process does.
    """

    loop: asyncio.AbstractEventLoop
    config: Config
    limits: Limits
    counters: Counters
    clock: Callable[[], float] = time.time
    policies: Policies | None = None
    greylisting: Greylisting | None = None


@final
class GatePort(ListenerPort[GateTerms]):
    """One gate in one process: its settings, and what its sessions are made with.

    :param settings: the gate's table.
    :param number: its place in the configuration.
    :param contexts: its TLS contexts, made before the fork.
    :param pool: the servers behind it.
    """

    __slots__ = (
        "_usually", "alpn", "bindings", "command_seconds", "config", "data_seconds", "greylisting", "limits", "loop",
        "pool", "profiles", "services", "settings", "spliced", "tally",
    )  # fmt: skip

    def __init__(
        self, services: GateServices, settings: Gate, number: int, contexts: ServerContexts | None, pool: Pool
    ) -> None:
        config = services.config
        super().__init__(
            services.loop, config, settings, number, contexts, clock=services.clock, policies=services.policies
        )
        self.services: Final = services
        self.settings: Final = settings
        self.pool: Final = pool
        self.config: Final = config
        self.loop: Final = services.loop
        self.limits: Final = services.limits
        greylisting = services.greylisting
        here = greylisting is not None and settings.name in greylisting.listeners
        self.greylisting: Final = greylisting if here else None
        self.command_seconds: Final = config.limits.command_timeout
        self.data_seconds: Final = config.limits.data_timeout
        self.alpn: Final = _alpn(settings.protocol)
        self.bindings: Final = False  # a login is between the client and the server behind
        self.tally: Final = GateTally(services.counters, settings.name)
        self.profiles: Final[dict[object, Any]] = {}
        """How this gate speaks to clients that are alike, by what they have in common: a protocol's own business."""
        self.spliced: Final = settings.mode == "pass" and (self.implicit or settings.protocol not in READ)
        """Whether octets go through from the first one, whatever they are."""
        asked = config.tls.client_certificate
        self._usually: Final = {
            normalise: self._terms(
                settings.starttls, contexts,
                "implicit" if self.implicit else settings.starttls,
                asked=asked, asked_by="tls" if asked != "none" else "", normalise=normalise,
            )
            for normalise in (False, True)
        }  # fmt: skip

    @property
    def opaque(self) -> bool:
        """Whether nothing is read beyond the way into TLS."""
        return self.settings.protocol not in READ

    def _usual(self, address: str) -> GateTerms:
        return self._usually[self._normalised(address)]

    def _normalised(self, address: str) -> bool:
        limits = self.config.limits
        return limits.line_ends == "normalise" or limits.normalise_from.matches(address)

    def _decided(
        self,
        policies: Policies,
        address: str,
        decision: InboundDecision,
        contexts: ServerContexts | None,
        refusal: str,
    ) -> GateTerms:
        return self._terms(
            decision.starttls, contexts, decision.wanted, decision.rule, refusal,
            asked=decision.handshake.client_certificate, asked_by=decision.asked_by,
            normalise=self._normalised(address),
        )  # fmt: skip

    def _terms(
        self,
        starttls: Starttls,
        contexts: ServerContexts | None,
        wanted: str,
        rule: str = "listener",
        refusal: str = "",
        *,
        asked: Asked,
        asked_by: str,
        normalise: bool,
    ) -> GateTerms:
        if self.settings.mode == "refuse" and not self.implicit:
            starttls, wanted, rule = "deny", "deny", "mode"
        elif contexts is None and self.settings.mode != "pass":
            starttls = "deny"
        if starttls == "deny" and not self.implicit:
            asked_by = ""  # no handshake, so nobody asks in one
        if starttls == "deny" and not refusal and not self.implicit and self.opaque:
            refusal = _NO_CLEAR
        return GateTerms(
            starttls, contexts, wanted, rule, refusal, asked=asked, asked_by=asked_by, normalise=normalise
        )  # fmt: skip


def _alpn(protocol: str) -> frozenset[str]:
    """The names that a client may ask for; empty where any will do, as none is registered."""
    if protocol in SMTP_LIKE:
        return frozenset({"lmtp" if protocol == "lmtp" else "smtp"})
    return frozenset(recipe(protocol).alpn)
