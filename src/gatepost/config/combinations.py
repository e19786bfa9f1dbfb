"""What keys may not say together.

Works on the plain tables of a file, before or after validation, and passes over what has the wrong type: a file with a
wrong type in one place and an impossible combination in another gets both problems at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gatepost.config.endpoints import parse_bind
from gatepost.config.gate_combinations import impossible_gates
from gatepost.config.greylist_combinations import impossible_greylisting
from gatepost.config.problems import Key, Problem
from gatepost.config.quantities import parse_duration
from gatepost.config.record_combinations import impossible_recording
from gatepost.config.routing_combinations import impossible_routing
from gatepost.config.rule_combinations import impossible_rules

_VERSIONS: Final = ("TLSv1.2", "TLSv1.3")
_LOGIN: Final = {"submission": "submission", "pop3": "POP3"}
_TAKEN: Final = {"local": "the local socket", "metrics": "the metrics page"}


def impossible(tables: Mapping[str, Any]) -> list[Problem]:
    """Every impossible combination in the tables of a configuration."""
    return [
        *_tls(_table(tables.get("tls"))),
        *_certificates(tables.get("certificate"), _table(tables.get("tls")).get("certificate")),
        *_listeners(tables),
        *_delivery(_table(tables.get("delivery"))),
        *impossible_rules(tables),
        *impossible_routing(tables),
        *impossible_gates(tables),
        *impossible_greylisting(tables),
        *impossible_recording(tables),
        *_domains(tables.get("domains")),
        *_reflector(_table(tables.get("reflector")).get("address"), tables.get("domains")),
        *_zeros(tables, ()),
    ]


def _zeros(value: object, key: Key) -> Iterator[Problem]:
    """A NUL ends a file's name, whatever stands behind it, and stands in no name that mail knows."""
    if isinstance(value, str) and "\0" in value:
        yield Problem(key, "holds a NUL, which no value can have")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _zeros(inner, (*key, name))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _zeros(inner, (*key, index))


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tls(tls: Mapping[str, Any]) -> Iterator[Problem]:
    if tls.get("key") is not None and tls.get("certificate") is None:
        yield Problem(("tls", "key"), "a key without a certificate; set tls.certificate too")
    low, high = tls.get("minimum", _VERSIONS[0]), tls.get("maximum")
    if low in _VERSIONS and high in _VERSIONS and _VERSIONS.index(low) > _VERSIONS.index(high):
        yield Problem(("tls", "maximum"), f"{high} is older than tls.minimum, {low}")
    if tls.get("ciphers") is not None and low == "TLSv1.3":
        yield Problem(("tls", "ciphers"), "ciphers are for TLS 1.2, which tls.minimum rules out; set tls.suites")
    if tls.get("suites") is not None and high == "TLSv1.2":
        yield Problem(("tls", "suites"), "suites are for TLS 1.3, which tls.maximum rules out; set tls.ciphers")


def _certificates(certificates: object, first: object) -> Iterator[Problem]:
    seen = {str(first)} if first is not None else set()
    for index, certificate in enumerate(certificates if isinstance(certificates, list | tuple) else ()):
        file = _table(certificate).get("file")
        if file is None:
            continue  # the schema says so
        if str(file) in seen:
            yield Problem(("certificate", index, "file"), f'"{file}" is named twice')
        seen.add(str(file))


def _listeners(tables: Mapping[str, Any]) -> Iterator[Problem]:
    """Names and addresses are of one listener or gate each."""
    names: set[str] = set()
    binds: dict[tuple[str, int], str] = {}
    for kind in ("listener", "gate"):
        found = tables.get(kind)
        for index, entry in enumerate(found if isinstance(found, list | tuple) else ()):
            table = _table(entry)
            if kind == "listener":
                yield from _listener(index, table)
            name = table.get("name")
            if isinstance(name, str) and name in names:
                yield Problem((kind, index, "name"), f'a second {_kind_of(name, tables)} with the name "{name}"')
            if isinstance(name, str) and name in _TAKEN:
                yield Problem((kind, index, "name"), f'"{name}" is the name of {_TAKEN[name]}; choose another')
            names.add(str(name))
            yield from _binds((kind, index, "bind"), table.get("bind"), f'{kind} "{name}"', binds)
    yield from _binds(("metrics", "bind"), _table(tables.get("metrics")).get("bind"), "[metrics]", binds)


