"""From ``[greylist]`` and ``[[greylist_rule]]`` to the values that ``greylist`` decides with."""

from __future__ import annotations

from typing import Final

from gatepost.config.greylist import GreylistRule as RuleTable
from gatepost.config.lists import ListFiles
from gatepost.config.schema import Config
from gatepost.greylist.mailboxes import MailboxList
from gatepost.greylist.memory import Timing
from gatepost.greylist.rules import UNWANTED, Course, GreylistPolicy, GreylistRule
from gatepost.greylist.triplet import Prefixes
from gatepost.policy.names import NameList
from gatepost.policy.rules import Source

PROTOCOLS: Final = ("smtp",)
"""Where mail comes from strangers. At submission a login decides, and LMTP clients are servers of ours."""


def greylist_policy(config: Config, files: ListFiles) -> GreylistPolicy:
    """What decides about strangers.

    :param files: reads the lists, and remembers them.
    :raises ConfigError: when a list cannot be read.
    """
    place = config.place("greylist") if "greylist" in config.model_fields_set else ""
    rules = tuple(_rule(config, index, rule, files) for index, rule in enumerate(config.greylist_rule))
    return GreylistPolicy(rules, config.greylist.delay, Source("greylist", place))


def timing_of(config: Config, delay: float) -> Timing:
    """How long a sender waits and is remembered.

    :param delay: what was decided for its mail, in seconds.
    """
    return Timing(delay, config.greylist.window, config.greylist.lifetime)


def prefixes_of(config: Config) -> Prefixes:
    """What stands for a client."""
    return Prefixes(config.greylist.network_ipv4, config.greylist.network_ipv6)


def greylisted(config: Config) -> frozenset[str]:
    """The names of the listeners where strangers are put off; empty where greylisting is off."""
    greylist = config.greylist
    if not greylist.enabled:
        return frozenset()
    there = {listener.name for listener in config.listeners if listener.protocol in PROTOCOLS}
    return frozenset(there if greylist.listeners is None else there.intersection(greylist.listeners))


def _rule(config: Config, index: int, rule: RuleTable, files: ListFiles) -> GreylistRule:
    delay = config.greylist.delay if rule.delay is None else rule.delay
    return GreylistRule(
        Source(f"greylist_rule[{index}]", config.place("greylist_rule", index)),
        Course(rule.action, delay, rule.text or UNWANTED, rule.action == "delay" and rule.spf == ("pass",)),
        addresses=None if rule.addresses is None else files.addresses(rule.addresses),
        exempt=None if rule.exempt is None else files.addresses(rule.exempt),
        listeners=None if rule.listeners is None else frozenset(rule.listeners),
        client_names=None if rule.client_names is None else NameList(rule.client_names),
        countries=None if rule.countries is None else frozenset(rule.countries),
        senders=None if rule.senders is None else MailboxList(rule.senders),
        recipients=None if rule.recipients is None else MailboxList(rule.recipients),
        authenticated=rule.authenticated,
        tls=rule.tls,
        certificate_names=None if rule.certificate_names is None else NameList(rule.certificate_names),
        spf=None if rule.spf is None else frozenset(rule.spf),
        fingerprints=None if rule.certificate_fingerprint is None else frozenset(rule.certificate_fingerprint),
    )
