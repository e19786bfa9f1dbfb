"""What the keys of rules may not say together, and what a rule may not say of other tables.

As in ``combinations``: works on plain tables, before or after validation, and passes over what has the wrong type.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gatepost.config.entries import file_of
from gatepost.config.problems import Key, Problem
from gatepost.policy.addresses import AddressList

_VERSIONS: Final = ("TLSv1.2", "TLSv1.3")
_DEFAULT_LISTENERS: Final = {
    "mx": "smtp", "submission": "submission", "submissions": "submission", "pop3": "pop3", "pop3s": "pop3",
}  # fmt: skip
_NOT_RELAYING: Final = {
    "submission": "is for submission, where a login decides who may send",
    "pop3": "is for reading mail; nobody sends there",
}
_INBOUND: Final = ("starttls", "minimum", "maximum", "ciphers", "suites", "resumption", "client_certificate")
_OUTBOUND: Final = (
    "level", "ca", "crl", "fingerprints", "names", "ciphers", "suites", "minimum", "maximum", "client_certificate",
    "port", "implicit",
)  # fmt: skip


def impossible_rules(tables: Mapping[str, Any]) -> Iterator[Problem]:
    """Every impossible combination in ``[[inbound]]``, ``[[outbound]]`` and ``[[relay]]``."""
    protocols = protocols_of(tables)
    for index, rule in tables_in(tables.get("inbound")):
        yield from known_listeners(("inbound", index), rule, protocols)
        yield from _settings("inbound", index, rule, _INBOUND)
        yield from _versions("inbound", index, rule)
    outbound = tables_in(tables.get("outbound"))
    pinned = any(rule.get("fingerprints") for _, rule in outbound)
    for index, rule in outbound:
        yield from _settings("outbound", index, rule, _OUTBOUND)
        yield from _versions("outbound", index, rule)
        yield from _outbound(index, rule, pinned=pinned)
    for index, rule in tables_in(tables.get("relay")):
        yield from known_listeners(("relay", index), rule, protocols)
        yield from _relay(index, rule, protocols)
        yield from _relaying_gates(index, rule, {str(gate.get("name")) for _, gate in tables_in(tables.get("gate"))})
    yield from _client_certificates(tables)


def tables_in(value: object) -> list[tuple[int, Mapping[str, Any]]]:
    """The tables of a list, each with its number; passes over what is none."""
    return [
        (index, rule)
        for index, rule in enumerate(value if isinstance(value, list | tuple) else ())
        if isinstance(rule, Mapping)
    ]


def protocols_of(tables: Mapping[str, Any]) -> dict[str, str]:
    """Each listener's and each gate's name with its protocol."""
    both = [*tables_in(tables.get("listener")), *tables_in(tables.get("gate"))]
    return {str(rule.get("name")): str(rule.get("protocol")) for _, rule in both} or _DEFAULT_LISTENERS


def words_in(value: object) -> list[str]:
    """The text in a list, or the one text in its place."""
    return [word for word in (value if isinstance(value, list | tuple) else [value]) if isinstance(word, str)]


def known_listeners(place: Key, rule: Mapping[str, Any], protocols: Mapping[str, str]) -> Iterator[Problem]:
    """Names in ``listeners`` that are no listener's.

    :param place: the rule's key.
    """
    for name in words_in(rule.get("listeners")):
        if name not in protocols:
            near = difflib.get_close_matches(name, protocols, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(protocols)}"
            yield Problem((*place, "listeners"), f'there is no listener "{name}"; {hint}')


def _settings(table: str, index: int, rule: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Problem]:
    if not any(rule.get(key) is not None for key in keys):
        yield Problem((table, index), f"this rule decides nothing; set {', '.join(keys[:-1])} or {keys[-1]}")


def _versions(table: str, index: int, rule: Mapping[str, Any]) -> Iterator[Problem]:
    low, high = rule.get("minimum"), rule.get("maximum")
    if low in _VERSIONS and high in _VERSIONS and _VERSIONS.index(low) > _VERSIONS.index(high):
        yield Problem((table, index, "maximum"), f"{high} is older than this rule's minimum, {low}")
    if rule.get("ciphers") is not None and low == "TLSv1.3":
        yield Problem((table, index, "ciphers"), "ciphers are for TLS 1.2, which this rule's minimum rules out")
    if rule.get("suites") is not None and high == "TLSv1.2":
        yield Problem((table, index, "suites"), "suites are for TLS 1.3, which this rule's maximum rules out")


def _outbound(index: int, rule: Mapping[str, Any], *, pinned: bool) -> Iterator[Problem]:
    level = rule.get("level")
    if level == "fingerprint" and not pinned:
        yield Problem(("outbound", index, "level"), "needs fingerprints, here or in another rule for the same servers")
    if level == "none" and rule.get("implicit") is True:
        yield Problem(("outbound", index, "implicit"), 'cannot be with level = "none": it is TLS from the first byte')
    if level in ("none", "may", "encrypt") and rule.get("names") is not None:
        yield Problem(("outbound", index, "names"), f'are not looked at with level = "{level}"; use verify or secure')
    for key in ("ca", "crl") if level in ("none", "may", "encrypt", "fingerprint") else ():
        if rule.get(key) is not None:
            yield Problem(("outbound", index, key), f'decides nothing with level = "{level}"; use verify or secure')
    if level is not None and level != "fingerprint" and rule.get("fingerprints") is not None:
        yield Problem(("outbound", index, "fingerprints"), 'are looked at with level = "fingerprint" only')


def _relay(index: int, rule: Mapping[str, Any], protocols: Mapping[str, str]) -> Iterator[Problem]:
    for name in words_in(rule.get("listeners")):
        if reason := _NOT_RELAYING.get(protocols.get(name, "")):
            yield Problem(("relay", index, "listeners"), f'"{name}" {reason}')
    certified = bool(rule.get("certificate_email") or rule.get("certificate_fingerprint"))
    entries = words_in(rule["from"]) if "from" in rule and rule["from"] is not None else None
    if entries is None:
        if not certified:
            yield Problem(
                ("relay", index),
                "would let everybody relay; say from which addresses with `from`, or with whose certificate",
            )
        return
    try:
        universal = AddressList([entry for entry in entries if file_of(entry) is None]).universal
    except ValueError:
        universal = False  # the schema says so, or files make it whole
    if universal and not certified:
        yield Problem(("relay", index, "from"), "lets the whole Internet relay; name the addresses that are yours")


def _relaying_gates(index: int, rule: Mapping[str, Any], gates: set[str]) -> Iterator[Problem]:
    for name in words_in(rule.get("listeners")):
        if name in gates:
            yield Problem(
                ("relay", index, "listeners"), f'"{name}" is a gate: who may relay is up to the server behind it'
            )


def _client_certificates(tables: Mapping[str, Any]) -> Iterator[Problem]:
    """What is asked about client certificates must be something that can be answered."""
    found = tables.get("tls")
    tls: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    authority = tls.get("client_ca") is not None
    if tls.get("client_crl") is not None and not authority:
        yield Problem(("tls", "client_crl"), "revokes certificates of no authority; set tls.client_ca")
    relay = tables_in(tables.get("relay"))
    for index, rule in relay:
        if rule.get("certificate_email") and not authority:
            yield Problem(
                ("relay", index, "certificate_email"),
                "anybody can write an address into a certificate of his own; set tls.client_ca to the authority that "
                "is believed",
            )
    if authority or any(rule.get("certificate_fingerprint") for _, rule in relay):
        return
    asking: list[tuple[Key, Mapping[str, Any]]] = [(("tls", "client_certificate"), tls)]
    asking += [(("inbound", index, "client_certificate"), rule) for index, rule in tables_in(tables.get("inbound"))]
    for key, table in asking:
        if table.get("client_certificate") == "require":
            yield Problem(key, "no certificate would do: set tls.client_ca to the authority that is believed")
