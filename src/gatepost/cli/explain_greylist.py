"""What ``gatepost greylist explain`` finds: what a running server decides about a stranger's mail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from gatepost.cli.owner import as_owner
from gatepost.config.greylist_policy import greylist_policy, greylisted, prefixes_of, timing_of
from gatepost.config.lists import ListFiles
from gatepost.config.quantities import format_duration
from gatepost.config.schema import Config
from gatepost.greylist.facts import Facts
from gatepost.greylist.memory import Memory, Verdict, judge
from gatepost.greylist.rules import CLIENT_NAMES, VOUCHED_BY, GreylistDecision, GreylistPolicy
from gatepost.greylist.triplet import Triplet, triplet_of
from gatepost.policy.explain import Explanation, Outlook
from gatepost.policy.rules import Decision, Setting
from gatepost.store.greylist import Network

_WANTED: Final = {
    CLIENT_NAMES: "a rule goes by the client's name, which a server asks DNS for: --name HOST says what it is; "
    "--dns asks",
    VOUCHED_BY: "a rule goes by SPF, which a server asks DNS for: --spf RESULT says what comes of it; --dns asks",
}


def explanation(config: Config, facts: Facts, *, asks: bool = False) -> Explanation:
    """What is done with one recipient's mail.

    :param facts: what is known of it; the listener and the country may be left out.
    :param asks: whether DNS is asked for what is not known and makes a difference.
    :raises ConfigError: when a list or the country database cannot be read.
    """
    listeners = sorted(greylisted(config))
    usual = next((each.name for each in config.listeners if each.name in listeners or each.protocol == "smtp"), "")
    facts = facts._replace(listener=facts.listener or usual)
    policy = greylist_policy(config, ListFiles())
    if facts.country is None and policy.by_country and config.greylist.country_database is not None:
        from gatepost.service.countries import Countries

        facts = facts._replace(country=Countries(config.greylist.country_database).country(facts.address))
    notes = [] if facts.listener in listeners else [_off(config, facts.listener)]
    if asks:
        facts, told = asyncio.run(asked(config, policy, facts))
        notes += told
    decision = policy.decide(facts)
    if wanted := policy.wanted(facts):
        notes.append(_WANTED[wanted])
    triplet = triplet_of(facts.address, facts.sender, facts.recipient, prefixes_of(config), decision.domain)
    return Explanation(
        {
            "client": facts.address, "sender": f"<{facts.sender}>", "recipient": f"<{facts.recipient}>",
            "listener": facts.listener, "country": facts.country or "",
            "spf": f"{facts.spf} ({facts.domain})" if facts.spf else "",
        },
        _verdict(decision), decision.rule, _shown(decision), tuple(_outlook(config, decision, triplet)), tuple(notes),
    )  # fmt: skip


async def asked(config: Config, policy: GreylistPolicy, facts: Facts) -> tuple[Facts, list[str]]:
    """The facts with what DNS says, as a server would ask it; and what else it said, in words.

    :raises ConfigError: when DNS cannot be asked.
    """
    from gatepost.service.greylisting import asking_dns, asking_spf, identity_of

    loop, told = asyncio.get_running_loop(), []
    while wanted := policy.wanted(facts):
        if wanted == CLIENT_NAMES:
            names = await asking_dns(loop, config).find(facts.address)
            facts = facts._replace(names=names)
            told.append(
                f"DNS calls {facts.address} {', '.join(names)}" if names else "DNS has no confirmed name for it"
            )
            continue
        spf = asking_spf(loop, config)
        try:
            vouched = await spf.find(identity_of(facts))
        finally:
            spf.close()
        facts = facts._replace(spf=vouched.result)
        told.append(f"SPF of {facts.domain}: {vouched.result}" + (f" ({vouched.reason})" if vouched.reason else ""))
    return facts, told


def _shown(decision: GreylistDecision) -> Decision:
    """The decision with the settings that mean something for its action."""
    course, settings = decision.course, decision.decision.settings
    shown = {"action": settings["action"]}
    if course.action == "delay":
        shown["delay"] = Setting(format_duration(course.delay), decision.source)
        if course.by_domain:
            shown["client"] = Setting(f"any that {decision.facts.domain} vouches for", decision.source)
    elif course.action == "refuse":
        shown["text"] = settings["text"]
    return Decision(shown, decision.decision.weighed)


def _off(config: Config, listener: str) -> str:
    if not config.greylist.enabled:
        return "greylisting is off: greylist.enabled = true turns it on"
    return f"listener {listener} does not greylist"


def _verdict(decision: GreylistDecision) -> str:
    course = decision.course
    if course.action == "refuse":
        return f"is refused: 550 5.7.1 {course.text}"
    if course.action == "skip":
        return "is let in at once"
    return f"is put off for {format_duration(course.delay)}, unless it is known"


def _outlook(config: Config, decision: GreylistDecision, triplet: Triplet) -> Iterator[Outlook]:
    if decision.course.action == "refuse":
        yield Outlook("at RCPT", f"550 5.7.1 {decision.course.text}")
    elif decision.course.action == "skip":
        yield Outlook("at RCPT", "250, and nothing is remembered")
    if decision.course.action != "delay":
        return
    yield Outlook("from a client that may relay", "let in at once; so is whoever has logged in")
    timing = timing_of(config, decision.course.delay)
    known = _look(config, triplet)
    if known is None:
        yield Outlook("now", "nothing is remembered yet")
        return
    memory, network = known
    if network is not None and (network.allowed or 0 < config.greylist.auto_allow <= network.passes):
        yield Outlook("now", f"let in: {network.network} is no stranger")
        return
    step = judge(memory, time.time(), timing)
    wait = format_duration(float(round(step.wait)))
    words = {
        Verdict.NEW: f"451 4.7.1: it comes for the first time; in {wait} it gets in",
        Verdict.EARLY: f"451 4.7.1: it came before; in {wait} it gets in",
        Verdict.LATE: f"451 4.7.1: it came too late, and begins anew; in {wait} it gets in",
        Verdict.PASSED: "let in: it came again in time",
        Verdict.KNOWN: "let in: it is known",
    }
    yield Outlook("now", words[step.verdict])


def _look(config: Config, triplet: Triplet) -> tuple[Memory | None, Network | None] | None:
    from gatepost.store.sqlite.greylist import FILE_NAME, SQLiteGreylist

    path = config.data / FILE_NAME
    if not path.exists():
        return None
    with as_owner(config), closing(SQLiteGreylist(path)) as store:
        return store.look(triplet)
