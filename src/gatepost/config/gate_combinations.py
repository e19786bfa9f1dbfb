"""What gates and backends may not say together, nor of each other. As in ``combinations``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gatepost.config.gate_protocols import READ, SMTP_LIKE
from gatepost.config.problems import Key, Problem
from gatepost.config.rule_combinations import tables_in

_CERTIFICATE: Final = ("level", "ca", "names", "fingerprints", "client_certificate")
_USELESS: Final = {
    "encrypt": {"ca": "verify", "names": "verify", "fingerprints": "fingerprint"},
    "verify": {"fingerprints": "fingerprint"},
    "fingerprint": {"ca": "verify", "names": "verify"},
}
"""Keys that decide nothing at a level, and the level at which they do."""


def impossible_gates(tables: Mapping[str, Any]) -> Iterator[Problem]:
    """Every impossible combination in ``[[gate]]`` and ``[[backend]]``."""
    gates, backends = tables_in(tables.get("gate")), tables_in(tables.get("backend"))
    if tables.get("listener") == () and not gates:
        yield Problem(("listener",), "must have at least 1 entry, where there is no gate either")
    known: dict[str, Mapping[str, Any]] = {}
    for index, backend in backends:
        name = str(backend.get("name"))
        if known.setdefault(name, backend) is not backend:
            yield Problem(("backend", index, "name"), f'a second backend with the name "{name}"')
        yield from _backend(("backend", index), backend)
    for index, gate in gates:
        place: Key = ("gate", index)
        yield from _gate(place, gate)
        behind = gate.get("backend")
        if isinstance(behind, str) and behind not in known:
            yield Problem((*place, "backend"), _unknown(behind, known))
        elif isinstance(behind, str):
            yield from _together(place, gate, known[behind])


def _unknown(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f'there is no backend "{name}"; did you mean {near[0]}?'
    return f'there is no backend "{name}"; ' + (
        f"known here: {', '.join(known)}" if known else "write a [[backend]] with this name"
    )


def _backend(place: Key, backend: Mapping[str, Any]) -> Iterator[Problem]:
    if backend.get("tls", "none") == "none":
        for key in _CERTIFICATE:
            if backend.get(key) is not None:
                yield Problem((*place, key), 'decides nothing with tls = "none"; set tls = "starttls" or "implicit"')
        return
    level = backend.get("level", "verify")
    if level == "fingerprint" and not backend.get("fingerprints"):
        yield Problem((*place, "level"), "needs fingerprints")
    for key, needed in _USELESS.get(str(level), {}).items():
        if backend.get(key) is not None:
            yield Problem((*place, key), f'decides nothing with level = "{level}"; use {needed}')


def _gate(place: Key, gate: Mapping[str, Any]) -> Iterator[Problem]:
    protocol, mode, starttls = gate.get("protocol"), gate.get("mode", "terminate"), gate.get("starttls", "offer")
    implicit = gate.get("tls") == "implicit"
    if implicit and starttls == "deny":
        yield Problem(
            (*place, "starttls"),
            'a gate with tls = "implicit" cannot deny TLS; remove starttls, or set tls = "starttls"',
        )
    if implicit and mode == "refuse":
        yield Problem((*place, "mode"), '"refuse" is about STARTTLS, and here TLS comes first; set tls = "starttls"')
    if mode == "refuse" and starttls == "require":
        yield Problem((*place, "starttls"), 'cannot be required with mode = "refuse", which refuses it')
    if mode == "pass" and starttls != "offer":
        yield Problem(
            (*place, "starttls"),
            'is up to the server behind with mode = "pass"; remove it, or set mode = "terminate" or "refuse"',
        )
    if protocol == "mysql" and mode == "terminate" and not implicit:
        yield Problem(
            (*place, "mode"),
            "a login to MySQL answers the server's greeting, which is said in the clear, and nothing of that crosses; "
            'use mode = "pass", or tls = "implicit"',
        )
    if protocol == "raw" and not implicit and mode != "pass":
        yield Problem((*place, "tls"), '"raw" has no STARTTLS; set tls = "implicit", or mode = "pass"')
    yield from _unread(place, gate)


def _unread(place: Key, gate: Mapping[str, Any]) -> Iterator[Problem]:
    """What asks the gate to read a protocol that it does not read."""
    protocol, implicit = gate.get("protocol"), gate.get("tls") == "implicit"
    opaque = isinstance(protocol, str) and protocol not in READ
    key = "mode" if gate.get("mode") == "refuse" else "starttls"
    if opaque and not implicit and "refuse" in (gate.get("mode"), "refuse" if gate.get("starttls") == "deny" else ""):
        yield Problem(
            (*place, key),
            f"of {protocol} the gate reads the way into TLS and nothing else, so it could neither hide nor refuse it; "
            'use mode = "terminate" or "pass"',
        )
    if gate.get("xclient_from") and isinstance(protocol, str) and protocol not in SMTP_LIKE:
        yield Problem((*place, "xclient_from"), f"{protocol} has no XCLIENT; use proxy_from")
    if gate.get("xclient_from") and implicit and gate.get("mode") == "pass":
        yield Problem((*place, "xclient_from"), "is never read: here the client's TLS goes through unread")


def _together(place: Key, gate: Mapping[str, Any], backend: Mapping[str, Any]) -> Iterator[Problem]:
    """What a gate and its backend say together."""
    protocol, mode, tells = gate.get("protocol"), gate.get("mode"), backend.get("client", "none")
    name = backend.get("name")
    if mode == "pass" and backend.get("tls", "none") != "none":
        yield Problem(
            (*place, "mode"),
            f'"pass" hands the client\'s TLS to the server, so backend "{name}" must have tls = "none"',
        )
    if protocol == "raw" and backend.get("tls") == "starttls":
        yield Problem((*place, "protocol"), f'"raw" has no STARTTLS, and backend "{name}" wants it')
    if protocol == "mysql" and mode != "pass" and backend.get("tls") == "starttls":
        yield Problem(
            (*place, "protocol"),
            f'mysql greets once, in the clear, so backend "{name}" cannot have tls = "starttls"; use mode = "pass"',
        )
    if tells in ("xclient", "xforward"):
        if isinstance(protocol, str) and protocol not in SMTP_LIKE:
            yield Problem(
                (*place, "protocol"),
                f'{protocol} has no {tells.upper()}, which backend "{name}" asks for; use client = "proxy1" or '
                '"proxy2"',
            )
        elif mode == "pass" and gate.get("tls") == "implicit":
            yield Problem(
                (*place, "mode"),
                f'"pass" of implicit TLS leaves no room for {tells.upper()}, which backend "{name}" asks for; use '
                'client = "proxy1" or "proxy2"',
            )
