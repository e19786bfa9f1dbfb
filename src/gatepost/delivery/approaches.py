"""How each server is approached: what the rules decide, made into an ``Approach``.

Only a configuration with ``[[outbound]]`` rules or routes has one; without them every server is approached alike, and
nothing is looked up. Decisions are remembered for as long as the lists that they rest on do not change.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, final

from gatepost.config.lists import ListFiles
from gatepost.config.policies import facts_of, outbound_policy
from gatepost.config.schema import Config
from gatepost.delivery.attempt import Approach, Target
from gatepost.delivery.route import Hop, Kind
from gatepost.delivery.setting import context_of
from gatepost.delivery.trouble import Trouble
from gatepost.errors import CertificateError, ConfigError
from gatepost.observe.logs import event
from gatepost.policy.levels import DEMANDS
from gatepost.policy.outbound import ClientHandshake, OutboundDecision
from gatepost.policy.routes import Way
from gatepost.queue.outcome import Outcome, Protection, Result
from gatepost.tls.clientfiles import ClientFiles
from gatepost.tls.contexts import ClientContext

_REMEMBERED: Final = 4096
_LOOK_SECONDS: Final = 1.0  # between two looks at the list files


@final
class Approaches:
    """The approach of each server.

    :param config: the configuration.
    :param base: how servers are approached where no rule says otherwise; its timeouts and login hold for all.
    :param files: authorities and client certificates, read before the fork.
    :param clock: a clock that only goes forward, in seconds.
    :raises ConfigError: when a list cannot be read.
    """

    __slots__ = (
        "_base", "_clock", "_config", "_contexts", "_decided", "_files", "_lists", "_looked_at", "_policy",
    )  # fmt: skip

    def __init__(
        self, config: Config, base: Approach, files: ClientFiles, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._base = base
        self._files = files
        self._clock = clock
        self._lists = ListFiles()
        self._policy = outbound_policy(config, self._lists)
        self._contexts: dict[tuple[ClientHandshake, bool], ClientContext] = {}
        self._decided: dict[tuple[Way, Hop, str], tuple[Hop, Approach]] = {}
        self._looked_at = clock()

    def target(self, way: Way, hop: Hop, address: str, kind: Kind) -> Target:
        """A server together with its approach, and with the port that the rules say.

        :param way: which way the mail goes that leads there.
        :raises Trouble: when what the rules ask for cannot be had: a file that cannot be used, versions or ciphers that
            exclude each other. The mail waits then.
        """
        self._look()
        key = (way, hop, address)
        found = self._decided.get(key)
        if found is None:
            if len(self._decided) >= _REMEMBERED:
                self._decided.clear()
            decision = self._policy.decide(facts_of(self._config, "", hop.host, address, way=way))
            there = hop if decision.port is None else Hop(hop.host, decision.port, hop.preference)
            try:
                found = there, self._approach(decision)
            except (ConfigError, CertificateError) as error:
                raise _unmet(error, decision, Target(there, address, kind).remote) from error
            self._decided[key] = found
        return Target(found[0], address, kind, found[1])

    def _approach(self, decision: OutboundDecision) -> Approach:
        demand = DEMANDS[decision.level]
        context = None
        if demand.asks:
            key = (decision.handshake, demand.certificate == "trusted")
            context = self._contexts.get(key)
            if context is None:
                context = self._contexts[key] = context_of(decision.handshake, decision.level, self._files)
        return replace(
            self._base, level=decision.level, tls=context, implicit=decision.implicit, names=decision.names,
            pins=decision.fingerprints, rule=decision.rule,
            credentials=self._base.credentials if decision.facts.login else None,  # the smarthost's, for no other host
        )  # fmt: skip

    def _look(self) -> None:
        """Take up list files that have changed; a broken one keeps what it said before."""
        now = self._clock()
        if not self._lists or now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        changed, problems = self._lists.refresh()
        for problem in problems:
            event("policy.list-kept", "error", reason=problem.message)
        if changed:
            self._policy = outbound_policy(self._config, self._lists)
            self._decided.clear()
            event("policy.list-changed", "notice", files=", ".join(changed))


def _unmet(error: ConfigError | CertificateError, decision: OutboundDecision, remote: str) -> Trouble:
    event("policy.unmet", "error", relay=remote, rule=decision.rule, reason=error.message)
    return Trouble(
        Outcome(
            Result.DEFERRED, 0, "4.7.5", f"what the policy asks for cannot be had: {error.message}", remote,
            protection=Protection(decision.level, "none", decision.rule),
        )
    )  # fmt: skip
