"""Routes of the old servers: their most specific entry counts wherever it stands, here the first that matches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gatepost.config.importers.document import Document, Sourced, listed

ALL = "*"


class Found(NamedTuple):
    """One entry: a domain, those below one (``.example.com``), or all (``*``).

    :param via: ``host:port``, ``[address]:port`` or ``mx``.
    """

    name: str
    via: str
    place: str


def add_routes(document: Document, entries: Iterable[Found]) -> None:
    """Write the entries, the most specific first; neighbours with one way become one ``[[route]]``."""
    exact: dict[str, list[Found]] = {}
    wide: list[Found] = []
    for entry in entries:
        if entry.name.startswith(".") or entry.name == ALL:
            wide.append(entry)
        elif entry.via in exact:  # among exact names the order means nothing
            exact[entry.via].append(entry)
        else:
            exact[entry.via] = [entry]
    wide.sort(key=lambda each: (each.name == ALL, -len(each.name)))
    neighbour = wide[0].via if wide else ""
    groups = sorted(exact.values(), key=lambda group: group[0].via == neighbour)
    for entry in wide:
        if groups and groups[-1][0].via == entry.via and entry.name != ALL:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    for group in groups:
        names = listed(Sourced(entry.name, entry.place) for entry in group)
        document.add("route", {"to": names, "via": Sourced(group[0].via, group[0].place)})


def endpoint(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
