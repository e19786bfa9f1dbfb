"""qmail's ``smtproutes``: ``domain:relay:port`` a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gatepost.config.endpoints import address_of
from gatepost.config.importers.document import Document, Sourced
from gatepost.config.importers.routing import Found, add_routes, endpoint
from gatepost.config.importers.texts import Line

_ROUTE: Final = re.compile(r"([^:\s]*):(\[[^\]\s]*\]|[^:\s]*)(?::(\d*))?(\s.*)?")
_SMTPS: Final = 465


class _Entry(NamedTuple):
    """A line: a domain, those below one (``.example.com``), or everything (empty); a relay, or none; a port."""

    domain: str
    relay: str
    port: int | None
    login: bool
    place: str


def routes(document: Document, lines: Sequence[Line]) -> None:
    """The route for everything becomes the smarthost, others become routes; a port without a relay becomes a rule."""
    entries = _entries(document, lines)
    found: list[Found] = []
    for entry in entries.values():
        if not entry.domain:
            _everything(document, entry)
        elif entry.relay and entry.login:
            document.withhold(
                "route", ["[[route]]", f'to = "{entry.domain}"', f'via = "{_via(entry)}"'], entry.place,
                "a login stands in this line, and a route has none: only delivery.smarthost logs in. The password is "
                "not copied",
            )  # fmt: skip
        else:
            found.append(Found(entry.domain, _via(entry), entry.place))
    add_routes(document, found)
    for entry in entries.values():
        if entry.domain and not entry.relay and entry.port is not None:
            _port(document, entry.domain, entry.port, entry.place)
    _implicit(document, [entry for entry in entries.values() if entry.domain and entry.relay and not entry.login])


def _entries(document: Document, lines: Sequence[Line]) -> dict[str, _Entry]:
    """The last line of each domain, which is the one that counts."""
    entries: dict[str, _Entry] = {}
    for entry in _read(document, lines):
        if (old := entries.pop(entry.domain, None)) is not None:
            document.notice(old.place, f"this route is set again at {entry.place}, which is what counts")
        entries[entry.domain] = entry
    return entries


def _read(document: Document, lines: Sequence[Line]) -> Iterator[_Entry]:
    for line in lines:
        route = _ROUTE.fullmatch(line.text)
        if route is None or len(route[3] or "") > 5:
            document.notice(line.place, "is no route that this importer knows, and is not taken over")
            continue
        if route[1].startswith("["):
            document.notice(line.place, "is a route for an address literal, and is not taken over: routes have domains")
            continue
        port = int(route[3]) if route[3] else None
        yield _Entry(route[1].lower(), route[2].strip("[]").lower(), port, bool((route[4] or "").strip()), line.place)


def _via(entry: _Entry) -> str:
    return endpoint(entry.relay, entry.port or 25) if entry.relay else "mx"


def _everything(document: Document, entry: _Entry) -> None:
    """The route of what no other line has."""
    if entry.login:
        document.notice(
            entry.place,
            "a login stands in this line: name it with delivery.smarthost_user and "
            "delivery.smarthost_password_file (the password is not copied)",
        )
    if not entry.relay:
        if entry.port is not None:
            document.set("delivery", "port", Sourced(entry.port, entry.place))
        else:
            document.outcome("delivery", entry.place, "everything goes by MX: needs no line here.")
        return
    implicit = entry.port == _SMTPS
    if document.set("delivery", "smarthost", Sourced(_via(entry), entry.place)) and implicit:
        document.set("delivery", "smarthost_tls", Sourced("implicit", f"{entry.place}: port 465"))


def _port(document: Document, domain: str, port: int, place: str) -> None:
    """By MX, at another port."""
    rule = {"to": Sourced(domain, place), "port": Sourced(port, place)}
    if port == _SMTPS:
        rule["implicit"] = Sourced(True, f"{place}: port 465")
    document.add("outbound", rule)


def _implicit(document: Document, entries: Sequence[_Entry]) -> None:
    """A relay at port 465 speaks TLS from the first octet."""
    ports: dict[str, set[int | None]] = {}
    for entry in entries:
        ports.setdefault(entry.relay, set()).add(entry.port)
    written: set[str] = set()
    for entry in entries:
        if entry.port != _SMTPS or entry.relay in written:
            continue
        written.add(entry.relay)
        condition = "to" if address_of(entry.relay) is None else "server"
        rule = {condition: Sourced(entry.relay, entry.place), "implicit": Sourced(True, f"{entry.place}: port 465")}
        if len(ports[entry.relay]) > 1:
            document.notice(
                entry.place,
                f"{entry.relay} is at port 465 here, which is TLS from the first octet, and at another port elsewhere: "
                'write an [[outbound]] rule with "implicit" where it is meant',
            )
        else:
            document.add("outbound", rule)
