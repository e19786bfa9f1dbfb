"""What routes and domains may not say together.

As in ``combinations``: works on plain tables, before or after validation, and passes over what has the wrong type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gatepost.config.endpoints import parse_endpoint
from gatepost.config.entries import check_name
from gatepost.config.names import system_hostname
from gatepost.config.problems import Problem
from gatepost.policy.names import NameList
from gatepost.policy.routes import MX

_ALL: Final = "*"


def impossible_routing(tables: Mapping[str, Any]) -> Iterator[Problem]:
    """Every impossible combination in ``[[route]]`` and ``relay_domains``."""
    kept = _kept(tables)
    for name in _names(tables.get("relay_domains")):
        if name in kept:
            yield Problem(
                ("relay_domains",), f'"{name}" is in `domains`, whose mail is kept here; name it in one of the two'
            )
    routes = [
        (index, _names(route.get("to")), route.get("via"))
        for index, route in enumerate(_list(tables.get("route")))
        if isinstance(route, Mapping)
    ]
    whole: int | None = None
    for index, names, _ in routes:
        if whole is not None:
            yield Problem(
                ("route", index), f"comes behind route[{whole}], which takes all mail; put it before that one"
            )
        for name in names:
            if name in kept:
                yield Problem(
                    ("route", index, "to"), f'"{name}" is in `domains`: its mail is kept here, and goes no other way'
                )
        whole = index if whole is None and _ALL in names else whole
    delivery = tables.get("delivery")
    if whole is not None and isinstance(delivery, Mapping) and delivery.get("smarthost") is not None:
        yield Problem(("delivery", "smarthost"), f"gets nothing: route[{whole}] takes all mail; remove one of the two")
    yield from _unseen(tables, routes)


def _kept(tables: Mapping[str, Any]) -> set[str]:
    """The domains whose mail is kept here: those of ``domains``, or what it is when it is not set."""
    if tables.get("domains") is not None:
        return set(_names(tables["domains"]))
    if not tables.get("relay_domains") and not tables.get("route"):
        return set()
    return {*_names(tables.get("hostname") or system_hostname()), "localhost"}


def _unseen(tables: Mapping[str, Any], routes: list[tuple[int, list[str], object]]) -> Iterator[Problem]:
    """Entries of an ``[[outbound]]`` rule's ``to`` that a route takes elsewhere: the rule would never be asked about
    them, and a level that somebody relies on would not hold."""
    for number, rule in enumerate(_list(tables.get("outbound"))):
        names = _names(rule.get("to")) if isinstance(rule, Mapping) else []
        for name in names:
            index, via = next(((index, via) for index, to, via in routes if _covers(to, name)), (0, MX))
            host = _host(via)
            if name != _ALL and host and not NameList(names).matches(host):
                yield Problem(
                    ("outbound", number, "to"),
                    f'mail for "{name}" goes via {host}, by route[{index}], and that is what rules are held against; '
                    f'name "{host}"',
                )


def _covers(entries: list[str], name: str) -> bool:
    """Whether entries have a name, or all names that an entry with a leading dot stands for."""
    if _ALL in entries or name in entries:
        return True
    return any(entry.startswith(".") and name.endswith(entry) for entry in entries)


def _host(via: object) -> str:
    """The host that a route names; empty for ``mx``, and for what the schema refuses."""
    if not isinstance(via, str) or via.lower() == MX:
        return ""
    try:
        return parse_endpoint(via)[0].lower()
    except ValueError:
        return ""


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _names(value: object) -> list[str]:
    """The entries of a list of names that can be read, as they are compared."""
    found: list[str] = []
    for entry in [value] if isinstance(value, str) else _list(value):
        try:
            found += [check_name(entry)] if isinstance(entry, str) else []
        except ValueError:
            continue  # the schema says so
    return found
