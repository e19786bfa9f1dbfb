"""The ways of mail through Postfix: ``relay_domains`` and the text tables of ``transport_maps``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gatepost.config.importers.document import Document, Sourced, listed
from gatepost.config.importers.maincf import Entry, Parameter, Parameters, logical_lines, table_entries, table_names
from gatepost.config.importers.routing import ALL, Found, add_routes, endpoint
from gatepost.config.importers.texts import read_text
from gatepost.errors import ConfigError

PORTS: Final = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}
_NEXTHOP: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\s,]+))(?::(\w+))?")
_SMTP: Final = ("smtp", "relay")
_SUBDOMAINS: Final = "parent_domain_matches_subdomains"


class Nexthop(NamedTuple):
    """A host with its port.

    :param asked: whether Postfix asked for its MX.
    """

    host: str
    port: int
    asked: bool

    @property
    def via(self) -> str:
        """As a route has it."""
        return endpoint(self.host, self.port)


def nexthop(text: str) -> Nexthop | None:
    """Read ``[host]:port``, ``host:port`` or without the port; None when it is none of them."""
    found = _NEXTHOP.fullmatch(text)
    port = str(PORTS.get(found[3] or "smtp", found[3])) if found else ""
    if found is None or not (port.isascii() and port.isdecimal() and len(port) <= 5):
        return None
    return Nexthop((found[1] or found[2]).lower().removeprefix("ipv6:"), int(port), found[1] is None)


def routing(document: Document, parameters: Parameters, base: Path) -> None:
    """Write ``relay_domains`` and the routes."""
    parents = parameters.take(_SUBDOMAINS)
    below = {
        name: name in parents.words if parents else name == "relay_domains"
        for name in ("relay_domains", "transport_maps")
    }
    _relayed(document, parameters, base, below=below["relay_domains"])
    maps = parameters.take("transport_maps")
    if maps is not None and maps.value:
        relayhost = parameters.take("relayhost")
        found = list(_transports(document, maps, base, below=below["transport_maps"], relayhost=relayhost))
        add_routes(document, found)
        wrapped = parameters.take("smtp_tls_wrappermode")
        if wrapped is not None and wrapped.value.lower() == "yes":
            for host in dict.fromkeys(host for each in found if (host := nexthop(each.via)) and each.via != "mx"):
                document.add(
                    "outbound", {"to": Sourced(host.host, wrapped.place), "implicit": Sourced(True, wrapped.place)}
                )


def _relayed(document: Document, parameters: Parameters, base: Path, *, below: bool) -> None:
    domains = parameters.take("relay_domains")
    if domains is None or not domains.value:
        return
    kept = set(document.live.get("domains", ()))
    entries: list[Sourced] = []
    for word, place in _listed(document, domains, base):
        if word.startswith("!"):
            document.withhold(
                "", [f'relay_domains = ["{domains.value}"]'], domains.place,
                f"relay_domains excludes {word[1:]}, and a list here excludes nothing: name the domains",
            )  # fmt: skip
            return
        if word in kept:
            document.outcome("", place, f"{word} of relay_domains is in `domains`: its mail is kept here.")
            continue
        entries.append(Sourced(word, place))
        if below and not word.startswith("."):
            entries.append(Sourced(f".{word}", place))
    if entries:
        document.set("", "relay_domains", listed(entries))


def _listed(document: Document, domains: Parameter, base: Path) -> Iterator[tuple[str, str]]:
    """The words of a list of domains, those of its files and tables among them."""
    for name in table_names(domains.value):
        body = name.removeprefix("!")
        if body.startswith("/"):
            try:
                lines = list(logical_lines(read_text(base / body)))
            except ConfigError as error:
                document.notice(domains.place, f"{body} is not taken over: {error.message}")
                continue
            for number, line in lines:
                for word in re.split(r"[,\s]+", line):
                    yield f"{'!' if name != body else ''}{word.lower()}", f"{Path(body).name}:{number}"
        elif ":" in body:
            for entry in table_entries(document, body, domains.place, base):
                yield f"{'!' if name != body else ''}{entry.key.lower()}", entry.place
        else:
            yield name.lower(), domains.place


def _transports(
    document: Document, maps: Parameter, base: Path, *, below: bool, relayhost: Parameter | None
) -> Iterator[Found]:
    """The routes of the tables. The first table that has a name counts."""
    seen: set[str] = set()
    for table in table_names(maps.value):
        for entry in table_entries(document, table, maps.place, base):
            name = entry.key.lower()
            if name in seen:
                document.notice(entry.place, f"{entry.key} has a transport before this line, which is what counts")
                continue
            seen.add(name)
            via = _via(document, entry, relayhost)
            if not via:
                continue
            yield Found(name, via, entry.place)
            if below and name != ALL and not name.startswith("."):
                yield Found(f".{name}", via, entry.place)


def _via(document: Document, entry: Entry, relayhost: Parameter | None) -> str:
    """Where an entry leads; empty, and named, when it cannot be said here."""
    transport, _, hop = entry.value.partition(":")

    def refuse(why: str) -> str:
        document.notice(entry.place, f"the transport {entry.value} of {entry.key} is not taken over: {why}")
        return ""

    if "@" in entry.key:
        return refuse("routes go by domain, not by address")
    if transport and transport not in _SMTP:
        return refuse("routes lead to mail servers alone, by smtp: or relay:")
    if not hop:
        if not transport and relayhost is not None and relayhost.value:
            return refuse("it goes the way of all other mail, which is the smarthost; name that host as its route")
        return "mx"
    host = nexthop(hop)
    if host is None:
        return refuse("a route has one host, and one port")
    if host.asked:
        document.notice(entry.place, f"Postfix asked for the MX of {host.host}; a route is the host itself")
    return host.via
