"""What the sessions of one POP3 listener share within one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gatepost.config.schema import Config, Listener
from gatepost.mailbox.names import mailbox_root
from gatepost.observe.metrics import Counters
from gatepost.policy.inbound import Asked, InboundDecision
from gatepost.service.disk import Disk
from gatepost.service.limits import Limits
from gatepost.service.login import EXTERNAL, Desk
from gatepost.service.policies import Policies
from gatepost.service.port import ListenerPort
from gatepost.service.tally import Tally
from gatepost.service.terms import Terms
from gatepost.tls.contexts import ServerContexts
from gatepost.wire.pop3.profile import ServerProfile

ALPN: Final = frozenset({"pop3"})
MECHANISMS: Final = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN")


class POP3Tally(Tally):
    """What a POP3 listener counts beside what all count."""

    __slots__ = ("deleted", "retrieved", "retrieved_octets")

    def __init__(self, counters: Counters, listener: str) -> None:
        super().__init__(counters, "pop3", listener)
        self.retrieved: Final = counters.index("pop3_messages_retrieved_total", listener=listener)
        self.retrieved_octets: Final = counters.index("pop3_messages_retrieved_bytes_total", listener=listener)
        self.deleted: Final = counters.index("pop3_messages_deleted_total", listener=listener)


@dataclass(frozen=True, slots=True)
class Services:
    """What the listeners of one process share.

    :param desk: for logins.
    :param disk: threads for everything that touches a mailbox.
    :param clock: seconds since the Unix epoch.
    :param policies: the rules about clients, where there are any.
    """

    loop: asyncio.AbstractEventLoop
    config: Config
    desk: Desk
    disk: Disk
    limits: Limits
    counters: Counters
    clock: Callable[[], float] = time.time
    policies: Policies | None = None


class Port(ListenerPort[Terms[ServerProfile]]):
    """One listener in one process: its settings, and what its sessions are made with.

    :param number: the listener's place in the configuration.
    :param contexts: its TLS contexts, made before the fork.
    """

    __slots__ = (
        "_plain", "_profiles", "alpn", "bindings", "idle_seconds", "login_seconds", "services", "stall_seconds",
        "tally",
    )  # fmt: skip

    def __init__(self, services: Services, listener: Listener, number: int, contexts: ServerContexts | None) -> None:
        super().__init__(
            services.loop, services.config, listener, number, contexts,
            clock=services.clock, policies=services.policies,
        )  # fmt: skip
        limits = services.config.limits
        self.services: Final = services
        self.alpn: Final = ALPN
        self.bindings: Final = True
        self.login_seconds: Final = limits.pop3_login_timeout
        self.idle_seconds: Final = limits.pop3_idle_timeout
        self.stall_seconds: Final = limits.data_timeout
        self.tally: Final = POP3Tally(services.counters, listener.name)
        self._profiles: Final = {
            (offered, external): ServerProfile(
                hostname=services.config.hostname,
                starttls=offered,
                auth_mechanisms=(EXTERNAL, *services.desk.mechanisms) if external else services.desk.mechanisms,
                max_errors=limits.errors,
            )
            for offered in (False, True)
            for external in (False, True)
        }
        wanted = "implicit" if self.implicit else listener.starttls
        asked = services.config.tls.client_certificate
        self._plain: Final = self._terms(contexts, wanted, asked=asked, asked_by="tls" if asked != "none" else "")

    def maildrop(self, user: str) -> Path:
        """Where a user's mail is."""
        return mailbox_root(self.services.config.data, user)

    def _usual(self, address: str) -> Terms[ServerProfile]:
        return self._plain

    def _decided(
        self,
        policies: Policies,
        address: str,
        decision: InboundDecision,
        contexts: ServerContexts | None,
        refusal: str,
    ) -> Terms[ServerProfile]:
        asked = decision.handshake.client_certificate
        return self._terms(contexts, decision.wanted, decision.rule, refusal, asked=asked, asked_by=decision.asked_by)

    def _terms(
        self,
        contexts: ServerContexts | None,
        wanted: str,
        rule: str = "listener",
        refusal: str = "",
        *,
        asked: Asked,
        asked_by: str,
    ) -> Terms[ServerProfile]:
        # ``require`` adds nothing to ``offer``: nobody logs in outside TLS, whatever stands there.
        offered = not self.implicit and wanted != "deny" and contexts is not None
        external = None if asked == "none" else self._profiles[offered, True]
        profile = self._profiles[offered, False]
        return Terms(profile, contexts, wanted, rule, refusal, asked=asked, asked_by=asked_by, external=external)
