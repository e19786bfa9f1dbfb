"""What the keys of greylisting may not say together, nor of other tables. As in ``combinations``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gatepost.config.problems import Key, Problem
from gatepost.config.quantities import format_duration, parse_duration
from gatepost.config.rule_combinations import known_listeners, protocols_of, tables_in, words_in

RETRY_INTERVAL: Final = 14400.0
"""Seconds that a sender must have behind the delay: RFC 5321 §4.5.4.1 has it try every two or three hours after a
while, and this gives more room."""

_ELSEWHERE: Final = {
    "submission": "is for submission, where a login decides; greylisting never happens there",
    "lmtp": "takes mail from servers of ours, which greylisting would only hold up",
    "pop3": "is for reading mail; nobody sends there",
    "imap": "is for reading mail; nobody sends there",
}
_DELAY: Final = 300.0
_WINDOW: Final = 86400.0


def impossible_greylisting(tables: Mapping[str, Any]) -> Iterator[Problem]:
    """Every impossible combination in ``[greylist]`` and ``[[greylist_rule]]``."""
    found = tables.get("greylist")
    greylist: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    protocols = protocols_of(tables)
    yield from _listeners(("greylist",), greylist, protocols)
    window = _seconds(greylist.get("window"), _WINDOW)
    yield from _window(("greylist", "delay"), _seconds(greylist.get("delay"), _DELAY), window)
    for index, rule in tables_in(tables.get("greylist_rule")):
        place: Key = ("greylist_rule", index)
        yield from _listeners(place, rule, protocols)
        yield from _rule(place, rule)
        if rule.get("countries") is not None and greylist.get("country_database") is None:
            yield Problem(
                (*place, "countries"), "nobody knows the country of an address: set greylist.country_database"
            )
        yield from _window((*place, "delay"), _seconds(rule.get("delay"), None), window)
        yield from _certified(place, rule, tables)


def _rule(place: Key, rule: Mapping[str, Any]) -> Iterator[Problem]:
    action = rule.get("action")
    if action in ("skip", "refuse") and rule.get("delay") is not None:
        yield Problem((*place, "delay"), f'decides nothing with action = "{action}"; use delay')
    if action in ("skip", "delay") and rule.get("text") is not None:
        yield Problem((*place, "text"), f'is said with action = "refuse" only, not with "{action}"')
    if rule.get("tls") is False and (rule.get("certificate_names") or rule.get("certificate_fingerprint")):
        yield Problem((*place, "tls"), "in the clear nobody shows a certificate")
    conditions = {key for key, value in rule.items() if value is not None} - {"action", "delay", "text"}
    if action == "refuse" and not conditions:
        yield Problem(place, "would refuse all mail; say whose, with `from`, `countries` or another condition")
    if action == "skip" and conditions == {"spf"}:
        yield Problem(
            (*place, "spf"),
            'would spare whoever has a domain of his own: say which `senders`, or use action = "delay", which lets a '
            "domain's mail in when it comes again from any of its addresses",
        )


def _listeners(place: Key, table: Mapping[str, Any], protocols: Mapping[str, str]) -> Iterator[Problem]:
    yield from known_listeners(place, table, protocols)
    for name in words_in(table.get("listeners")):
        protocol = protocols.get(name, "smtp")
        if protocol != "smtp" and (reason := _ELSEWHERE.get(protocol, "is not for mail that comes in")):
            yield Problem((*place, "listeners"), f'"{name}" {reason}')


def _window(key: Key, delay: float | None, window: float | None) -> Iterator[Problem]:
    if delay is not None and window is not None and window < delay + RETRY_INTERVAL:
        yield Problem(
            key,
            f"greylist.window leaves a sender too little time behind this: it is {format_duration(window)} and must be "
            f"at least {format_duration(delay + RETRY_INTERVAL)}",
        )


def _certified(place: Key, rule: Mapping[str, Any], tables: Mapping[str, Any]) -> Iterator[Problem]:
    found = tables.get("tls")
    tls: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    if rule.get("certificate_names") is not None and tls.get("client_ca") is None:
        yield Problem(
            (*place, "certificate_names"),
            "anybody can write a name into a certificate of his own; set tls.client_ca to the authority that is "
            "believed",
        )
    asking = [tls, *(each for _, each in tables_in(tables.get("inbound")))]
    asked = any(table.get("client_certificate", "none") not in ("none", None) for table in asking)
    for key in ("certificate_names", "certificate_fingerprint"):
        if rule.get(key) is not None and not asked:
            yield Problem((*place, key), 'nobody is asked for a certificate: set tls.client_certificate = "ask"')


def _seconds(value: object, default: float | None) -> float | None:
    try:
        return default if value is None else parse_duration(value)
    except ValueError:
        return None  # the schema says so
