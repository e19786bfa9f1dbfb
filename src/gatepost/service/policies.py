"""The rules about clients in one process: kept current with their list files, with the TLS contexts that they need.

Contexts are made before the fork, one set for each way in which the rules can come to have TLS spoken, so that a
session ticket resumes in every worker. A list file that changes later may bring about a way that nobody foresaw: its
contexts are made here then, and their tickets are this worker's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final

from gatepost.config.lists import ListFiles
from gatepost.config.policies import (
    ground_of,
    inbound_policy,
    refused_senders,
    relay_policy,
    relayed_domains,
)
from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.observe.logs import event
from gatepost.policy.inbound import Handshake, InboundDecision, InboundPolicy
from gatepost.policy.relay import RelayPolicy
from gatepost.policy.senders import SenderList
from gatepost.tls.clients import ClientTrust
from gatepost.tls.contexts import CIPHERS, ServerContexts, TLSProfile, server_contexts
from gatepost.tls.credential import Credential

LOOK_SECONDS: Final = 1.0
"""How often list files are looked at."""


def tls_profile(handshake: Handshake) -> TLSProfile:
    """The TLS settings that a decision asks for."""
    return TLSProfile(
        handshake.minimum,
        handshake.maximum,
        handshake.ciphers or CIPHERS,
        handshake.suites,
        handshake.resumption,
        client_certificate=handshake.client_certificate,
    )


def usual_profile(config: Config) -> TLSProfile:
    """The TLS settings of ``[tls]``, where no rule says otherwise."""
    tls = config.tls
    return tls_profile(
        Handshake(tls.minimum, tls.maximum, tls.ciphers, tls.suites, client_certificate=tls.client_certificate)
    )


def variants_of(
    config: Config, credentials: Sequence[Credential], clients: ClientTrust | None = None
) -> dict[Handshake, ServerContexts]:
    """The contexts of every way in which rules can have TLS spoken, other than that of ``[tls]``.

    :param clients: what judges client certificates.
    :raises ConfigError: naming the rules, when a list cannot be read, when versions of several rules exclude each other
        for some address, and for ciphers that do not exist.
    """
    policy = inbound_policy(config, ListFiles())
    relay_policy(config, ListFiles())  # its lists are to be read, too
    refused_senders(config, ListFiles())
    made: dict[Handshake, ServerContexts] = {}
    for handshake, decision in policy.handshakes(ground_of(config, listener) for listener in config.listeners).items():
        if handshake == policy.handshake:
            continue
        if not handshake.possible:
            raise ConfigError(_contradiction(decision), hint="set minimum and maximum in one rule")
        try:
            made[handshake] = server_contexts(credentials, tls_profile(handshake), clients)
        except ConfigError as error:
            raise ConfigError(f"{_deciding(decision)}: {error.message}", hint=error.hint) from error
    return made


def _deciding(decision: InboundDecision) -> str:
    """The rules that a way to speak TLS comes from, the one that asks for certificates among them."""
    rules = [rule for rule in (decision.rule, decision.asked_by) if rule not in ("", "listener", "tls")]
    return ", ".join(dict.fromkeys(rules)) or decision.rule


def _contradiction(decision: InboundDecision) -> str:
    settings = decision.decision.settings
    low, high = settings["minimum"], settings["maximum"]
    return (
        f"{decision.facts.address} at listener {decision.facts.listener} can speak no TLS: minimum {low.value} "
        f"is from {low.source}, maximum {high.value} from {high.source}"
    )


@final
class Policies:
    """The rules, as they are now. ``generation`` is another object after each change.

    :param variants: the contexts that were made before the fork.
    :raises ConfigError: when a list cannot be read.
    """

    __slots__ = ("_config", "_lists", "_variants", "generation", "inbound", "relay", "relayed", "senders")

    def __init__(self, config: Config, variants: Mapping[Handshake, ServerContexts]) -> None:
        self._config = config
        self._lists = ListFiles()
        self._variants: dict[Handshake, ServerContexts | None] = dict(variants)
        self.inbound: InboundPolicy = inbound_policy(config, self._lists)
        self.relay: RelayPolicy = relay_policy(config, self._lists)
        self.relayed: Final = relayed_domains(config)
        self.senders: SenderList = refused_senders(config, self._lists)
        self.generation = object()

    def contexts(self, decision: InboundDecision, usual: ServerContexts | None) -> ServerContexts | None:
        """The contexts for a decision; None when TLS cannot be spoken as it asks.

        :param usual: those of ``[tls]``.
        """
        handshake = decision.handshake
        if handshake == self.inbound.handshake or usual is None:
            return usual
        if handshake not in self._variants:
            self._variants[handshake] = self._make(decision, usual)
        return self._variants[handshake]

    def _make(self, decision: InboundDecision, usual: ServerContexts) -> ServerContexts | None:
        try:
            if not decision.handshake.possible:
                raise ConfigError(_contradiction(decision))
            return server_contexts(usual.credentials, tls_profile(decision.handshake), usual.clients)
        except ConfigError as error:
            event("policy.unmet", "error", rule=_deciding(decision), reason=error.message)
            return None

    def look(self) -> None:
        """Take up list files that have changed; a broken one keeps what it said before."""
        if not self._lists:
            return
        changed, problems = self._lists.refresh()
        for problem in problems:
            event("policy.list-kept", "error", reason=problem.message)
        if changed:
            self.inbound = inbound_policy(self._config, self._lists)
            self.relay = relay_policy(self._config, self._lists)
            self.senders = refused_senders(self._config, self._lists)
            self.generation = object()
            event("policy.list-changed", "notice", files=", ".join(changed))


def policies_of(config: Config, variants: Mapping[Handshake, ServerContexts]) -> Policies | None:
    """The rules about clients; None where there are none, so that nobody pays for them.

    :raises ConfigError: when a list cannot be read.
    """
    return Policies(config, variants) if has_policies(config) else None


def has_policies(config: Config) -> bool:
    """Whether there are rules about clients."""
    return bool(config.inbound or config.relay or config.relay_domains or config.refused_senders)
