"""Greylisting in one process: finds out what the rules ask for, asks the memory, and answers.

Whoever has a session (``serve``'s mx, or a gate) hands over ``Facts`` and gets a ``Judged``: at once, or later when DNS
has to be asked. A memory that cannot answer, or that has no room, lets mail through: greylisting never stops mail.

SECURITY: opens ``greylist.db`` for writing, the list files and the country database for reading, and asks name servers
where a rule has ``client_names`` or ``spf``, nowhere else.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, final

from gatepost.config.greylist_policy import greylist_policy, greylisted, prefixes_of, timing_of
from gatepost.config.lists import ListFiles
from gatepost.config.quantities import format_duration
from gatepost.config.schema import Config
from gatepost.errors import ConfigError, StoreError
from gatepost.greylist.facts import Certificate, Facts
from gatepost.greylist.memory import Step, Verdict
from gatepost.greylist.rules import CLIENT_NAMES, VOUCHED_BY, GreylistDecision, GreylistPolicy
from gatepost.greylist.triplet import Triplet, triplet_of
from gatepost.net.confirmed import ConfirmedNames
from gatepost.net.spf import SECONDS as SPF_SECONDS
from gatepost.net.spf import SPF
from gatepost.net.spf_record import Identity, check_installed
from gatepost.observe import logs
from gatepost.observe.metrics import Counters
from gatepost.service.certified import fingerprints
from gatepost.service.countries import Countries
from gatepost.store.greylist import Bounds, GreylistFull, GreylistStore
from gatepost.wire.smtp.address import AddressSyntaxError, parse_mailbox
from gatepost.wire.smtp.reply import Reply
from gatepost.wire.upgrade import EMAIL_PREFIX, TLSEvidence

EXPIRE_SECONDS: Final = 60.0  # between two looks for what may be forgotten
EXPIRE_AGAIN: Final = 0.2  # where there is more of it
EXPIRE_ROWS: Final = 200
REST_SECONDS: Final = 5.0  # a memory that failed is left alone for so long: sessions must not wait for it one by one

_RESULTS: Final = {
    Verdict.NEW: "deferred", Verdict.EARLY: "deferred", Verdict.LATE: "deferred",
    Verdict.PASSED: "passed", Verdict.KNOWN: "known", Verdict.ALLOWED: "allowed",
}  # fmt: skip


class Judged(NamedTuple):
    """What is to be said of one recipient, or of the whole message.

    :param decision: the rules' part.
    :param reply: the refusal, for now or for good; None lets it through.
    """

    decision: GreylistDecision
    reply: Reply | None = None

    @property
    def told(self) -> tuple[str, str, str]:
        """For a transcript: verdict, rule, reason."""
        if self.reply is None:
            return "accept", self.decision.rule, ""
        return "delay" if self.reply.temporary else "refuse", self.decision.rule, str(self.reply)


@final
class Greylisting:
    """One process's greylisting.

    :param store: the memory.
    :param counters: where decisions are counted.
    :param names: asks DNS; needed where a rule has ``client_names``.
    :param spf: asks what domains say, where a rule has ``spf``; unset: of the servers of ``[delivery] resolver``.
    :raises ConfigError: when a list or the country database cannot be read.
    """

    __slots__ = (
        "_bounds", "_config", "_counters", "_countries", "_lists", "_loop", "_names", "_prefixes", "_quiet_until",
        "_rest_until", "_spf", "_store", "_tasks", "_timer", "after_content", "listeners", "policy",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        store: GreylistStore,
        counters: Counters,
        names: Callable[[], ConfirmedNames],
        spf: Callable[[], SPF] | None = None,
    ) -> None:
        self._loop: Final = loop
        self._config: Final = config
        self._store: Final = store
        self._counters: Final = counters
        self._lists: Final = ListFiles()
        self.policy: GreylistPolicy = greylist_policy(config, self._lists)
        self.listeners: Final = greylisted(config)
        self.after_content: Final = config.greylist.at == "data"
        """Whether the memory is asked when the content has come, not at each recipient."""
        self._bounds: Final = Bounds(config.greylist.auto_allow, config.greylist.size)
        self._prefixes: Final = prefixes_of(config)
        path = config.greylist.country_database
        self._countries: Final = Countries(path) if path is not None and self.policy.by_country else None
        self._names: Final = names() if self.policy.by_name else None
        asking = spf or (lambda: asking_spf(loop, config))
        self._spf: Final = asking() if self.policy.by_spf else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rest_until = self._quiet_until = -math.inf
        self._timer: asyncio.TimerHandle = loop.call_later(EXPIRE_SECONDS, self._expire)

    def at_recipient(self, facts: Facts, connection: str, later: Callable[[Judged], None]) -> Judged | None:
        """Judge a recipient.

        :param facts: without country, names and what SPF says.
        :param connection: its identifier, for the log.
        :param later: called once with what was judged where None is returned: DNS is being asked.
        """
        if self._countries is not None:
            facts = facts._replace(country=self._countries.country(facts.address))
        while wanted := self.policy.wanted(facts):
            known = self._recall(wanted, facts)
            if known is None:
                task = self._loop.create_task(self._find(facts, connection, later))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return None
            facts = known
        return self._judge(facts, connection)

    def at_content(self, judged: Sequence[Judged], connection: str) -> Reply | None:
        """Judge a message whose content has come, where ``at = "data"``.

        It is put off when every recipient is to be: one that a rule spares is owed its mail. The first recipient's
        triplet stands for the message (RFC 6647 §5).
        """
        if not self.after_content or not judged or any(each.decision.course.action != "delay" for each in judged):
            return None
        return self._remember(judged[0].decision, connection)

    def look(self) -> None:
        """Take up list files and the country database, where they have changed."""
        if self._countries is not None:
            self._countries.look()
        if not self._lists:
            return
        changed, problems = self._lists.refresh()
        for problem in problems:
            logs.event("policy.list-kept", "error", reason=problem.message)
        if changed:
            self.policy = greylist_policy(self._config, self._lists)
            logs.event("policy.list-changed", "notice", files=", ".join(changed))

    def close(self) -> None:
        """Ask nobody any more, and close the memory. The loop has stopped."""
        self._timer.cancel()
        asking = tuple(self._tasks)
        for task in asking:
            task.cancel()
        if asking:
            self._loop.run_until_complete(asyncio.wait(asking))
        if self._spf is not None:
            self._spf.close()
        self._store.close()

    def _recall(self, wanted: str, facts: Facts) -> Facts | None:
        """The facts with what is wanted, where it is known already; None where DNS has to be asked."""
        if wanted == CLIENT_NAMES:
            names = None if self._names is None else self._names.known(facts.address)
            return None if names is None else facts._replace(names=names)
        vouched = None if self._spf is None else self._spf.known(identity_of(facts))
        return None if vouched is None else facts._replace(spf=vouched.result)

    async def _find(self, facts: Facts, connection: str, later: Callable[[Judged], None]) -> None:
        while wanted := self.policy.wanted(facts):
            try:
                facts = await self._ask(wanted, facts)
            except Exception as error:  # noqa: BLE001 - whatever it is, the session must have its answer
                logs.failure("greylist.failed", error)
                facts = facts._replace(names=facts.names or (), spf=facts.spf or "temperror")
        later(self._judge(facts, connection))

    async def _ask(self, wanted: str, facts: Facts) -> Facts:
        """The facts with what is wanted; without an answer, with what matches no rule."""
        if wanted == CLIENT_NAMES:
            return facts._replace(names=() if self._names is None else await self._names.find(facts.address))
        if self._spf is None:
            return facts._replace(spf="temperror")
        return facts._replace(spf=(await self._spf.find(identity_of(facts))).result)

    def _judge(self, facts: Facts, connection: str) -> Judged:
        decision = self.policy.decide(facts)
        course = decision.course
        if course.action == "refuse":
            self._count("refused")
            logs.event("greylist.refused", **_about(decision, connection), rule=decision.rule)
            return Judged(decision, Reply(550, "5.7.1", course.text))
        if course.action == "skip":
            self._count("skipped")
            return Judged(decision)
        return Judged(decision, None if self.after_content else self._remember(decision, connection))

    def _remember(self, decision: GreylistDecision, connection: str) -> Reply | None:
        """Ask the memory, and let mail through where it does not answer."""
        facts = decision.facts
        if self._loop.time() < self._rest_until:
            self._count("unavailable")
            return None
        try:
            triplet = triplet_of(facts.address, facts.sender, facts.recipient, self._prefixes, decision.domain)
            step = self._store.decide(triplet, timing_of(self._config, decision.course.delay), self._bounds)
        except GreylistFull:
            self._count("full")
            self._complain("the memory is full of senders that may still come again")
            return None
        except StoreError as error:
            self._count("unavailable")
            self._rest_until = self._loop.time() + REST_SECONDS
            self._complain(str(error))
            return None
        self._count(_RESULTS[step.verdict])
        return self._answer(decision, connection, triplet, step)

    def _answer(self, decision: GreylistDecision, connection: str, triplet: Triplet, step: Step) -> Reply | None:
        if step.verdict is Verdict.PASSED:
            logs.event(
                "greylist.passed", **_about(decision, connection), network=triplet.network, waited=round(step.waited)
            )
        if not step.verdict.deferred:
            return None
        wait = math.ceil(step.wait)
        logs.event(
            "greylist.deferred", **_about(decision, connection),
            network=triplet.network, why=step.verdict.value, wait=wait, rule=decision.rule,
        )  # fmt: skip
        return Reply(451, "4.7.1", f"Greylisted: we do not know you yet, try again in {format_duration(wait)}")

    def _complain(self, reason: str) -> None:
        """Say that mail is let through, once in a while."""
        if self._loop.time() < self._quiet_until:
            return
        self._quiet_until = self._loop.time() + REST_SECONDS
        logs.event("greylist.unavailable", "error", reason=reason, consequence="mail is let through")

    def _count(self, result: str) -> None:
        self._counters.count("greylist_decisions_total", result=result)

    def _expire(self) -> None:
        again = EXPIRE_SECONDS
        try:
            if self._store.expire(timing_of(self._config, self.policy.longest), EXPIRE_ROWS) >= EXPIRE_ROWS:
                again = EXPIRE_AGAIN
        except StoreError as error:
            logs.event("store.failed", severity="error", reason=str(error))
        self._timer = self._loop.call_later(again, self._expire)


def _about(decision: GreylistDecision, connection: str) -> dict[str, Any]:
    facts = decision.facts
    return {
        "connection": connection,
        "rip": facts.address,
        "listener": facts.listener,
        "sender": f"<{facts.sender}>",
        "recipient": f"<{facts.recipient}>",
    }


def asking_dns(loop: asyncio.AbstractEventLoop, config: Config) -> ConfirmedNames:
    """What asks the name servers of ``[delivery] resolver``.

    :raises ConfigError: when the system names none.
    """
    from gatepost.net.resolve import DNSResolver

    return ConfirmedNames(DNSResolver(config.delivery.resolver), loop.time)


def asking_spf(loop: asyncio.AbstractEventLoop, config: Config) -> SPF:
    """What asks the name servers of ``[delivery] resolver`` for SPF records.

    :raises ConfigError: when the system names none, or ``pyspf`` is not installed.
    """
    from gatepost.net.resolve import DNSResolver

    check_installed()
    return SPF(DNSResolver(config.delivery.resolver), loop.time, seconds=SPF_SECONDS)


def identity_of(facts: Facts) -> Identity:
    """Whose mail it is, as SPF asks it (RFC 7208 §2.4): without a sender it is the EHLO name's postmaster's."""
    local, domain = "postmaster", facts.hello
    if facts.sender:
        try:
            mailbox = parse_mailbox(facts.sender)
            local, domain = mailbox.local, mailbox.ascii_domain
        except AddressSyntaxError:
            local, _, domain = facts.sender.rpartition("@")
    return Identity(facts.address, local, domain, facts.hello)


def check_greylisting(config: Config) -> None:
    """Try what ``[greylist]`` names, before any worker starts.

    :raises ConfigError: when a list or the country database cannot be read, or DNS cannot be asked.
    """
    if not config.greylist.enabled:
        return
    policy = greylist_policy(config, ListFiles())
    path = config.greylist.country_database
    if path is not None and policy.by_country:
        Countries(path)
    for key, asked in ((CLIENT_NAMES, policy.by_name), (VOUCHED_BY, policy.by_spf)):
        if asked:
            from gatepost.net.resolve import DNSResolver

            try:
                DNSResolver(config.delivery.resolver)
                if key == VOUCHED_BY:
                    check_installed()
            except ConfigError as error:
                raise ConfigError(f"greylist_rule: {key}: {error.message}", hint=error.hint) from error


def certificate_of(evidence: TLSEvidence | None) -> Certificate | None:
    """What the handshake proved of a client's certificate, as rules take it; None when it showed none."""
    if evidence is None or not evidence.peer_chain:
        return None
    verification = evidence.verification
    names = verification.names if verification.status == "trusted" else ()
    return Certificate(tuple(name.removeprefix(EMAIL_PREFIX) for name in names), fingerprints(evidence.peer_chain[0]))
