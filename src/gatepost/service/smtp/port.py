"""What the sessions of one listener share within one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.accounts.directory import Directory
from gatepost.config.policies import RELAYING
from gatepost.config.schema import Config, Listener
from gatepost.observe.metrics import Counters
from gatepost.policy.inbound import Asked, InboundDecision, Starttls
from gatepost.policy.relay import RelayPolicy
from gatepost.service.greylisting import Greylisting
from gatepost.service.intake import Intake
from gatepost.service.limits import Limits
from gatepost.service.login import EXTERNAL, Desk
from gatepost.service.policies import Policies
from gatepost.service.port import ListenerPort
from gatepost.service.smtp.terms import Terms
from gatepost.service.smtp.transaction import BodyWriter
from gatepost.service.tally import Tally
from gatepost.tls.contexts import ServerContexts
from gatepost.wire.smtp.profile import ServerProfile

LOCAL: Final = "local"  # the listener of the local socket that ``sendmail`` hands its messages to
ALPN: Final[dict[str, frozenset[str]]] = {
    "smtp": frozenset({"smtp"}),
    "submission": frozenset({"smtp"}),
    "lmtp": frozenset({"lmtp"}),
    LOCAL: frozenset(),
}
MECHANISMS: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")


class Bodies(Protocol):
    """Makes the writers of message contents."""

    def __call__(self, identifier: str, /) -> BodyWriter: ...


class SMTPTally(Tally):
    """What an SMTP listener counts beside what every listener does."""

    __slots__ = ("accepted", "accepted_octets", "recipients", "rejected")

    def __init__(self, counters: Counters, listener: str) -> None:
        super().__init__(counters, "smtp", listener)
        self.rejected: Final = counters.index("smtp_commands_rejected_total", listener=listener)
        self.accepted: Final = counters.index("messages_accepted_total", listener=listener)
        self.accepted_octets: Final = counters.index("messages_accepted_bytes_total", listener=listener)
        self.recipients: Final = counters.index("recipients_accepted_total", listener=listener)


@dataclass(frozen=True, slots=True)
class Services:
    """What the listeners of one process share.

    :param bodies: makes the writers of message contents.
    :param desk: for logins.
    :param clock: seconds since the Unix epoch.
    :param policies: the rules about clients, where there are any.
    :param greylisting: what puts strangers off, where a listener of this process does.
    """

    loop: asyncio.AbstractEventLoop
    config: Config
    intake: Intake
    bodies: Bodies
    directory: Directory
    desk: Desk
    limits: Limits
    counters: Counters
    clock: Callable[[], float] = time.time
    policies: Policies | None = None
    greylisting: Greylisting | None = None


class Port(ListenerPort[Terms]):
    """One listener in one process: its settings, and what its sessions are made with.

    :param number: the listener's place in the configuration.
    :param contexts: its TLS contexts, made before the fork.
    """

    __slots__ = (
        "_plain", "_profiles", "alpn", "bindings", "command_seconds", "complete", "data_seconds", "greylisting",
        "listener", "local", "services", "submission", "tally",
    )  # fmt: skip

    def __init__(self, services: Services, listener: Listener, number: int, contexts: ServerContexts | None) -> None:
        self.local: Final = listener.name == LOCAL
        policies = None if self.local else services.policies
        super().__init__(
            services.loop, services.config, listener, number, contexts, clock=services.clock, policies=policies
        )
        self.services: Final = services
        self.listener: Final = listener
        self.submission: Final = listener.protocol == "submission"
        greylisting = services.greylisting
        here = greylisting is not None and listener.name in greylisting.listeners
        self.greylisting: Final = greylisting if here else None
        self.complete: Final = self.submission or self.local  # add the header fields that a program left out
        self.command_seconds: Final = services.config.limits.command_timeout
        self.data_seconds: Final = services.config.limits.data_timeout
        self.alpn: Final = ALPN[listener.protocol]
        self.bindings: Final = self.submission
        self.tally: Final = SMTPTally(services.counters, listener.name)
        self._profiles: dict[tuple[Starttls, bool, bool], ServerProfile] = {}
        wanted = "implicit" if self.implicit else listener.starttls
        # Without TLS contexts STARTTLS is not offered, whatever the listener says.
        starttls = listener.starttls if contexts is not None or self.implicit else "deny"
        asked = services.config.tls.client_certificate
        self._plain: Final = {
            lenient: self._terms(
                starttls, contexts, wanted, lenient=lenient, asked=asked, asked_by="tls" if asked != "none" else ""
            )
            for lenient in (False, True)
        }

    def _usual(self, address: str) -> Terms:
        return self._plain[self._lenient(address)]

    def _lenient(self, address: str) -> bool:
        limits = self.services.config.limits
        return limits.line_ends == "normalise" or limits.normalise_from.matches(address)

    def _decided(
        self,
        policies: Policies,
        address: str,
        decision: InboundDecision,
        contexts: ServerContexts | None,
        refusal: str,
    ) -> Terms:
        relay = ""
        if self.listener.protocol in RELAYING:
            relay = policies.relay.decide(address, self.listener.name).rule
        asked = decision.handshake.client_certificate
        certified = self.listener.protocol in RELAYING and asked != "none" and policies.relay.certified
        return self._terms(
            decision.starttls, contexts, decision.wanted, decision.rule, relay, refusal,
            lenient=self._lenient(address), asked=asked, asked_by=decision.asked_by,
            relaying=policies.relay if certified else None,
        )  # fmt: skip

    def _terms(
        self,
        starttls: Starttls,
        contexts: ServerContexts | None,
        wanted: str,
        rule: str = "listener",
        relay: str = "",
        refusal: str = "",
        *,
        lenient: bool,
        asked: Asked,
        asked_by: str,
        relaying: RelayPolicy | None = None,
    ) -> Terms:
        external = None
        if self.submission and asked != "none":
            external = self._profile(starttls, normalise=lenient, external=True)
        profile = self._profile(starttls, normalise=lenient)
        return Terms(
            profile, contexts, wanted, rule, relay, refusal,
            asked=asked, asked_by=asked_by, relaying=relaying, external=external,
        )  # fmt: skip

    def _profile(self, starttls: Starttls, *, normalise: bool, external: bool = False) -> ServerProfile:
        key = (starttls, normalise, external)
        known = self._profiles.get(key)
        if known is None:
            known = self._profiles[key] = self._make_profile(starttls, normalise=normalise, external=external)
        return known

    def _make_profile(self, starttls: Starttls, *, normalise: bool, external: bool) -> ServerProfile:
        config, listener = self.services.config, self.listener
        offered = not self.implicit and starttls != "deny"
        mechanisms = self.services.desk.mechanisms if self.submission else ()
        return ServerProfile(
            # A program completes names without a domain by the name that it is greeted with.
            hostname=self.services.directory.domains.first if self.local else config.hostname,
            dialect="LMTP" if listener.protocol == "lmtp" else "SMTP",
            starttls=offered,
            require_tls=offered and (starttls == "require" or self.submission),
            auth_mechanisms=(EXTERNAL, *mechanisms) if external else mechanisms,
            require_auth=self.submission,
            max_size=config.limits.message_size,
            max_recipients=config.limits.recipients,
            max_errors=config.limits.errors,
            normalise=normalise,
        )


def local_listener() -> Listener:
    """The settings of the local socket: not a listener of the configuration, but served like one."""
    return Listener.model_construct(name=LOCAL, protocol=LOCAL, bind=(), tls="starttls", starttls="deny")