def _kind_of(name: str, tables: Mapping[str, Any]) -> str:
    """What has a name already."""
    found = tables.get("listener")
    first = (_table(each).get("name") for each in (found if isinstance(found, list | tuple) else ()))
    return "listener" if name in first else "gate"


def _listener(index: int, table: Mapping[str, Any]) -> Iterator[Problem]:
    if table.get("tls") == "implicit" and table.get("starttls") == "deny":
        yield Problem(
            ("listener", index, "starttls"),
            'a listener with tls = "implicit" cannot deny TLS; remove starttls, or set tls = "starttls"',
        )
    protocol = table.get("protocol")
    if protocol in _LOGIN and table.get("tls") != "implicit" and table.get("starttls") == "deny":
        yield Problem(
            ("listener", index, "starttls"),
            f'a {_LOGIN[protocol]} listener without TLS could never take a login; use "offer" or "require"',
        )


def _binds(key: Key, value: object, owner: str, seen: dict[tuple[str, int], str]) -> Iterator[Problem]:
    for text in (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
        try:
            host, port = parse_bind(text) if isinstance(text, str) else ("", 0)
        except ValueError:
            continue  # the schema says so
        wildcard = "::" if ":" in host else "0.0.0.0"
        taken = next((seen[same] for same in ((host, port), (wildcard, port)) if same in seen), None)
        if taken is None and host == wildcard:
            taken = next((who for (h, p), who in seen.items() if p == port and (":" in h) == (":" in host)), None)
        if port and taken is not None:
            yield Problem(key, f'"{text}" is bound twice: {taken} has it already')
        seen.setdefault((host, port), owner)


def _delivery(delivery: Mapping[str, Any]) -> Iterator[Problem]:
    smarthost = delivery.get("smarthost")
    user, password = delivery.get("smarthost_user"), delivery.get("smarthost_password_file")
    if user is not None and password is None:
        yield Problem(("delivery", "smarthost_user"), "a user without a password; set delivery.smarthost_password_file")
    if password is not None and user is None:
        yield Problem(("delivery", "smarthost_password_file"), "a password without a user; set delivery.smarthost_user")
    if smarthost is None and user is not None:
        yield Problem(("delivery", "smarthost_user"), "a user for no smarthost; set delivery.smarthost")
    if smarthost is None and delivery.get("smarthost_tls") == "implicit":
        yield Problem(("delivery", "smarthost_tls"), "implicit TLS to no smarthost; set delivery.smarthost")
    if delivery.get("tls_only_listed") is True and delivery.get("tls_level", "may") not in ("may", "none"):
        yield Problem(
            ("delivery", "tls_only_listed"),
            "sends in the clear to all that are not listed, which tls_level forbids; remove one of them",
        )
    if delivery.get("tls_level") == "none":
        if delivery.get("smarthost_tls") == "implicit":
            yield Problem(("delivery", "tls_level"), 'cannot be "none" with smarthost_tls = "implicit"')
        if user is not None:
            yield Problem(("delivery", "tls_level"), 'cannot be "none" with a login: it would travel in the clear')
    first, longest = _seconds(delivery.get("retry_first", 300)), _seconds(delivery.get("retry_max", 14400))
    if first is not None and longest is not None and first > longest:
        yield Problem(("delivery", "retry_first"), "is longer than delivery.retry_max")


def _seconds(value: object) -> float | None:
    try:
        return parse_duration(value)
    except ValueError:
        return None


def _domains(domains: object) -> Iterator[Problem]:
    seen: set[str] = set()
    for domain in domains if isinstance(domains, list | tuple) else ():  # a single one can stand but once
        if isinstance(domain, str):
            if domain.lower() in seen:
                yield Problem(("domains",), f'"{domain}" stands twice')
            seen.add(domain.lower())


def _reflector(address: object, domains: object) -> Iterator[Problem]:
    ours = [domains] if isinstance(domains, str) else domains if isinstance(domains, list | tuple) else ()
    known = {domain.lower() for domain in ours if isinstance(domain, str)}
    if isinstance(address, str) and "@" in address and known and address.rpartition("@")[2].lower() not in known:
        yield Problem(("reflector", "address"), f'"{address}" is in none of `domains`; its mail would not be kept here')
